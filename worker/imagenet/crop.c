#include "worker/imagenet/crop.h"

#include "worker/imagenet/decode.h"
#include "worker/imagenet/resize.h"

#include <stdlib.h>
#include <string.h>

struct nq_decoder {
    nq_row_buffers rows;
    nq_resizer resizer;
};

nq_status nq_decoder_create(nq_decoder **decoder, nq_error *err)
{
    *decoder = calloc(1, sizeof **decoder);
    return *decoder ? NQ_OK : nq_fail_nomem(err, "an image decoder", sizeof **decoder);
}

void nq_decoder_free(nq_decoder *decoder)
{
    if (!decoder)
        return;
    nq_row_buffers_free(&decoder->rows);
    nq_resizer_free(&decoder->resizer);
    free(decoder);
}

static bool grow(uint8_t **buffer, size_t *room, size_t want)
{
    if (want <= *room)
        return true;
    free(*buffer);
    *buffer = malloc(want);
    *room = *buffer ? want : 0;
    return *buffer;
}

nq_status nq_row_buffers_reserve(nq_row_buffers *b, size_t raw, size_t rgb, nq_error *err)
{
    if (!grow(&b->raw, &b->raw_room, raw + NQ_RESIZE_SLACK) ||
        !grow(&b->rgb, &b->rgb_room, rgb + NQ_RESIZE_SLACK))
        return nq_fail_nomem(err, "one row of pixels", raw + rgb);
    return NQ_OK;
}

void nq_row_buffers_free(nq_row_buffers *b)
{
    free(b->raw);
    free(b->rgb);
    *b = (nq_row_buffers){0};
}

nq_status nq_check_pixels(const char *name, uint64_t width, uint64_t height, nq_error *err)
{
    if (width == 0 || height == 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s: a picture of %llu x %llu pixels", name,
                       (unsigned long long)width, (unsigned long long)height);
    if (width * height > NQ_MAX_PIXELS)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: a picture of %llu x %llu pixels; above %d Pillow refuses it as a "
                       "decompression bomb, and so does netq",
                       name, (unsigned long long)width, (unsigned long long)height, NQ_MAX_PIXELS);
    return NQ_OK;
}

/* Formats that a file of that name turns out to be; the ones Pillow would read are named so that a
 * person knows what to convert. '?' stands for any byte. */
static const struct {
    const char *name;
    const char *signature;
    size_t size;
} formats[] = {
    {"GIF", "GIF8", 4},
    {"WebP", "RIFF????WEBP", 12},
    {"TIFF", "II*\0", 4},
    {"TIFF", "MM\0*", 4},
    {"BMP", "BM", 2},
    {"JPEG 2000", "\0\0\0\x0cjP  ", 8},
    {"JPEG 2000", "\xff\x4f\xff\x51", 4},
    {"JPEG XL", "\xff\x0a", 2},
    {"HEIF or AVIF", "????ftyp", 8},
    {"PSD", "8BPS", 4},
    {"PBM", "P1", 2},
    {"PGM", "P2", 2},
    {"PPM", "P3", 2},
    {"PBM", "P4", 2},
    {"PGM", "P5", 2},
    {"PPM", "P6", 2},
    {"ICO", "\0\0\1\0", 4},
    {"PDF", "%PDF", 4},
    {"HTML", "<", 1},
    {"gzip", "\x1f\x8b", 2},
};

static bool matches(const uint8_t *data, size_t size, const char *signature, size_t length)
{
    if (size < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (signature[i] != '?' && data[i] != (uint8_t)signature[i])
            return false;
    return true;
}

static nq_status refuse_format(const uint8_t *data, size_t size, const char *name, nq_error *err)
{
    if (size == 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s is empty", name);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (matches(data, size, formats[i].signature, formats[i].size))
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s is a %s file under a JPEG name; convert it to JPEG", name,
                           formats[i].name);
    return nq_fail(err, NQ_ERR_INPUT, "%s is not an image: it begins like no format known", name);
}

nq_status nq_decoder_crop(nq_decoder *decoder, const uint8_t *data, size_t size, const char *name,
                          uint8_t *crop, nq_error *err)
{
    nq_status status;
    if (matches(data, size, "\xff\xd8\xff", 3))
        status = nq_decode_jpeg(data, size, name, &decoder->rows, &decoder->resizer, err);
    else if (matches(data, size, "\x89PNG\r\n\x1a\n", 8))
        status = nq_decode_png(data, size, name, &decoder->rows, &decoder->resizer, err);
    else
        status = refuse_format(data, size, name, err);
    if (status == NQ_OK)
        nq_resizer_end(&decoder->resizer, crop);
    return status;
}

nq_status nq_decoder_resize(nq_decoder *decoder, const uint8_t *rgb, int w, int h, uint8_t *crop,
                            nq_error *err)
{
    nq_resizer *r = &decoder->resizer;
    size_t row = (size_t)w * 3;
    nq_status status = nq_resizer_begin(r, w, h, err);
    if (status == NQ_OK)
        status = nq_row_buffers_reserve(&decoder->rows, 0, row, err);
    if (status != NQ_OK)
        return status;
    for (int y = r->first_row; y < r->end_row; y++) {
        memcpy(decoder->rows.rgb, rgb + (size_t)y * row, row);
        nq_resizer_row(r, y, decoder->rows.rgb);
    }
    nq_resizer_end(r, crop);
    return NQ_OK;
}

void nq_pixel_table(float table[3][256])
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < 256; p++)
            table[c][p] = ((float)p / 255.0f - mean[c]) / deviation[c];
}

void nq_pixel_limits(float low[3], float high[3])
{
    float table[3][256];
    nq_pixel_table(table);
    for (int c = 0; c < 3; c++) {
        low[c] = table[c][0];
        high[c] = table[c][255];
    }
}
