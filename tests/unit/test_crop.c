/* worker/imagenet/: every fixture against what Pillow and torchvision made of it (expected.txt). */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "common/hash.h"
#include "worker/imagenet/crop.h"

#include <math.h>

#define FIXTURES_MAX 512

typedef struct {
    char name[256];
    char want[NQ_SHA256_TEXT]; /* the crop's hash, or "refused" */
} fixture;

static fixture fixtures[FIXTURES_MAX];
static int fixture_count;

static int load_fixtures(void **state)
{
    nq_error err = {0};
    FILE *list = fopen(nq_test_path("tests/data/images/expected.txt"), "r");
    if (!list || nq_decoder_create((nq_decoder **)state, &err) != NQ_OK)
        return -1;
    while (fixture_count < FIXTURES_MAX && fscanf(list, "%255s %64s", fixtures[fixture_count].name,
                                                  fixtures[fixture_count].want) == 2)
        fixture_count++;
    fclose(list);
    return 0;
}

static int free_decoder(void **state)
{
    nq_decoder_free(*state);
    return 0;
}

static nq_status crop_file(nq_decoder *decoder, const char *name, uint8_t *crop, nq_error *err)
{
    char relative[512];
    snprintf(relative, sizeof relative, "tests/data/images/%s", name);
    uint8_t *data = NULL;
    size_t size = 0;
    assert_ok(nq_file_read(nq_test_path(relative), 1 << 20, &data, &size, err), err);
    nq_status status = nq_decoder_crop(decoder, data, size, name, crop, err);
    free(data);
    return status;
}

/* What the fixture gives, in the words of expected.txt. */
static void describe(nq_decoder *decoder, const fixture *f, char got[NQ_SHA256_TEXT])
{
    static uint8_t crop[NQ_CROP_BYTES];
    nq_error err = {0};
    nq_status status = crop_file(decoder, f->name, crop, &err);
    if (status == NQ_OK) {
        uint8_t digest[NQ_SHA256_BYTES];
        nq_hash_bytes(crop, sizeof crop, digest);
        nq_hash_text(digest, got);
        return;
    }
    strcpy(got, "refused");
    assert_int_equal(status, NQ_ERR_INPUT);
    assert_int_equal(strncmp(err.text, f->name, strlen(f->name)), 0);
}

static void fixtures_equal_pillow(void **state)
{
    int wrong = 0;
    for (int i = 0; i < fixture_count; i++) {
        char got[NQ_SHA256_TEXT];
        describe(*state, &fixtures[i], got);
        if (strcmp(got, fixtures[i].want) != 0) {
            print_error("%s: got %s, Pillow %s\n", fixtures[i].name, got, fixtures[i].want);
            wrong++;
        }
    }
    assert_true(fixture_count > 90);
    assert_int_equal(wrong, 0);
}

/* Whatever NETQ_CPU asks for. */
static void fixtures_equal_pillow_with_every_kernel(void **state)
{
    static const char *const names[] = {"c", "avx2", "avxvnni", "avx512vnni"};
    void *own = NULL;
    nq_error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NETQ_CPU", names[i], 1);
        assert_ok(nq_decoder_create((nq_decoder **)&own, &err), &err);
        fixtures_equal_pillow(&own);
        nq_decoder_free(own);
    }
    unsetenv("NETQ_CPU");
}

/* A file's crop does not depend on what the decoder saw before it. */
static void a_decoder_keeps_nothing(void **state)
{
    for (int i = fixture_count - 1; i >= 0; i--) {
        if (strstr(fixtures[i].name, "reduced"))
            continue;
        char got[NQ_SHA256_TEXT];
        describe(*state, &fixtures[i], got);
        assert_string_equal(got, fixtures[i].want);
    }
}

static void refusals_say_why(void **state)
{
    static const char *const cases[][2] = {
        {"empty.JPEG", "is empty"},
        {"cut_in_half.JPEG", "truncated"},
        {"cut_progressive.JPEG", "truncated"},
        {"twelve_bits.JPEG", "precision 12"},
        {"above_179_megapixels.JPEG", "13378 x 13378 pixels"},
        {"two_components.JPEG", "2 components"},
        {"bad_huffman_table.JPEG", "Bogus Huffman table"},
        {"arithmetic_beyond_64_kib.JPEG", "arithmetic"},
        {"png_cut_in_half.JPEG", "truncated PNG"},
        {"png_above_179_megapixels.JPEG", "20000 x 9000 pixels"},
    };
    static uint8_t crop[NQ_CROP_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_error err = {0};
        assert_refused(crop_file(*state, cases[i][0], crop, &err), NQ_ERR_INPUT, &err, cases[i][0]);
        assert_non_null(strstr(err.text, cases[i][1]));
    }
}

static void other_formats_are_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"GIF89a\1\0\1\0", 10, "a GIF file"},
        {"BM\0\0\0\0", 6, "a BMP file"},
        {"RIFF\x10\0\0\0WEBPVP8 ", 16, "a WebP file"},
        {"II*\0\x08\0\0\0", 8, "a TIFF file"},
        {"MM\0*\0\0\0\x08", 8, "a TIFF file"},
        {"P6\n1 1\n255\n", 11, "a PPM file"},
        {"\xff\xd8", 2, "not an image"},
        {"RIFF", 4, "not an image"},
    };
    static uint8_t crop[NQ_CROP_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_error err = {0};
        assert_refused(nq_decoder_crop(*state, (const uint8_t *)cases[i].bytes, cases[i].size,
                                       "a/b.JPEG", crop, &err),
                       NQ_ERR_INPUT, &err, cases[i].words);
    }
}

/* A progressive file of many empty scans: seconds of work a kilobyte. */
static void many_scans_are_refused(void **state)
{
    nq_error err = {0};
    uint8_t *data = NULL;
    size_t size = 0, at = 0;
    assert_ok(nq_file_read(nq_test_path("tests/data/images/progressive_grey.JPEG"), 1 << 20, &data,
                           &size, &err),
              &err);
    /* Its last scan, from the marker to the end, written a thousand times more. */
    for (size_t i = 0; i + 1 < size; i++)
        if (data[i] == 0xff && data[i + 1] == 0xda)
            at = i;
    size_t scan = size - 2 - at, total = size + 1000 * scan;
    uint8_t *many = malloc(total);
    assert_non_null(many);
    memcpy(many, data, at);
    for (int i = 0; i <= 1000; i++)
        memcpy(many + at + i * scan, data + at, scan);
    memcpy(many + total - 2, "\xff\xd9", 2);
    static uint8_t crop[NQ_CROP_BYTES];
    assert_refused(nq_decoder_crop(*state, many, total, "many.JPEG", crop, &err), NQ_ERR_INPUT,
                   &err, "more than 500 scans");
    free(many);
    free(data);
}

static uint8_t *noise(size_t bytes)
{
    uint8_t *rgb = malloc(bytes);
    assert_non_null(rgb);
    uint32_t x = 1;
    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(x >> 24);
    }
    return rgb;
}

/* A short side of 256 is left as it is: the crop is a copy, centred with Python's round(). */
static void nothing_to_resize(void **state)
{
    /* round((301 - 224) / 2) = round(38.5) = 38; round((303 - 224) / 2) = round(39.5) = 40 */
    static const int cases[][4] = {{256, 256, 16, 16}, {256, 301, 16, 38}, {303, 256, 40, 16}};
    static uint8_t crop[NQ_CROP_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w = cases[i][0], h = cases[i][1], left = cases[i][2], top = cases[i][3];
        uint8_t *rgb = noise((size_t)w * h * 3);
        nq_error err = {0};
        assert_ok(nq_decoder_resize(*state, rgb, w, h, crop, &err), &err);
        for (int y = 0; y < NQ_CROP; y++)
            assert_memory_equal(crop + (size_t)y * NQ_CROP * 3,
                                rgb + ((size_t)(y + top) * w + left) * 3, NQ_CROP * 3);
        free(rgb);
    }
}

/* One colour stays that colour, whatever the shape. */
static void flat_pictures_stay_flat(void **state)
{
    static const int shapes[][2] = {{1, 1},     {1, 65535}, {65535, 1},  {3, 200000},
                                    {9000, 70}, {255, 257}, {1, 349525}, {8705, 8600}};
    static uint8_t crop[NQ_CROP_BYTES];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int w = shapes[i][0], h = shapes[i][1];
        uint8_t *rgb = malloc((size_t)w * h * 3);
        assert_non_null(rgb);
        memset(rgb, 255, (size_t)w * h * 3);
        nq_error err = {0};
        assert_ok(nq_decoder_resize(*state, rgb, w, h, crop, &err), &err);
        for (int b = 0; b < NQ_CROP_BYTES; b++)
            assert_int_equal(crop[b], 255);
        free(rgb);
    }
}

static void too_long_and_thin(void **state)
{
    static const uint8_t rgb[3];
    static uint8_t crop[NQ_CROP_BYTES];
    nq_error err = {0};
    assert_refused(nq_decoder_resize(*state, rgb, 1, 349526, crop, &err), NQ_ERR_INPUT, &err,
                   "89478656 pixels long");
    assert_refused(nq_decoder_resize(*state, rgb, INT32_MAX, 1, crop, &err), NQ_ERR_INPUT, &err,
                   "pixels long");
}

/* The hash is of torchvision's values (tests/parity/check_crop.py compares them one by one). */
static void pixel_table_is_torchvisions(void **state)
{
    (void)state;
    float table[3][256];
    nq_pixel_table(table);
    uint8_t digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    nq_hash_bytes(table, sizeof table, digest);
    nq_hash_text(digest, text);
    assert_string_equal(text, "1d8b9af12b7b391827f7c801265239e21435c7e29b4d78c6189a35e437633897");
    assert_true(fabsf(table[0][0] + 2.1179f) < 1e-4f && fabsf(table[2][255] - 2.64f) < 1e-4f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures_equal_pillow),
        cmocka_unit_test(fixtures_equal_pillow_with_every_kernel),
        cmocka_unit_test(a_decoder_keeps_nothing),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(many_scans_are_refused),
        cmocka_unit_test(nothing_to_resize),
        cmocka_unit_test(flat_pictures_stay_flat),
        cmocka_unit_test(too_long_and_thin),
        cmocka_unit_test(pixel_table_is_torchvisions),
    };
    return cmocka_run_group_tests_name("crop", tests, load_fixtures, free_decoder);
}
