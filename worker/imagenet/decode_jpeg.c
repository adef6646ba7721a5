#include "worker/imagenet/decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

/* Pillow reads a file in pieces of this size and lets libjpeg suspend in between. What libjpeg
 * makes of damaged data could depend on the pieces, so we hand over the same ones. */
#define PIECE 65536

/* A progressive file of a few kilobytes can hold thousands of scans, each a pass over all pixels.
 * Ordinary files have about ten. */
#define MAX_SCANS 500

#define CMYK 4

typedef struct {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    bool too_many_scans;
    size_t not_given; /* bytes of the file behind the piece that libjpeg has */
    size_t to_skip;   /* bytes that libjpeg skipped beyond that piece */
} jpeg;

static void on_error(j_common_ptr cinfo)
{
    longjmp(((jpeg *)cinfo->client_data)->failed, 1);
}

/* Warnings mean damage that libjpeg repairs; Pillow takes such pictures. */
static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

static void on_progress(j_common_ptr cinfo)
{
    jpeg *j = cinfo->client_data;
    if (j->cinfo.input_scan_number > MAX_SCANS) {
        j->too_many_scans = true;
        longjmp(j->failed, 1);
    }
}

static void source_nothing(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_suspend(j_decompress_ptr cinfo)
{
    (void)cinfo;
    return FALSE;
}

static void source_skip(j_decompress_ptr cinfo, long bytes)
{
    jpeg *j = cinfo->client_data;
    if (bytes <= 0)
        return;
    size_t here =
        (size_t)bytes < j->source.bytes_in_buffer ? (size_t)bytes : j->source.bytes_in_buffer;
    j->source.next_input_byte += here;
    j->source.bytes_in_buffer -= here;
    j->to_skip = (size_t)bytes - here;
}

/* Gives libjpeg the next piece; false at the end of the file. */
static bool give_more(jpeg *j)
{
    size_t piece = j->not_given < PIECE ? j->not_given : PIECE;
    if (piece == 0)
        return false;
    j->source.bytes_in_buffer += piece;
    j->not_given -= piece;
    if (j->to_skip > 0)
        source_skip(&j->cinfo, (long)j->to_skip);
    return true;
}

static nq_status truncated(const char *name, nq_error *err)
{
    return nq_fail(err, NQ_ERR_INPUT, "%s: the JPEG file is truncated: its data end too early",
                   name);
}

static void begin(jpeg *j, const uint8_t *data, size_t size)
{
    /* A new object for each file: tables of one file must not be there for the next. */
    j->cinfo.err = &j->errors;
    j->cinfo.client_data = j;
    jpeg_create_decompress(&j->cinfo);
    j->source = (struct jpeg_source_mgr){.next_input_byte = data,
                                         .init_source = source_nothing,
                                         .fill_input_buffer = source_suspend,
                                         .skip_input_data = source_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = source_nothing};
    j->cinfo.src = &j->source;
    j->progress.progress_monitor = on_progress;
    j->cinfo.progress = &j->progress;
    j->not_given = size;
}

static nq_status read_header(jpeg *j, const char *name, nq_error *err)
{
    int got;
    do {
        got = jpeg_read_header(&j->cinfo, FALSE);
        if (got == JPEG_SUSPENDED && !give_more(j))
            return truncated(name, err);
    } while (got != JPEG_HEADER_OK); /* a stream of tables alone may come first */
    switch (j->cinfo.num_components) {
    case 1:
        j->cinfo.out_color_space = JCS_GRAYSCALE;
        break;
    case 3:
        j->cinfo.out_color_space = JCS_RGB;
        break;
    case CMYK:
        j->cinfo.out_color_space = JCS_CMYK;
        break;
    default:
        return nq_fail(err, NQ_ERR_INPUT, "%s: a JPEG of %d components; 1, 3 or 4 are supported",
                       name, j->cinfo.num_components);
    }
    return nq_check_pixels(name, j->cinfo.image_width, j->cinfo.image_height, err);
}

/* round(a * b / 255) as Pillow's MULDIV255. */
static int scale_255(int a, int b)
{
    int product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* Pillow takes every four-component file for an inverted one, as Adobe writes them: cyan = 255 -
 * raw, then red = (255 - black) - cyan * (255 - black) / 255. */
static void cmyk_to_rgb(const uint8_t *raw, size_t width, uint8_t *rgb)
{
    for (size_t x = 0; x < width; x++, raw += CMYK, rgb += 3)
        for (int c = 0; c < 3; c++) {
            int value = raw[3] - scale_255(255 - raw[c], raw[3]);
            rgb[c] = (uint8_t)(value < 0 ? 0 : value);
        }
}

static const uint8_t *row_as_rgb(const jpeg *j, const nq_row_buffers *rows)
{
    size_t width = j->cinfo.image_width;
    if (j->cinfo.output_components == 3)
        return rows->raw;
    if (j->cinfo.output_components == CMYK)
        cmyk_to_rgb(rows->raw, width, rows->rgb);
    else
        for (size_t x = 0; x < width; x++)
            memset(rows->rgb + 3 * x, rows->raw[x], 3);
    return rows->rgb;
}

/*
 * Leaves out the columns that the crop does not depend on: their coefficients are read, and not
 * transformed. One MCU more on either side, since chroma at the edge of what is left is
 * interpolated without its neighbour. Not where a picture comes in several scans: what is missing
 * in those is smoothed over from blocks further away. Returns the first column of the rows to come.
 */
static size_t leave_out_columns(jpeg *j, const nq_resizer *resizer)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    if (c->progressive_mode || jpeg_has_multiple_scans(c))
        return 0;
    JDIMENSION mcu = (JDIMENSION)(c->max_h_samp_factor * DCTSIZE), width = c->output_width;
    JDIMENSION begin = (JDIMENSION)resizer->first_column, end = (JDIMENSION)resizer->end_column;
    begin = begin > mcu ? begin - mcu : 0;
    end = end + mcu < width ? end + mcu : width;
    width = end - begin;
    if (begin == 0 && end == c->output_width)
        return 0;
    jpeg_crop_scanline(c, &begin, &width);
    return begin;
}

static nq_status read_rows(jpeg *j, const char *name, nq_row_buffers *rows, nq_resizer *resizer,
                           nq_error *err)
{
    while (!jpeg_start_decompress(&j->cinfo))
        if (!give_more(j))
            return truncated(name, err);
    size_t width = j->cinfo.output_width;
    nq_status status =
        nq_row_buffers_reserve(rows, width * j->cinfo.output_components, width * 3, err);
    if (status == NQ_OK)
        status = nq_resizer_begin(resizer, (int)width, (int)j->cinfo.output_height, err);
    if (status != NQ_OK)
        return nq_error_prefix(err, "%s", name);
    JSAMPROW row = rows->raw + leave_out_columns(j, resizer) * (size_t)j->cinfo.output_components;
    while (j->cinfo.output_scanline < j->cinfo.output_height) {
        int y = (int)j->cinfo.output_scanline;
        if (jpeg_read_scanlines(&j->cinfo, &row, 1) != 1) {
            if (!give_more(j))
                return truncated(name, err);
        } else if (y >= resizer->first_row && y < resizer->end_row) {
            nq_resizer_row(resizer, y, row_as_rgb(j, rows));
        }
    }
    /* Asked once, as Pillow does: what follows the last row may be missing, but not be unsound. */
    (void)jpeg_finish_decompress(&j->cinfo);
    return NQ_OK;
}

static nq_status explain(jpeg *j, const char *name, nq_error *err)
{
    if (j->too_many_scans)
        return nq_fail(err, NQ_ERR_INPUT, "%s: a progressive JPEG of more than %d scans", name,
                       MAX_SCANS);
    char text[JMSG_LENGTH_MAX];
    j->errors.format_message((j_common_ptr)&j->cinfo, text);
    if (j->errors.msg_code == JERR_OUT_OF_MEMORY)
        return nq_fail(err, NQ_ERR_NOMEM, "%s: out of memory while decoding (libjpeg: %s)", name,
                       text);
    if (j->errors.msg_code == JERR_CANT_SUSPEND)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: an arithmetic-coded JPEG of more than %d bytes, which Pillow cannot "
                       "read either; convert it to Huffman coding (jpegtran)",
                       name, PIECE);
    return nq_fail(err, NQ_ERR_INPUT, "%s: not a sound JPEG file (libjpeg: %s)", name, text);
}

static nq_status decode(jpeg *j, const uint8_t *data, size_t size, const char *name,
                        nq_row_buffers *rows, nq_resizer *resizer, nq_error *err)
{
    if (setjmp(j->failed) != 0)
        return explain(j, name, err);
    begin(j, data, size);
    nq_status status = read_header(j, name, err);
    return status == NQ_OK ? read_rows(j, name, rows, resizer, err) : status;
}

nq_status nq_decode_jpeg(const uint8_t *data, size_t size, const char *name, nq_row_buffers *rows,
                         nq_resizer *resizer, nq_error *err)
{
    jpeg j = {0};
    jpeg_std_error(&j.errors);
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    nq_status status = decode(&j, data, size, name, rows, resizer, err);
    jpeg_destroy_decompress(&j.cinfo);
    return status;
}
