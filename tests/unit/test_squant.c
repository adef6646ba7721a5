/* SQuant's flips: by hand on one kernel, the paper's bounds on random layers, and what they are
 * good for. */
#include "tests/unit/nq_test.h"

#include "common/random.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/rounding.h"

#include <math.h>

static nq_random rng;

static int below(int n)
{
    return (int)(nq_random_u32(&rng) % (uint32_t)n);
}

static void squant(const float *w, int rows, int taps, int inputs, const float *scale, int scales,
                   int bits, int8_t *q)
{
    nq_error err = {0};
    nq_weights weights = {.weight = w,
                          .rows = rows,
                          .taps = taps,
                          .inputs = inputs,
                          .scale = scale,
                          .scales = scales,
                          .bits = bits};
    assert_ok(nq_round_squant(&weights, q, &err), &err);
}

/* Worked out on paper. Errors -.45 -.4 -.3 .1 -.2 sum to -1.25: one flip up, the largest. What is
 * left, -.25, rounds to nothing for the row. */
static void one_kernel_by_hand(void **state)
{
    (void)state;
    const float w[5] = {1.45f, 2.4f, -0.7f, 0.9f, 3.2f}, scale = 1;
    int8_t q[5];
    squant(w, 1, 5, 1, &scale, 1, 4, q);
    const int8_t want[5] = {2, 2, -1, 1, 3};
    assert_memory_equal(q, want, 5);
}

/* Kernel 0 has errors -.4 -.3 and flips its tap 0 (now .6), kernel 1 -.3 -.45 and flips its tap 1
 * (now .55). The row sums to .55: one flip down, and the .6 goes back. */
static void a_row_flips_one_back(void **state)
{
    (void)state;
    const float scale = 1, w[4] = {/* tap 0 */ 1.4f, 1.3f, /* tap 1 */ 1.3f, 1.45f};
    int8_t q[4];
    squant(w, 1, 2, 2, &scale, 1, 4, q);
    const int8_t want[4] = {1, 1, 1, 2};
    assert_memory_equal(q, want, 4);
}

static double kernel_sum(const float *w, const int8_t *q, int taps, int inputs, int input,
                         float scale)
{
    double sum = 0;
    for (int t = 0; t < taps; t++)
        sum += q[t * inputs + input] - (double)w[t * inputs + input] / (double)scale;
    return sum;
}

static void bounds_of_the_paper(void **state)
{
    (void)state;
    nq_random_init(&rng, 21, 0);
    for (int round = 0; round < 300; round++) {
        int taps = (int[]){1, 9, 25}[below(3)], inputs = 1 + below(40), rows = 1 + below(4),
            bits = 3 + below(6);
        int n = taps * inputs;
        float *w = malloc((size_t)(rows * n) * sizeof *w),
              *scale = malloc((size_t)rows * sizeof *scale);
        int8_t *q = malloc((size_t)(rows * n));
        for (int i = 0; i < rows * n; i++)
            w[i] = (float)nq_random_normal(&rng);
        for (int r = 0; r < rows; r++)
            scale[r] = nq_weight_scale_minmax(w + r * n, (size_t)n, bits);
        squant(w, rows, taps, inputs, scale, rows, bits, q);
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int i = 0; i < n; i++) {
                double e = q[r * n + i] - (double)w[r * n + i] / (double)scale[r];
                assert_true(fabs(e) < 1.0001);
                assert_true(q[r * n + i] >= -(1 << (bits - 1)) && q[r * n + i] < 1 << (bits - 1));
            }
            for (int k = 0; k < inputs; k++) {
                double one = kernel_sum(w + r * n, q + r * n, taps, inputs, k, scale[r]);
                sum += one;
                assert_true(taps == 1 || fabs(one) < 1.001);
            }
            assert_true(inputs < 4 || fabs(sum) < 0.502);
        }
        free(w), free(scale), free(q);
    }
}

/* A constant input makes a layer's output error the sum of its weights' errors: SQuant's whole
 * point. */
static void constant_inputs_lose_nothing(void **state)
{
    (void)state;
    nq_random_init(&rng, 4, 2);
    enum { ROWS = 16, TAPS = 9, INPUTS = 32, N = TAPS * INPUTS };
    float *w = malloc(ROWS * N * sizeof *w);
    int8_t *nearest = malloc(ROWS * N), *flipped = malloc(ROWS * N);
    for (int i = 0; i < ROWS * N; i++)
        w[i] = (float)nq_random_normal(&rng);
    float scale = nq_weight_scale_minmax(w, ROWS * N, 4);
    squant(w, ROWS, TAPS, INPUTS, &scale, 1, 4, flipped);
    nq_weight_round_nearest(w, ROWS * N, scale, 4, nearest);
    double before = 0, after = 0;
    int changed = 0;
    for (int r = 0; r < ROWS; r++) {
        double a = 0, b = 0;
        for (int i = r * N; i < (r + 1) * N; i++) {
            a += nearest[i] - (double)w[i] / (double)scale;
            b += flipped[i] - (double)w[i] / (double)scale;
            changed += nearest[i] != flipped[i];
        }
        before += a * a;
        after += b * b;
    }
    assert_true(after < before / 20);
    assert_true(changed > ROWS * INPUTS / 4 && changed < ROWS * N / 4);
    free(w), free(nearest), free(flipped);
}

/* A weight at the end of the range is not pushed out of it. */
static void saturated_weights_stay(void **state)
{
    (void)state;
    const float scale = 1, w[3] = {7.4f, 7.4f, 7.4f};
    int8_t q[3];
    squant(w, 1, 3, 1, &scale, 1, 4, q);
    assert_true(q[0] == 7 && q[1] == 7 && q[2] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_kernel_by_hand),     cmocka_unit_test(a_row_flips_one_back),
        cmocka_unit_test(bounds_of_the_paper),    cmocka_unit_test(constant_inputs_lose_nothing),
        cmocka_unit_test(saturated_weights_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
