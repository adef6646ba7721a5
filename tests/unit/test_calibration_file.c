/* calibration.npy and its contact sheet: read back by those who read such files. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/calibrate/samples.h"
#include "worker/calibrate/sheet.h"
#include "worker/imagenet/crop.h"
#include "worker/output/calibration_file.h"

#include <math.h>
#include <png.h>

#define SIDE   224
#define FLOATS (SIDE * SIDE * 3)
#define COUNT  5
#define STEP   (SIDE + NQ_SHEET_GAP)

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
    assert_int_equal(png.width, 3 * SIDE + 2 * 2);
    assert_int_equal(png.height, 2 * SIDE + 2);
    png.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
    size_t stride = 3 * (3 * SIDE + 2 * 2);
    for (size_t i = 0; i < COUNT; i++) {
        const uint8_t *corner = pixels + i / 3 * STEP * stride + i % 3 * STEP * 3;
        for (int c = 0; c < 3; c++) {
            assert_int_equal(corner[c], 255);
            assert_int_equal(corner[6 + c], 40 * i);
            assert_int_equal(corner[(SIDE - 1) * stride + (SIDE - 1) * 3 + (size_t)c], 40 * i);
        }
    }
    assert_int_equal(pixels[SIDE * 3], 255);                           /* a gap */
    assert_int_equal(pixels[STEP * stride + 2 * STEP * 3 + 150], 255); /* no sixth */
    nq_dir_remove(folder, &err);
    free(pixels);
    free(images);
    free(folder);
    free(path);
}

static nq_samples *open_sheet(const char *folder, int wanted)
{
    nq_error err = {0};
    nq_spec *spec = calloc(1, sizeof *spec);
    nq_samples *samples = NULL;
    spec->calibrate.source = NQ_CALIBRATE_FILE;
    spec->calibrate.samples = wanted;
    spec->calibrate.views = 1;
    assert_ok(nq_samples_open(spec, folder, "sheet.png", &samples, &err), &err);
    free(spec);
    return samples;
}

/* The images again, but for what was beyond white. */
static void sheet_is_read_as_samples(void **unused)
{
    (void)unused;
    nq_error err = {0};
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "sheet.png");
    float table[3][256], *images = make_images(), *back = malloc(FLOATS * sizeof *back);
    nq_pixel_table(table);
    assert_ok(nq_calibration_write_sheet(path, images, COUNT, &err), &err);
    nq_samples *samples = open_sheet(folder, 0), *three = open_sheet(folder, 3);
    assert_int_equal(nq_samples_count(samples), COUNT);
    assert_int_equal(nq_samples_count(three), 3);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ok(nq_samples_read(samples, i, 0, back, &err), &err);
        for (size_t k = 0; k < FLOATS; k++)
            assert_true(back[k] == fminf(images[i * FLOATS + k], table[k % 3][255]));
    }
    nq_samples_free(samples);
    nq_samples_free(three);
    nq_dir_remove(folder, &err);
    free(folder);
    free(path);
    free(images);
    free(back);
}

static void bad_sheets_are_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *file, *words;
    } bad[] = {{"small.png", "30x30 pixels are no sheet of images of 224x224"},
               {"blank.png", "the last row of the sheet has no image"},
               {"cut.png", "libpng"}};
    char *folder = strdup(nq_test_path("tests/fuzz/corpus/sheet"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nq_error err = {0};
        uint8_t *data;
        size_t size;
        nq_sheet sheet;
        char *path = nq_path_join(folder, bad[i].file);
        assert_ok(nq_file_read(path, 1 << 20, &data, &size, &err), &err);
        assert_refused(nq_sheet_decode(data, size, bad[i].file, &sheet, &err), NQ_ERR_INPUT, &err,
                       bad[i].words);
        assert_non_null(strstr(err.text, bad[i].file));
        free(path);
        free(data);
    }
    free(folder);
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
        cmocka_unit_test(npy_is_read_as_samples),     cmocka_unit_test(sheet_is_a_png),
        cmocka_unit_test(sheet_is_read_as_samples),   cmocka_unit_test(bad_sheets_are_named),
        cmocka_unit_test(folders_that_are_not_there),
    };
    return cmocka_run_group_tests_name("calibration_file", tests, NULL, NULL);
}
