/* worker/imagenet/decode_jpeg leaves columns out that the crop does not need: the crop must be that
 * of the whole picture, for every way to sample chroma and for damaged data. */
#include "tests/unit/nq_test.h"

#include "common/random.h"
#include "worker/imagenet/crop.h"

#include <jpeglib.h>
#include <stdbool.h>

#define CASES 400

static nq_random rng;

static int between(int low, int high)
{
    return low + (int)(nq_random_u32(&rng) % (uint32_t)(high - low + 1));
}

typedef struct {
    struct jpeg_error_mgr errors;
    jmp_buf failed;
} handler;

static void on_error(j_common_ptr cinfo)
{
    longjmp(((handler *)cinfo->err)->failed, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

/* Edges and noise: neighbours that differ, so that a chroma sample too few shows. */
static void draw_row(uint8_t *row, int bytes, int y)
{
    for (int x = 0; x < bytes; x++)
        row[x] = (uint8_t)((x / 7 + y / 5) % 2 * 128 + (int)(nq_random_u32(&rng) & 127));
}

static void choose_format(struct jpeg_compress_struct *c)
{
    static const int samplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}, {1, 4}};
    const int *s = samplings[between(0, 6)];
    jpeg_set_defaults(c);
    if (c->num_components == 1 && between(0, 1))
        c->comp_info[0].h_samp_factor = c->comp_info[0].v_samp_factor = 2;
    if (c->num_components == 3) {
        c->comp_info[0].h_samp_factor = s[0];
        c->comp_info[0].v_samp_factor = s[1];
    }
    jpeg_set_quality(c, between(5, 100), TRUE);
    c->restart_interval = between(0, 3) == 0 ? (unsigned)between(1, 40) : 0;
    c->optimize_coding = between(0, 1);
    if (between(0, 5) == 0)
        jpeg_simple_progression(c);
}

static size_t make_file(int w, int h, uint8_t **file)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned long size = 0;
    uint8_t row[3 * 1200], *at = row;
    *file = NULL;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, file, &size);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = between(0, 4) == 0 ? 1 : 3;
    c.in_color_space = c.input_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    choose_format(&c);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < h; y++) {
        draw_row(row, w * c.input_components, y);
        jpeg_write_scanlines(&c, &at, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return size;
}

/* rgb u8 [h][w][3] of the whole picture; false: libjpeg refuses it. */
static bool decode_whole(const uint8_t *file, size_t size, uint8_t *rgb)
{
    struct jpeg_decompress_struct c;
    handler h;
    c.err = jpeg_std_error(&h.errors);
    h.errors.error_exit = on_error;
    h.errors.emit_message = on_message;
    jpeg_create_decompress(&c);
    if (setjmp(h.failed)) {
        jpeg_destroy_decompress(&c);
        return false;
    }
    jpeg_mem_src(&c, file, size);
    jpeg_read_header(&c, TRUE);
    c.out_color_space = JCS_RGB;
    jpeg_start_decompress(&c);
    while (c.output_scanline < c.output_height) {
        uint8_t *row = rgb + (size_t)c.output_scanline * c.output_width * 3;
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_destroy_decompress(&c);
    return true;
}

static void damage(uint8_t *file, size_t size)
{
    for (int n = between(1, 4); n > 0; n--)
        file[between((int)size / 3, (int)size - 3)] ^= (uint8_t)between(1, 255);
}

static void compare(nq_decoder *decoder, int number)
{
    static uint8_t got[NQ_CROP_BYTES], want[NQ_CROP_BYTES];
    nq_error err = {0};
    nq_random_init(&rng, 1, (uint64_t)number);
    int w = between(0, 3) ? between(300, 1200) : between(1, 400), h = between(60, 300);
    uint8_t *file, *rgb = malloc((size_t)w * h * 3);
    size_t size = make_file(w, h, &file);
    bool damaged = between(0, 2) == 0;
    if (damaged)
        damage(file, size);
    assert_non_null(rgb);
    nq_status status = nq_decoder_crop(decoder, file, size, "case", got, &err);
    if (!damaged)
        assert_ok(status, &err);
    if (status == NQ_OK) {
        assert_true(decode_whole(file, size, rgb));
        assert_ok(nq_decoder_resize(decoder, rgb, w, h, want, &err), &err);
        if (memcmp(got, want, sizeof got) != 0)
            fail_msg("case %d (%d x %d%s) differs", number, w, h, damaged ? ", damaged" : "");
    }
    free(rgb);
    free(file);
}

static void columns_left_out_do_not_show(void **state)
{
    (void)state;
    nq_decoder *decoder;
    nq_error err = {0};
    assert_ok(nq_decoder_create(&decoder, &err), &err);
    const char *more = getenv("NETQ_CASES");
    for (int i = 0; i < (more ? atoi(more) : CASES); i++)
        compare(decoder, i);
    nq_decoder_free(decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_left_out_do_not_show)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
