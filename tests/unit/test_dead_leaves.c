/* The pictures that distilled images start from. */
#include "tests/unit/nq_test.h"

#include "common/hash.h"
#include "worker/calibrate/dead_leaves.h"
#include "worker/calibrate/octaves.h"
#include <math.h>

#define SIDE   NQ_OCTAVES_SIDE
#define FLOATS ((size_t)SIDE * SIDE * 3)

static float *picture_of(uint64_t seed, uint64_t sample)
{
    nq_error err = {0};
    nq_random random;
    float *image = malloc(FLOATS * sizeof *image);
    nq_random_init(&random, seed, sample);
    assert_ok(nq_dead_leaves_draw(&random, image, &err), &err);
    return image;
}

static void every_pixel_is_drawn(void **state)
{
    (void)state;
    for (uint64_t sample = 0; sample < 20; sample++) {
        float *image = picture_of(1, sample);
        double mean = 0, square = 0;
        for (size_t i = 0; i < FLOATS; i++) {
            assert_true(image[i] >= 0 && image[i] <= 1);
            mean += (double)image[i] / (double)FLOATS;
            square += (double)image[i] * (double)image[i] / (double)FLOATS;
        }
        assert_true(square - mean * mean > 0.002);
        free(image);
    }
}

static void the_same_on_every_machine(void **state)
{
    (void)state;
    float *image = picture_of(1, 3), *again = picture_of(1, 3), *other = picture_of(1, 4);
    assert_memory_equal(image, again, FLOATS * sizeof *image);
    assert_memory_not_equal(image, other, FLOATS * sizeof *image);
    assert_int_equal(nq_crc32(image, FLOATS * sizeof *image), 0x341019E8u);
    free(image);
    free(again);
    free(other);
}

/* Differences of neighbours: of noise normal, with a kurtosis of 3; of a photograph far more often
 * nearly nothing, and then an edge. */
static void regions_are_flat_and_edges_sharp(void **state)
{
    (void)state;
    double least = INFINITY;
    for (uint64_t sample = 0; sample < 20; sample++) {
        float *image = picture_of(2, sample);
        double square = 0, fourth = 0, count = 0;
        for (size_t i = 0; i + 3 < FLOATS; i++, count++) {
            double d = (double)image[i + 3] - (double)image[i];
            square += d * d;
            fourth += d * d * d * d;
        }
        least = fmin(least, fourth * count / (square * square));
        free(image);
    }
    assert_true(least > 6);
}

static void octaves_interpolate(void **state)
{
    (void)state;
    nq_random random;
    float *plane = calloc((size_t)SIDE * SIDE, sizeof *plane), grid[NQ_OCTAVES_COARSEST * 7];
    nq_random_init(&random, 5, 0);
    nq_octave_add(&random, NQ_OCTAVES_COARSEST, 2.0f, grid, plane);
    nq_random_init(&random, 5, 0);
    for (int i = 0; i < 49; i++) {
        float point = 2.0f * (float)nq_random_normal(&random);
        assert_true(plane[(i / 7 * 32) * SIDE + i % 7 * 32] == point);
    }
    float middle = (plane[0] + plane[32]) / 2, corner = plane[(SIDE - 16) * SIDE];
    assert_true(fabsf(plane[16] - middle) < 1e-6f);
    assert_true(fabsf(corner - (plane[192 * SIDE] + plane[0]) / 2) < 1e-6f);
    free(plane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_is_drawn),
        cmocka_unit_test(the_same_on_every_machine),
        cmocka_unit_test(regions_are_flat_and_edges_sharp),
        cmocka_unit_test(octaves_interpolate),
    };
    return cmocka_run_group_tests_name("dead_leaves", tests, NULL, NULL);
}
