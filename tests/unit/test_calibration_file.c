/* calibration.npy and its contact sheet: read back by those who read such files. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/calibrate/samples.h"
#include "worker/imagenet/crop.h"
#include "worker/output/calibration_file.h"

#include <math.h>
#include <png.h>

#define SIDE   224
#define FLOATS (SIDE * SIDE * 3)
#define COUNT  5

/* Image i is of one grey, but for its first four pixels, which are white, and beyond it. */
static float *make_images(void)
{
    float table[3][256], *images = malloc((size_t)COUNT * FLOATS * sizeof *images);
    nq_pixel_table(table);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < FLOATS; k++) {
            int p = k / 3, y = p / SIDE, x = p % SIDE;
            images[i * FLOATS + k] =
                y < 2 && x < 2 ? table[k % 3][255] + (float)i : table[k % 3][40 * i];
        }
    return images;
}

static void npy_is_read_as_samples(void **unused)
{
    (void)unused;
    nq_error err = {0};
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "calibration.npy");
    float *images = make_images(), *back = malloc(FLOATS * sizeof *back);
    nq_spec *spec = calloc(1, sizeof *spec);
    nq_samples *samples = NULL;
    spec->calibrate.source = NQ_CALIBRATE_DISTILL;
    spec->calibrate.samples = COUNT;
    spec->calibrate.views = 1;
    assert_ok(nq_calibration_write_npy(path, images, COUNT, &err), &err);
    assert_ok(nq_samples_open(spec, folder, "calibration.npy", &samples, &err), &err);
    assert_int_equal(nq_samples_count(samples), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ok(nq_samples_read(samples, i, 0, back, &err), &err);
        assert_memory_equal(back, images + i * FLOATS, FLOATS * sizeof *back);
    }
    nq_samples_free(samples);
    nq_dir_remove(folder, &err);
    free(spec);
    free(folder);
    free(path);
    free(images);
    free(back);
}

/* Five images on a sheet of three columns and two rows. */
static void sheet_is_a_png(void **unused)
{
    (void)unused;
    nq_error err = {0};
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "sheet.png");
    float *images = make_images();
    png_image png = {.version = PNG_IMAGE_VERSION};
    assert_ok(nq_calibration_write_sheet(path, images, COUNT, &err), &err);
    assert_true(png_image_begin_read_from_file(&png, path));
    assert_int_equal(png.width, 3 * 112 + 2 * 2);
    assert_int_equal(png.height, 2 * 112 + 2);
    png.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
    size_t stride = 3 * (3 * 112 + 2 * 2);
    for (size_t i = 0; i < COUNT; i++) {
        const uint8_t *corner = pixels + i / 3 * 114 * stride + i % 3 * 114 * 3;
        for (int c = 0; c < 3; c++) {
            assert_int_equal(corner[c], 255);
            assert_int_equal(corner[3 + c], 40 * i);
            assert_int_equal(corner[111 * stride + 111 * 3 + (size_t)c], 40 * i);
        }
    }
    assert_int_equal(pixels[112 * 3], 255);                          /* a gap */
    assert_int_equal(pixels[114 * stride + 2 * 114 * 3 + 150], 255); /* no sixth */
    nq_dir_remove(folder, &err);
    free(pixels);
    free(images);
    free(folder);
    free(path);
}

static void folders_that_are_not_there(void **unused)
{
    (void)unused;
    nq_error err = {0};
    float *images = make_images();
    assert_int_equal(nq_calibration_write_npy("/nonexistent/a.npy", images, COUNT, &err),
                     NQ_ERR_IO);
    assert_int_equal(nq_calibration_write_sheet("/nonexistent/a.png", images, COUNT, &err),
                     NQ_ERR_IO);
    free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_is_read_as_samples),
        cmocka_unit_test(sheet_is_a_png),
        cmocka_unit_test(folders_that_are_not_there),
    };
    return cmocka_run_group_tests_name("calibration_file", tests, NULL, NULL);
}
