#include "worker/imagenet/resize.h"

#include "worker/imagenet/crop.h"
#include "worker/imagenet/resize_kernels.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_SIDE   256
#define PACKED_ALIGN 64
#define MOST_BLOCK   16 /* outputs of a row that kernels compute together */

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
        fixed[t] = (int32_t)(0.5 + w * (1 << NQ_RESIZE_BITS));
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

/* Groups of `width` taps for each block of outputs. A window that would leave the axis begins
 * earlier, with weights of 0; one that is longer than the axis ends beyond it. */
static int group_taps(const nq_taps *taps, int block, int width, bool within, nq_packed_taps *p)
{
    int total = 0;
    for (int i = 0; i < NQ_CROP; i += block) {
        int most = 0;
        for (int n = i; n < i + block; n++)
            most = taps->count[n] > most ? taps->count[n] : most;
        p->groups[i] = (most + width - 1) / width;
        p->start[i] = total;
        total += p->groups[i];
        int last = taps->in - p->groups[i] * width;
        for (int n = i; n < i + block; n++) {
            p->first[n] = within && taps->first[n] > last ? last : taps->first[n];
            p->first[n] = p->first[n] < 0 ? 0 : p->first[n];
        }
    }
    return total;
}

static nq_status reserve_weights(nq_packed_taps *p, size_t bytes, nq_error *err)
{
    if (bytes <= p->room)
        return NQ_OK;
    free(p->weights);
    p->room = 0;
    p->weights = aligned_alloc(PACKED_ALIGN, bytes / PACKED_ALIGN * PACKED_ALIGN + PACKED_ALIGN);
    if (!p->weights)
        return nq_fail_nomem(err, "resizing weights", bytes);
    p->room = bytes;
    return NQ_OK;
}

static nq_status pack_rows(const nq_resize_kernels *k, const nq_taps *taps, nq_packed_taps *p,
                           nq_error *err)
{
    if (!k->pack_row)
        return NQ_OK;
    int total = group_taps(taps, k->row_block, k->row_taps, true, p);
    nq_status status = reserve_weights(p, (size_t)total * k->row_bytes, err);
    if (status != NQ_OK)
        return status;
    uint8_t *to = p->weights;
    for (int i = 0; i < NQ_CROP; i += k->row_block) {
        int first[MOST_BLOCK];
        for (int n = 0; n < k->row_block; n++)
            first[n] = p->first[i + n];
        for (int g = 0; g < p->groups[i]; g++, to += k->row_bytes) {
            k->pack_row(taps, i, first, to);
            for (int n = 0; n < k->row_block; n++)
                first[n] += k->row_taps;
        }
    }
    return NQ_OK;
}

static nq_status pack_columns(const nq_resize_kernels *k, const nq_taps *taps, nq_packed_taps *p,
                              nq_error *err)
{
    if (!k->pack_column)
        return NQ_OK;
    int total = group_taps(taps, 1, k->column_taps, false, p);
    nq_status status = reserve_weights(p, (size_t)total * k->column_bytes, err);
    if (status != NQ_OK)
        return status;
    uint8_t *to = p->weights;
    for (int i = 0; i < NQ_CROP; i++)
        for (int g = 0; g < p->groups[i]; g++, to += k->column_bytes)
            k->pack_column(taps, i, p->first[i] + g * k->column_taps, to);
    return NQ_OK;
}

/* Taps and packed taps of an axis, unless those of the picture before serve. */
static nq_status make_axis(const nq_resize_kernels *k, nq_taps *taps, nq_packed_taps *packed,
                           bool column, int in, double out, nq_error *err)
{
    if (taps->in == in && taps->out == out)
        return NQ_OK;
    taps->in = 0;
    nq_status status = make_taps(taps, in, out, err);
    if (status != NQ_OK)
        return status;
    taps->in = in;
    taps->out = out;
    status = column ? pack_columns(k, taps, packed, err) : pack_rows(k, taps, packed, err);
    if (status != NQ_OK)
        taps->in = 0;
    return status;
}

nq_status nq_resizer_begin(nq_resizer *r, int width, int height, nq_error *err)
{
    double new_width, new_height;
    if (!r->kernels)
        r->kernels = nq_resize_kernels_select();
    resized_size(width, height, &new_width, &new_height);
    nq_status status = make_axis(r->kernels, &r->x, &r->packed_x, false, width, new_width, err);
    if (status == NQ_OK)
        status = make_axis(r->kernels, &r->y, &r->packed_y, true, height, new_height, err);
    if (status != NQ_OK)
        return status;
    r->width = width;
    r->height = height;
    r->first_row = r->y.first[0];
    r->end_row = r->y.first[NQ_CROP - 1] + r->y.count[NQ_CROP - 1];
    r->first_column = r->x.first[0];
    r->end_column = r->x.first[NQ_CROP - 1] + r->x.count[NQ_CROP - 1];
    size_t kept = (size_t)(r->end_row - r->first_row), spare = (size_t)r->kernels->column_taps;
    status =
        make_room((void **)&r->rows, &r->room, kept + spare, NQ_RESIZE_PITCH, "resized rows", err);
    if (status == NQ_OK) /* read by the last groups, with weights of 0 */
        memset(r->rows + kept * NQ_RESIZE_PITCH, 0, spare * NQ_RESIZE_PITCH);
    return status;
}

void nq_resizer_row(nq_resizer *r, int y, const uint8_t *rgb)
{
    if (y < r->first_row || y >= r->end_row)
        return;
    r->kernels->row(&r->x, &r->packed_x, rgb,
                    r->rows + (size_t)(y - r->first_row) * NQ_RESIZE_PITCH);
}

void nq_resizer_end(nq_resizer *r, uint8_t *crop)
{
    for (int i = 0; i < NQ_CROP; i++)
        r->kernels->column(&r->y, &r->packed_y, i,
                           r->rows + (size_t)(r->y.first[i] - r->first_row) * NQ_RESIZE_PITCH,
                           crop + (size_t)i * NQ_RESIZE_ROW);
}

void nq_resizer_free(nq_resizer *r)
{
    free(r->x.weights);
    free(r->y.weights);
    free(r->packed_x.weights);
    free(r->packed_y.weights);
    free(r->rows);
    memset(r, 0, sizeof *r);
}
