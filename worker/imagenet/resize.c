#include "worker/imagenet/resize.h"

#include "worker/imagenet/crop.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_SIDE     256
#define FRACTION_BITS  22 /* Pillow's PRECISION_BITS = 32 - 8 - 2 */
#define HALF           (1 << (FRACTION_BITS - 1))
#define CROP_ROW_BYTES (NQ_CROP * 3)

/* Both sides after Resize(256): the shorter is 256, the longer int(256 * long / short). */
static void resized_size(int width, int height, double *new_width, double *new_height)
{
    int shorter = width < height ? width : height, longer = width < height ? height : width;
    double longest = floor((double)((int64_t)SHORT_SIDE * longer) / shorter);
    *new_width = width <= height ? SHORT_SIDE : longest;
    *new_height = width <= height ? longest : SHORT_SIDE;
}

static nq_status make_room(void **memory, size_t *room, size_t want, size_t size, const char *what,
                           nq_error *err)
{
    if (want <= *room)
        return NQ_OK;
    free(*memory);
    *room = 0;
    *memory = want > SIZE_MAX / size ? NULL : malloc(want * size);
    if (!*memory)
        return nq_fail_nomem(err, what, (unsigned long long)want * size);
    *room = want;
    return NQ_OK;
}

/* Pillow's precompute_coeffs and normalize_coeffs_8bpc for one output pixel: the same operations
 * on doubles in the same order. */
static void make_output_taps(nq_taps *taps, int i, int in, double center, double support,
                             double *weights)
{
    int first = (int)(center - support + 0.5);
    if (first < 0)
        first = 0;
    double last = center + support + 0.5;
    int count = (last < in ? (int)last : in) - first;
    double step = 1.0 / support, sum = 0.0;
    for (int t = 0; t < count; t++) {
        double x = fabs((t + first - center + 0.5) * step);
        weights[t] = x < 1.0 ? 1.0 - x : 0.0;
        sum += weights[t];
    }
    int32_t *fixed = taps->weights + (size_t)i * taps->stride;
    for (int t = 0; t < count; t++) {
        double w = sum != 0.0 ? weights[t] / sum : weights[t];
        fixed[t] = (int32_t)(0.5 + w * (1 << FRACTION_BITS));
    }
    taps->first[i] = first;
    taps->count[i] = count;
}

/* The taps of the crop's 224 outputs of an axis that goes from `in` to `out` pixels. */
static nq_status make_taps(nq_taps *taps, int in, double out, nq_error *err)
{
    double scale = in / out, support = scale < 1.0 ? 1.0 : scale;
    taps->stride = (int)ceil(support) * 2 + 1;
    if (out > INT_MAX / (taps->stride * (int)sizeof(double)))
        return nq_fail(err, NQ_ERR_INPUT,
                       "resized to a short side of %d it is %.0f pixels long, more than Pillow "
                       "can resize",
                       SHORT_SIDE, out);
    nq_status status =
        make_room((void **)&taps->weights, &taps->room, (size_t)NQ_CROP * taps->stride,
                  sizeof *taps->weights, "resizing weights", err);
    if (status != NQ_OK)
        return status;
    double *weights = malloc((size_t)taps->stride * sizeof *weights);
    if (!weights)
        return nq_fail_nomem(err, "resizing weights", (size_t)taps->stride * sizeof *weights);
    /* rint() rounds half to even, as Python's round() does in CenterCrop. */
    double crop_start = rint((out - NQ_CROP) / 2.0);
    for (int i = 0; i < NQ_CROP; i++)
        make_output_taps(taps, i, in, (crop_start + i + 0.5) * scale, support, weights);
    free(weights);
    return NQ_OK;
}

nq_status nq_resizer_begin(nq_resizer *r, int width, int height, nq_error *err)
{
    double new_width, new_height;
    resized_size(width, height, &new_width, &new_height);
    nq_status status = make_taps(&r->x, width, new_width, err);
    if (status == NQ_OK)
        status = make_taps(&r->y, height, new_height, err);
    if (status != NQ_OK)
        return status;
    r->width = width;
    r->height = height;
    r->first_row = r->y.first[0];
    r->end_row = r->y.first[NQ_CROP - 1] + r->y.count[NQ_CROP - 1];
    return make_room((void **)&r->rows, &r->room, (size_t)(r->end_row - r->first_row),
                     CROP_ROW_BYTES, "resized rows", err);
}

/* Weights are never negative, so a sum lies between HALF and 255 + rounding, never below 0. */
static uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

void nq_resizer_row(nq_resizer *r, int y, const uint8_t *rgb)
{
    if (y < r->first_row || y >= r->end_row)
        return;
    uint8_t *out = r->rows + (size_t)(y - r->first_row) * CROP_ROW_BYTES;
    for (int i = 0; i < NQ_CROP; i++, out += 3) {
        const uint8_t *in = rgb + (size_t)r->x.first[i] * 3;
        const int32_t *weights = r->x.weights + (size_t)i * r->x.stride;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int t = 0; t < r->x.count[i]; t++, in += 3) {
            red += in[0] * weights[t];
            green += in[1] * weights[t];
            blue += in[2] * weights[t];
        }
        out[0] = to_byte(red);
        out[1] = to_byte(green);
        out[2] = to_byte(blue);
    }
}

void nq_resizer_end(nq_resizer *r, uint8_t *crop)
{
    for (int i = 0; i < NQ_CROP; i++) {
        int32_t sums[CROP_ROW_BYTES];
        for (int b = 0; b < CROP_ROW_BYTES; b++)
            sums[b] = HALF;
        const uint8_t *in = r->rows + (size_t)(r->y.first[i] - r->first_row) * CROP_ROW_BYTES;
        for (int t = 0; t < r->y.count[i]; t++, in += CROP_ROW_BYTES) {
            int32_t weight = r->y.weights[(size_t)i * r->y.stride + t];
            for (int b = 0; b < CROP_ROW_BYTES; b++)
                sums[b] += in[b] * weight;
        }
        for (int b = 0; b < CROP_ROW_BYTES; b++)
            crop[(size_t)i * CROP_ROW_BYTES + b] = to_byte(sums[b]);
    }
}

void nq_resizer_free(nq_resizer *r)
{
    free(r->x.weights);
    free(r->y.weights);
    free(r->rows);
    memset(r, 0, sizeof *r);
}
