/* worker/calibrate/: where samples come from, and which files are refused. */
#include "tests/unit/scratch_root.h"

#include "common/file.h"
#include "common/hash.h"
#include "common/random.h"
#include "worker/calibrate/samples.h"
#include "worker/imagenet/crop.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define PIXELS (224 * 224)
#define FLOATS (3 * PIXELS)

static float sample[FLOATS], other[FLOATS];

static nq_samples *open_noise(nq_calibrate_source source, int count, uint64_t seed)
{
    nq_spec spec = {.calibrate = {.source = source, .samples = count, .seed = seed, .views = 1}};
    nq_samples *samples = NULL;
    nq_error err = {0};
    assert_ok(nq_samples_open(&spec, NULL, NULL, &samples, &err), &err);
    return samples;
}

static nq_status open_file(const char *folder, const char *path, int count, nq_samples **samples,
                           nq_error *err)
{
    nq_spec spec = {.calibrate = {.source = NQ_CALIBRATE_FILE, .samples = count, .views = 1}};
    return nq_samples_open(&spec, folder, path, samples, err);
}

static void assert_hash(const float *values, const char *want)
{
    uint8_t digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    nq_hash_bytes(values, FLOATS * sizeof *values, digest);
    nq_hash_text(digest, text);
    assert_string_equal(text, want);
}

static void assert_moments(const float *values)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < FLOATS; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    assert_true(fabs(sum / FLOATS) < 0.01);
    assert_true(fabs(squares / FLOATS - 1.0) < 0.01);
}

/* Sample i is stream i in NCHW order, whoever asks and in whatever order; the bits are the same on
 * every machine. */
static void gaussian(void **state)
{
    (void)state;
    nq_samples *s = open_noise(NQ_CALIBRATE_GAUSSIAN, 1000, 1);
    assert_int_equal(nq_samples_count(s), 1000);
    nq_error err = {0};
    assert_ok(nq_samples_read(s, 7, 3, sample, &err), &err);
    nq_random random;
    nq_random_init(&random, 1, 7);
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < PIXELS; p++)
            assert_true(sample[p * 3 + c] == (float)nq_random_normal(&random));
    assert_moments(sample);
    assert_hash(sample, "3f935040478cce0e7ef6f3592e5c3ba4266f181f9622b9b006f688eab2786783");
    assert_ok(nq_samples_read(s, 6, 0, other, &err), &err);
    assert_memory_not_equal(sample, other, sizeof sample);
    assert_ok(nq_samples_read(s, 7, 0, other, &err), &err);
    assert_memory_equal(sample, other, sizeof sample);
    assert_refused(nq_samples_read(s, 1000, 0, other, &err), NQ_ERR_INTERNAL, &err, "of 1000");
    nq_samples_free(s);

    s = open_noise(NQ_CALIBRATE_GAUSSIAN, 1, 2);
    assert_ok(nq_samples_read(s, 0, 0, other, &err), &err);
    assert_moments(other);
    nq_samples_free(s);
}

static void uniform(void **state)
{
    (void)state;
    nq_samples *s = open_noise(NQ_CALIBRATE_UNIFORM, 2, 1);
    nq_error err = {0};
    assert_ok(nq_samples_read(s, 1, 0, sample, &err), &err);
    assert_moments(sample);
    float low = 0, high = 0;
    for (int i = 0; i < FLOATS; i++) {
        low = fminf(low, sample[i]);
        high = fmaxf(high, sample[i]);
    }
    assert_true(low >= -1.7320509f && low < -1.73f && high <= 1.7320509f && high > 1.73f);
    assert_hash(sample, "406aceffc1dd23baf8d82552436c6d2969293781e84aa88b85fa623435cc54c9");
    nq_samples_free(s);
}

static void nothing_to_read(void **state)
{
    (void)state;
    nq_spec spec = {.calibrate = {.source = NQ_CALIBRATE_NONE, .samples = 10, .views = 1}};
    nq_samples *s;
    nq_error err = {0};
    assert_refused(nq_samples_open(&spec, NULL, NULL, &s, &err), NQ_ERR_INTERNAL, &err, "");
    assert_null(s);
    spec.calibrate.source = NQ_CALIBRATE_GAUSSIAN;
    spec.calibrate.samples = 0;
    assert_refused(nq_samples_open(&spec, NULL, NULL, &s, &err), NQ_ERR_INPUT, &err, "samples");
    nq_samples_free(NULL);
}

/* The value of a test sample at (channel, pixel). */
static float value_of(int n, int c, int p)
{
    return (float)(n * 1000 + c * 100) + (float)p / 65536.0f;
}

/* Writes a .npy of `count` samples below `header`, which is padded as numpy pads it; `cut` bytes
 * are missing at the end (negative: too many). */
static void write_npy(const char *name, int version, const char *header, int count, long cut)
{
    char *path = nq_path_join(root, name);
    size_t prefix = version == 1 ? 10 : 12;
    size_t length = (prefix + strlen(header) + 1 + 63) / 64 * 64 - prefix;
    size_t size = prefix + length + (size_t)count * FLOATS * sizeof(float) + 64;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (uint8_t)version;
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memset(bytes + prefix, ' ', length);
    memcpy(bytes + prefix, header, strlen(header));
    bytes[prefix + length - 1] = '\n';
    uint8_t *at = bytes + prefix + length;
    for (int n = 0; n < count; n++)
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < PIXELS; p++, at += sizeof(float)) {
                float v = value_of(n, c, p);
                memcpy(at, &v, sizeof v);
            }
    nq_error err = {0};
    assert_ok(nq_file_write_atomic(path, bytes, size - 64 - (size_t)cut, &err), &err);
    free(bytes);
    free(path);
}

#define GOOD(n) "{'descr': '<f4', 'fortran_order': False, 'shape': (" #n ", 3, 224, 224), }"

static void npy_files(void **state)
{
    (void)state;
    for (int version = 1; version <= 3; version++) {
        write_npy("good.npy", version, GOOD(3), 3, 0);
        nq_samples *s;
        nq_error err = {0};
        assert_ok(open_file(root, "good.npy", 0, &s, &err), &err);
        assert_int_equal(nq_samples_count(s), 3);
        for (int n = 2; n >= 0; n--) {
            assert_ok(nq_samples_read(s, (size_t)n, n, sample, &err), &err);
            for (int c = 0; c < 3; c++)
                for (int p = 0; p < PIXELS; p++)
                    assert_true(sample[p * 3 + c] == value_of(n, c, p));
        }
        nq_samples_free(s);
        assert_ok(open_file(root, "good.npy", 2, &s, &err), &err);
        assert_int_equal(nq_samples_count(s), 2);
        nq_samples_free(s);
        assert_ok(open_file(root, "good.npy", 1000, &s, &err), &err);
        assert_int_equal(nq_samples_count(s), 3);
        nq_samples_free(s);
    }
    write_npy("other.npy", 1,
              "{\"shape\":(1,3,224,224,),'fortran_order':False , \"descr\" : \"<f4\"}", 1, 0);
    nq_samples *s;
    nq_error err = {0};
    assert_ok(open_file(root, "other.npy", 0, &s, &err), &err);
    nq_samples_free(s);
}

static void npy_files_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int count;
        long cut;
        const char *words;
    } cases[] = {
        {GOOD(2), 2, 1, "2 samples of 602112 bytes, but 1204223 bytes"},
        {GOOD(2), 2, -1, "but 1204225 bytes"},
        {GOOD(2), 3, 0, "2 samples"},
        {GOOD(9223372036854775807), 1, 0, "expected at byte"},
        {GOOD(999999999999999999), 1, 0, "999999999999999999 samples"},
        {GOOD(0), 0, 0, "(0, 3, 224, 224)"},
        {GOOD(-1), 1, 0, "a number expected"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3, 224, 224), }", 2, 0, "'<f8'"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }", 1, 0, "'>f4'"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 224, 224), }", 1, 0, "'|u1'"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1, 3, 224, 224), }", 1, 0,
         "a plain type"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 3, 224, 224), }", 1, 0, "Fortran"},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': (1, 3, 224, 224), }", 1, 0,
         "True or False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 224, 224, 3), }", 1, 0,
         "(1, 224, 224, 3)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (150528,), }", 1, 0, "(150528)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 1, 0, "shape ()"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", 1, 0, "a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 1, 0,
         "four numbers"},
        {"{'descr': '<f4', 'fortran_order': False, }", 1, 0, "before the end"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1, 3, 224, 224), }", 1, 0, "once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), 'x': 1}", 1, 0,
         "no other key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), } x", 1, 0,
         "the end of the header"},
        {"[]", 1, 0, "'{' expected at byte 10"},
        {"{'descr", 1, 0, "expected at byte 11"},
        {"", 0, 0, "'{' expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_samples *s;
        nq_error err = {0};
        write_npy("bad.npy", 1, cases[i].header, cases[i].count, cases[i].cut);
        assert_refused(open_file(root, "bad.npy", 0, &s, &err), NQ_ERR_INPUT, &err, cases[i].words);
        assert_non_null(strstr(err.text, "bad.npy"));
        assert_null(s);
    }
    nq_samples *s;
    nq_error err = {0};
    write_npy("bad.npy", 4, GOOD(1), 1, 0);
    assert_refused(open_file(root, "bad.npy", 0, &s, &err), NQ_ERR_INPUT, &err, "version 4.0");
    assert_refused(open_file(root, "none.npy", 0, &s, &err), NQ_ERR_MISSING, &err, "none.npy");
    assert_refused(open_file(root, "../x.npy", 0, &s, &err), NQ_ERR_DENIED, &err, "leaves");
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    char *path = nq_path_join(root, name);
    nq_error err = {0};
    assert_ok(nq_file_write_atomic(path, bytes, size, &err), &err);
    free(path);
}

static void npy_files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"", 0, "not a .npy file"},
        {"\x93NUMPY", 6, "not a .npy file"},
        {"PK\3\4 an archive", 15, "not a .npy file"},
        {"\x93NUMPY\1\0\xff\xff{}", 12, "a header of 65535 bytes does not fit"},
        {"\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, "a header of 4294967295 bytes"},
        {"\x93NUMPY\2\0\1\0\0", 11, "does not fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_samples *s;
        nq_error err = {0};
        write_bytes("none", cases[i].bytes, cases[i].size);
        assert_refused(open_file(root, "none", 0, &s, &err), NQ_ERR_INPUT, &err, cases[i].words);
    }
}

static void values_that_are_not_finite(void **state)
{
    (void)state;
    write_npy("nan.npy", 1, GOOD(2), 2, 0);
    char *path = nq_path_join(root, "nan.npy");
    int fd = open(path, O_WRONLY);
    float infinity = INFINITY;
    assert_int_equal(pwrite(fd, &infinity, 4, 128 + (FLOATS + 5) * 4), 4);
    close(fd);
    free(path);
    nq_samples *s;
    nq_error err = {0};
    assert_ok(open_file(root, "nan.npy", 0, &s, &err), &err);
    assert_ok(nq_samples_read(s, 0, 0, sample, &err), &err);
    assert_refused(nq_samples_read(s, 1, 0, sample, &err), NQ_ERR_INPUT, &err,
                   "nan.npy: sample 1 holds a value that is not finite (byte 602260)");
    nq_samples_free(s);
}

/* A copy of a fixture into the test's folder. */
static void copy_fixture(const char *fixture, const char *name)
{
    uint8_t *data;
    size_t size;
    nq_error err = {0};
    assert_ok(nq_file_read(nq_test_path(fixture), 1 << 20, &data, &size, &err), &err);
    char *path = nq_path_join(root, name), *slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(nq_dir_make(path, 0755, &err), &err);
    free(path);
    write_bytes(name, data, size);
    free(data);
}

static void image_folders(void **state)
{
    (void)state;
    copy_fixture("tests/data/images/sampling_420.JPEG", "img/b/2.JPEG");
    copy_fixture("tests/data/images/grey.JPEG", "img/b-c/1.jpg");
    copy_fixture("tests/data/images/cut_in_half.JPEG", "img/c.jpeg");
    write_bytes("img/readme.txt", "x", 1);
    nq_samples *s;
    nq_error err = {0};
    assert_ok(open_file(root, "img", 0, &s, &err), &err);
    assert_int_equal(nq_samples_count(s), 3);

    /* Sorted bytewise by the whole path: "b-c/1.jpg" comes before "b/2.JPEG". */
    uint8_t *data, crop[NQ_CROP_BYTES];
    size_t size;
    float table[3][256];
    nq_decoder *decoder;
    assert_ok(
        nq_file_read(nq_test_path("tests/data/images/grey.JPEG"), 1 << 20, &data, &size, &err),
        &err);
    assert_ok(nq_decoder_create(&decoder, &err), &err);
    assert_ok(nq_decoder_crop(decoder, data, size, "grey", crop, &err), &err);
    nq_pixel_table(table);
    assert_ok(nq_samples_read(s, 0, 255, sample, &err), &err);
    for (int p = 0; p < PIXELS; p++)
        for (int c = 0; c < 3; c++)
            assert_true(sample[p * 3 + c] == table[c][crop[p * 3 + c]]);
    nq_decoder_free(decoder);
    free(data);

    assert_ok(nq_samples_read(s, 1, 0, sample, &err), &err);
    assert_refused(nq_samples_read(s, 2, 0, sample, &err), NQ_ERR_INPUT, &err,
                   "img/c.jpeg: the JPEG file is truncated");
    nq_samples_free(s);
    assert_ok(open_file(root, "img", 1, &s, &err), &err);
    assert_int_equal(nq_samples_count(s), 1);
    nq_samples_free(s);

    write_bytes("img/x.png", "x", 1);
    assert_refused(open_file(root, "img", 0, &s, &err), NQ_ERR_INPUT, &err, "x.png");
    copy_fixture("tests/data/images/grey.JPEG", "no/1.txt");
    assert_refused(open_file(root, "no", 0, &s, &err), NQ_ERR_INPUT, &err, "no .jpg");
}

/* Views: the samples first, then each moved and every other one mirrored. */
static void views_are_the_sample_moved(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_samples *plain, *more;
    nq_spec spec = {
        .calibrate = {.source = NQ_CALIBRATE_GAUSSIAN, .samples = 3, .views = 1, .seed = 5}};
    assert_ok(nq_samples_open(&spec, NULL, NULL, &plain, &err), &err);
    spec.calibrate.views = 4;
    assert_ok(nq_samples_open(&spec, NULL, NULL, &more, &err), &err);
    assert_int_equal(nq_samples_count(plain), 3);
    assert_int_equal(nq_samples_count(more), 12);
    float *image = malloc(FLOATS * sizeof *image);
    float *view = malloc(FLOATS * sizeof *view);
    for (size_t i = 0; i < 12; i++) {
        assert_ok(nq_samples_read(plain, i % 3, 0, image, &err), &err);
        assert_ok(nq_samples_read(more, i, 0, view, &err), &err);
        bool mirrored = i / 3 % 2;
        /* The middle pixel came from one place within reach of it. */
        int found = 0;
        for (int dy = -24; dy <= 24; dy++)
            for (int dx = -24; dx <= 24; dx++) {
                int x = mirrored ? 223 - (112 + dx) : 112 + dx;
                const float *from = image + ((112 + dy) * 224 + x) * 3;
                found += memcmp(from, view + (112 * 224 + 112) * 3, 3 * sizeof *from) == 0;
            }
        assert_int_equal(found, 1);
        if (i < 3)
            assert_memory_equal(image, view, FLOATS * sizeof *image);
    }
    free(image);
    free(view);
    nq_samples_free(plain);
    nq_samples_free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_the_sample_moved),
        cmocka_unit_test(gaussian),
        cmocka_unit_test(uniform),
        cmocka_unit_test(nothing_to_read),
        cmocka_unit_test(npy_files),
        cmocka_unit_test(npy_files_refused),
        cmocka_unit_test(npy_files_that_are_none),
        cmocka_unit_test(values_that_are_not_finite),
        cmocka_unit_test(image_folders),
    };
    return cmocka_run_group_tests_name("samples", tests, make_root, remove_root);
}
