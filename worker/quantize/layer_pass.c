#include "worker/quantize/layer_pass.h"

#include "worker/quantize/gram.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the passes share. */
typedef struct {
    const nq_layer_pass *pass;
    const nq_node *node;
    size_t in_each, out_each, pixels, channels, images;
    const nq_channel_stats *stats;
    const float *gain, *shift;
    nq_qparams params;
    float *real;
    uint8_t *stored;
    struct slice_sums *sums; /* [slices][channels] */
    double *weights;         /* [slices] */
    uint32_t *counts;        /* [threads][channels][NQ_CHANNEL_BINS] */
} passing;

/* Of one channel in one slice. */
struct slice_sums {
    double z, y, zz, yy, relu;
    float low, high;
};

static passing passing_of(const nq_layer_pass *pass, size_t images)
{
    const nq_node *node = &pass->graph->nodes[pass->node];
    return (passing){.pass = pass,
                     .node = node,
                     .in_each = nq_layer_input_elements(pass->in),
                     .out_each = nq_node_elements(node),
                     .pixels = (size_t)node->height * (size_t)node->width,
                     .channels = (size_t)node->channels,
                     .images = images};
}

static size_t slices_of(size_t images)
{
    return (images + NQ_RUNNER_SLICE - 1) / NQ_RUNNER_SLICE;
}

static size_t slice_images(const passing *p, size_t slice)
{
    size_t left = p->images - slice * NQ_RUNNER_SLICE;
    return left < NQ_RUNNER_SLICE ? left : NQ_RUNNER_SLICE;
}

/* A slice through the layer; a last slice that is not full is filled with zeros. */
static nq_status run_slice(const passing *p, size_t slice, int thread, bool trial, float **out,
                           nq_error *err)
{
    float *room = nq_layer_runner_in(p->pass->runner, thread);
    size_t from = slice * NQ_RUNNER_SLICE * p->in_each, n = slice_images(p, slice) * p->in_each;
    const nq_layer_input *in = p->pass->in;
    if (trial)
        for (size_t i = 0; i < n; i++)
            room[i] = in->value[in->stored[from + i]];
    else
        memcpy(room, in->real + from, n * sizeof *room);
    memset(room + n, 0, (NQ_RUNNER_SLICE * p->in_each - n) * sizeof *room);
    *out = nq_layer_runner_out(p->pass->runner, thread);
    return nq_layer_runner_run(p->pass->runner, thread, p->pass->node, trial, err);
}

/* ---- moments ---- */

static nq_status weigh_positions(const passing *p, const float *z, size_t positions, float **weight,
                                 nq_error *err)
{
    float *room = malloc(3 * positions * sizeof *room), *norm = room ? room + positions : NULL;
    if (!room)
        return nq_fail_nomem(err, "weights of positions", 3 * positions * sizeof *room);
    *weight = room;
    if (p->node->op == NQ_OP_LINEAR) {
        for (size_t i = 0; i < positions; i++)
            room[i] = 1.0f;
        return NQ_OK;
    }
    for (size_t i = 0; i < positions; i++) {
        norm[i] = 0;
        for (size_t c = 0; c < p->channels; c++)
            norm[i] += z[i * p->channels + c] * z[i * p->channels + c];
    }
    nq_position_weights(norm, positions, norm + positions, room);
    return NQ_OK;
}

static void add_position(struct slice_sums *sums, size_t channels, const float *z, const float *y,
                         double w)
{
    for (size_t c = 0; c < channels; c++) {
        double a = (double)z[c], b = (double)y[c];
        struct slice_sums *s = &sums[c];
        s->z += w * a;
        s->y += w * b;
        s->zz += w * a * a;
        s->yy += w * b * b;
        s->relu += a > 0 ? a : 0;
        s->low = y[c] < s->low ? y[c] : s->low;
        s->high = y[c] > s->high ? y[c] : s->high;
    }
}

static nq_status measure_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    size_t positions = slice_images(p, slice) * p->pixels;
    float *z = p->real + slice * NQ_RUNNER_SLICE * p->out_each, *out = NULL, *weight = NULL;
    nq_status status = run_slice(p, slice, thread, false, &out, err);
    if (status != NQ_OK)
        return status;
    for (size_t i = 0; i < positions; i++)
        for (size_t c = 0; c < p->channels; c++)
            z[i * p->channels + c] =
                out[i * p->channels + c] + (p->node->bias ? p->node->bias[c] : 0.0f);
    status = run_slice(p, slice, thread, true, &out, err);
    if (status == NQ_OK)
        status = weigh_positions(p, z, positions, &weight, err);
    if (status != NQ_OK)
        return status;
    struct slice_sums *sums = p->sums + slice * p->channels;
    for (size_t c = 0; c < p->channels; c++)
        sums[c] = (struct slice_sums){.low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < positions; i++) {
        p->weights[slice] += (double)weight[i];
        add_position(sums, p->channels, z + i * p->channels, out + i * p->channels,
                     (double)weight[i]);
    }
    free(weight);
    return NQ_OK;
}

static void merge_sums(const passing *p, size_t slices, nq_channel_stats *stats)
{
    double weight = 0;
    for (size_t s = 0; s < slices; s++)
        weight += p->weights[s];
    for (size_t c = 0; c < p->channels; c++) {
        struct slice_sums all = {.low = INFINITY, .high = -INFINITY};
        for (size_t s = 0; s < slices; s++) {
            const struct slice_sums *one = &p->sums[s * p->channels + c];
            all.z += one->z;
            all.y += one->y;
            all.zz += one->zz;
            all.yy += one->yy;
            all.relu += one->relu;
            all.low = fminf(all.low, one->low);
            all.high = fmaxf(all.high, one->high);
        }
        double z = all.z / weight, y = all.y / weight;
        stats[c] = (nq_channel_stats){
            .mean_z = z,
            .mean_y = y,
            .var_z = fmax(all.zz / weight - z * z, 0),
            .var_y = fmax(all.yy / weight - y * y, 0),
            .relu_z = all.relu / (double)(p->images * p->pixels),
            .low = all.low,
            .high = all.high,
        };
    }
}

nq_status nq_layer_pass_measure(const nq_layer_pass *pass, float *real, nq_channel_stats *stats,
                                nq_error *err)
{
    passing p = passing_of(pass, pass->in->images);
    size_t slices = slices_of(p.images);
    p.real = real;
    p.sums = calloc(slices * p.channels, sizeof *p.sums);
    p.weights = calloc(slices, sizeof *p.weights);
    nq_status status = p.sums && p.weights
                           ? nq_pool_run(pass->pool, slices, measure_slice, &p, err)
                           : nq_fail_nomem(err, p.node->name, slices * p.channels * sizeof *p.sums);
    if (status == NQ_OK)
        merge_sums(&p, slices, stats);
    free(p.sums);
    free(p.weights);
    return status;
}

/* ---- histograms ---- */

static nq_status count_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    uint32_t *counts = p->counts + (size_t)thread * p->channels * NQ_CHANNEL_BINS;
    float *out = NULL;
    nq_status status = run_slice(p, slice, thread, true, &out, err);
    size_t positions = slice_images(p, slice) * p->pixels;
    for (size_t i = 0; status == NQ_OK && i < positions; i++)
        for (size_t c = 0; c < p->channels; c++) {
            const nq_channel_stats *s = &p->stats[c];
            float width = s->high - s->low;
            int bin =
                width > 0
                    ? (int)((out[i * p->channels + c] - s->low) / width * (float)NQ_CHANNEL_BINS)
                    : 0;
            bin = bin < 0 ? 0 : bin >= NQ_CHANNEL_BINS ? NQ_CHANNEL_BINS - 1 : bin;
            counts[c * NQ_CHANNEL_BINS + (size_t)bin]++;
        }
    return status;
}

nq_status nq_layer_pass_count(const nq_layer_pass *pass, const nq_channel_stats *stats,
                              uint32_t *counts, nq_error *err)
{
    passing p = passing_of(pass, pass->in->images);
    size_t each = p.channels * NQ_CHANNEL_BINS, threads = (size_t)nq_pool_threads(pass->pool);
    p.stats = stats;
    p.counts = calloc(threads * each, sizeof *p.counts);
    if (!p.counts)
        return nq_fail_nomem(err, p.node->name, threads * each * sizeof *p.counts);
    nq_status status = nq_pool_run(pass->pool, slices_of(p.images), count_slice, &p, err);
    memset(counts, 0, each * sizeof *counts);
    for (size_t t = 0; t < threads; t++)
        for (size_t i = 0; i < each; i++)
            counts[i] += p.counts[t * each + i];
    free(p.counts);
    return status;
}

/* ---- results ---- */

void nq_quantize_values(const float *x, size_t n, nq_qparams params, bool relu, uint8_t *q)
{
    float inverse = 1.0f / params.scale, zero = (float)params.zero_point;
    float low = relu ? zero : 0.0f, high = (float)params.qmax;
    for (size_t i = 0; i < n; i++) {
        float r = nearbyintf(x[i] * inverse) + zero;
        q[i] = (uint8_t)(r < low ? low : r > high ? high : r);
    }
}

static nq_status finish_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    float *out = NULL;
    nq_status status = run_slice(p, slice, thread, true, &out, err);
    size_t n = slice_images(p, slice) * p->out_each, at = slice * NQ_RUNNER_SLICE * p->out_each;
    if (status != NQ_OK)
        return status;
    for (size_t i = 0; i < n; i += p->channels)
        for (size_t c = 0; c < p->channels; c++) {
            float y = p->gain[c] * out[i + c] + p->shift[c];
            out[i + c] = p->node->relu && y < 0.0f ? 0.0f : y;
        }
    if (p->stored)
        nq_quantize_values(out, n, p->params, p->node->relu, p->stored + at);
    else
        memcpy(p->real + at, out, n * sizeof *out);
    return NQ_OK;
}

nq_status nq_layer_pass_values(const nq_layer_pass *pass, const float *gain, const float *shift,
                               size_t images, float *values, nq_error *err)
{
    passing p = passing_of(pass, images);
    p.gain = gain;
    p.shift = shift;
    p.real = values;
    return nq_pool_run(pass->pool, slices_of(images), finish_slice, &p, err);
}

nq_status nq_layer_pass_store(const nq_layer_pass *pass, const float *gain, const float *shift,
                              nq_qparams params, uint8_t *stored, nq_error *err)
{
    passing p = passing_of(pass, pass->in->images);
    p.gain = gain;
    p.shift = shift;
    p.params = params;
    p.stored = stored;
    return nq_pool_run(pass->pool, slices_of(p.images), finish_slice, &p, err);
}
