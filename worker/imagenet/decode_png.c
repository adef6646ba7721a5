#include "worker/imagenet/decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    char reason[128];
    const uint8_t *data;
    size_t left;
    bool truncated;
    uint8_t *kept; /* interlaced: u8 [end_row - first_row][row_bytes] */
    int width, height;
    int channels; /* of a row as libpng gives it: 1 or 3 */
    bool grey16;
    bool indexed;
    uint8_t palette[256][3];
} png_reader;

static void on_error(png_structp png, png_const_charp message)
{
    png_reader *p = png_get_error_ptr(png);
    snprintf(p->reason, sizeof p->reason, "%s", message);
    longjmp(p->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, png_size_t bytes)
{
    png_reader *p = png_get_io_ptr(png);
    if (bytes > p->left) {
        p->truncated = true;
        png_error(png, "the data end too early");
    }
    memcpy(out, p->data, bytes);
    p->data += bytes;
    p->left -= bytes;
}

static nq_status begin(png_reader *p, const char *name, nq_error *err)
{
    p->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
    p->info = p->png ? png_create_info_struct(p->png) : NULL;
    if (!p->info)
        return nq_fail_nomem(err, name, sizeof *p);
    png_set_read_fn(p->png, p, on_read);
    png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(p->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_benign_errors(p->png, 1);
    /* Pillow checks every checksum before the pixels and none of the pixels'. */
    png_set_crc_action(p->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(p->png, p->info);
    png_set_crc_action(p->png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    return NQ_OK;
}

/* An index beyond the palette is a grey of that value in Pillow. */
static void copy_palette(png_reader *p)
{
    png_colorp colors = NULL;
    int count = 0;
    for (int i = 0; i < 256; i++)
        memset(p->palette[i], i, 3);
    if (!png_get_PLTE(p->png, p->info, &colors, &count))
        png_error(p->png, "it has no palette");
    for (int i = 0; i < count && i < 256; i++) {
        p->palette[i][0] = colors[i].red;
        p->palette[i][1] = colors[i].green;
        p->palette[i][2] = colors[i].blue;
    }
}

/* Pillow's convert("RGB"): alpha, transparency and gamma are dropped, 16-bit colours keep their
 * high byte; but 16-bit grey (its mode "I") is clipped to 0..255, see row_as_rgb(). */
static void choose_transforms(png_reader *p)
{
    int type = png_get_color_type(p->png, p->info), depth = png_get_bit_depth(p->png, p->info);
    p->indexed = type == PNG_COLOR_TYPE_PALETTE;
    p->grey16 = type == PNG_COLOR_TYPE_GRAY && depth == 16;
    p->channels = type & PNG_COLOR_MASK_COLOR && !p->indexed ? 3 : 1;
    if (p->indexed) {
        copy_palette(p);
        png_set_packing(p->png);
    } else if (depth < 8) {
        png_set_expand_gray_1_2_4_to_8(p->png);
    } else if (depth == 16 && !p->grey16) {
        png_set_strip_16(p->png);
    }
    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(p->png);
}

static const uint8_t *row_as_rgb(const png_reader *p, const uint8_t *raw, uint8_t *rgb)
{
    if (p->channels == 3)
        return raw;
    for (size_t x = 0; x < (size_t)p->width; x++) {
        if (p->indexed)
            memcpy(rgb + 3 * x, p->palette[raw[x]], 3);
        else if (p->grey16)
            memset(rgb + 3 * x, raw[2 * x] ? 255 : raw[2 * x + 1], 3);
        else
            memset(rgb + 3 * x, raw[x], 3);
    }
    return rgb;
}

static void read_rows(png_reader *p, nq_row_buffers *rows, nq_resizer *resizer)
{
    for (int y = 0; y < p->height; y++) {
        png_read_row(p->png, rows->raw, NULL);
        if (y >= resizer->first_row && y < resizer->end_row)
            nq_resizer_row(resizer, y, row_as_rgb(p, rows->raw, rows->rgb));
    }
}

/* Each pass adds pixels to rows that earlier passes began: the rows that the crop needs are kept
 * until the last pass, all others share one buffer. */
static nq_status read_interlaced(png_reader *p, size_t row_bytes, int passes, nq_row_buffers *rows,
                                 nq_resizer *resizer, nq_error *err)
{
    int first = resizer->first_row, end = resizer->end_row;
    p->kept = calloc((size_t)(end - first) * row_bytes + NQ_RESIZE_SLACK, 1);
    if (!p->kept)
        return nq_fail_nomem(err, "an interlaced picture", (end - first) * (uint64_t)row_bytes);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < p->height; y++) {
            bool keep = y >= first && y < end;
            png_read_row(p->png, keep ? p->kept + (size_t)(y - first) * row_bytes : rows->raw,
                         NULL);
        }
    for (int y = first; y < end; y++)
        nq_resizer_row(resizer, y,
                       row_as_rgb(p, p->kept + (size_t)(y - first) * row_bytes, rows->rgb));
    return NQ_OK;
}

static nq_status decode(png_reader *p, const char *name, nq_row_buffers *rows, nq_resizer *resizer,
                        nq_error *err)
{
    if (setjmp(p->failed) != 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s: %s PNG file under a JPEG name (libpng: %s)", name,
                       p->truncated ? "a truncated" : "an unsound", p->reason);
    nq_status status = begin(p, name, err);
    if (status != NQ_OK)
        return status;
    uint32_t width = png_get_image_width(p->png, p->info);
    uint32_t height = png_get_image_height(p->png, p->info);
    status = nq_check_pixels(name, width, height, err);
    if (status != NQ_OK)
        return status;
    p->width = (int)width;
    p->height = (int)height;
    choose_transforms(p);
    int passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    size_t row_bytes = png_get_rowbytes(p->png, p->info);
    status = nq_row_buffers_reserve(rows, row_bytes, (size_t)width * 3, err);
    if (status == NQ_OK)
        status = nq_resizer_begin(resizer, p->width, p->height, err);
    if (status == NQ_OK && passes > 1)
        status = read_interlaced(p, row_bytes, passes, rows, resizer, err);
    else if (status == NQ_OK)
        read_rows(p, rows, resizer);
    /* What follows the pixels is not read, as Pillow does not mind if it is missing. */
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "%s", name);
}

nq_status nq_decode_png(const uint8_t *data, size_t size, const char *name, nq_row_buffers *rows,
                        nq_resizer *resizer, nq_error *err)
{
    png_reader p = {.data = data, .left = size};
    nq_status status = decode(&p, name, rows, resizer, err);
    png_destroy_read_struct(&p.png, &p.info, NULL);
    free(p.kept);
    return status;
}
