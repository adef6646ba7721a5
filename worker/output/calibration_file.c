#include "worker/output/calibration_file.h"

#include "common/file.h"
#include "worker/imagenet/crop.h"
#include "worker/output/npy.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE     NQ_CROP
#define CHANNELS 3
#define PIXELS   ((size_t)SIDE * SIDE)
#define STEP     (SIDE + NQ_SHEET_GAP)

static void to_planes(const float *image, float *planes)
{
    for (size_t c = 0; c < CHANNELS; c++)
        for (size_t p = 0; p < PIXELS; p++)
            planes[c * PIXELS + p] = image[p * CHANNELS + c];
}

static nq_status write_images(nq_file_writer *writer, const char *path, const float *images,
                              size_t count, float *planes, nq_error *err)
{
    char header[NQ_NPY_HEADER], shape[40];
    snprintf(shape, sizeof shape, "(%zu, %d, %d, %d)", count, CHANNELS, SIDE, SIDE);
    nq_npy_header(header, shape);
    nq_status status = nq_file_write_all(writer->fd, header, sizeof header, path, err);
    for (size_t i = 0; i < count && status == NQ_OK; i++) {
        to_planes(images + i * PIXELS * CHANNELS, planes);
        status =
            nq_file_write_all(writer->fd, planes, PIXELS * CHANNELS * sizeof *planes, path, err);
    }
    return status;
}

nq_status nq_calibration_write_npy(const char *path, const float *images, size_t count,
                                   nq_error *err)
{
    nq_file_writer writer = {0};
    float *planes = malloc(PIXELS * CHANNELS * sizeof *planes);
    if (!planes)
        return nq_fail_nomem(err, path, PIXELS * CHANNELS * sizeof *planes);
    nq_status status = nq_file_begin(&writer, path, err);
    if (status == NQ_OK)
        status = write_images(&writer, path, images, count, planes, err);
    free(planes);
    if (status == NQ_OK)
        return nq_file_commit(&writer, err);
    nq_file_abandon(&writer);
    return status;
}

/* Black and white after the normalisation, a channel each. */
typedef struct {
    float black[CHANNELS], white[CHANNELS];
} ends;

static ends find_ends(void)
{
    ends e = {0};
    nq_pixel_limits(e.black, e.white);
    return e;
}

static uint8_t pixel_of(float value, const ends *e, size_t c)
{
    float level = (value - e->black[c]) / (e->white[c] - e->black[c]);
    level = level > 0.0f ? level : 0.0f; /* a NaN is black */
    return (uint8_t)lrintf(255.0f * (level < 1.0f ? level : 1.0f));
}

static void draw_image(const float *image, const ends *e, size_t stride, uint8_t *corner)
{
    for (size_t y = 0; y < SIDE; y++)
        for (size_t i = 0; i < SIDE * CHANNELS; i++)
            corner[y * stride + i] = pixel_of(image[y * SIDE * CHANNELS + i], e, i % CHANNELS);
}

static nq_status encode(const uint8_t *pixels, size_t width, size_t height, const char *path,
                        nq_error *err)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)width,
                     .height = (png_uint_32)height,
                     .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = 0;
    void *data = NULL;
    if (!png_image_write_to_memory(&png, NULL, &size, 0, pixels, 0, NULL))
        return nq_fail(err, NQ_ERR_INTERNAL, "%s: libpng: %s", path, png.message);
    if (!(data = malloc(size)))
        return nq_fail_nomem(err, path, size);
    nq_status status = NQ_OK;
    if (!png_image_write_to_memory(&png, data, &size, 0, pixels, 0, NULL))
        status = nq_fail(err, NQ_ERR_INTERNAL, "%s: libpng: %s", path, png.message);
    if (status == NQ_OK)
        status = nq_file_write_atomic(path, data, size, err);
    free(data);
    return status;
}

nq_status nq_calibration_write_sheet(const char *path, const float *images, size_t count,
                                     nq_error *err)
{
    size_t columns = 1;
    while (columns * columns < count)
        columns++;
    size_t rows = (count + columns - 1) / columns;
    size_t width = columns * STEP - NQ_SHEET_GAP, height = rows * STEP - NQ_SHEET_GAP;
    size_t stride = width * CHANNELS;
    ends e = find_ends();
    uint8_t *pixels = malloc(stride * height);
    if (!pixels)
        return nq_fail_nomem(err, path, stride * height);
    memset(pixels, NQ_SHEET_PAPER, stride * height);
    for (size_t i = 0; i < count; i++)
        draw_image(images + i * PIXELS * CHANNELS, &e, stride,
                   pixels + i / columns * STEP * stride + i % columns * STEP * CHANNELS);
    nq_status status = encode(pixels, width, height, path, err);
    free(pixels);
    return status;
}
