#include "worker/quantize/layer_pass.h"

#include "worker/quantize/gram.h"
#include "worker/quantize/minmax.h"
#include "worker/quantize/value_kernels.h"
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
    double *sums;     /* [slices][5][channels], see sums_of() */
    float *ends;      /* [slices][2][channels] */
    nq_range *spans;  /* [slices], of the float layer's output */
    double *weight;   /* [slices], their sum */
    uint64_t *counts; /* [threads][channels][NQ_CHANNEL_BINS] */
} passing;

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
        nq_look_up_values(in->value, in->stored + from, n, room);
    else
        memcpy(room, in->real + from, n * sizeof *room);
    memset(room + n, 0, (NQ_RUNNER_SLICE * p->in_each - n) * sizeof *room);
    *out = nq_layer_runner_out(p->pass->runner, thread);
    return nq_layer_runner_run(p->pass->runner, thread, p->pass->node, trial, err);
}

/* ---- moments ---- */

static nq_status weigh_positions(const passing *p, const float *z, size_t positions, float *weights,
                                 nq_error *err)
{
    if (p->node->op == NQ_OP_LINEAR) {
        for (size_t i = 0; i < positions; i++)
            weights[i] = 1.0f;
        return NQ_OK;
    }
    float *norm = malloc(2 * positions * sizeof *norm);
    if (!norm)
        return nq_fail_nomem(err, "weights of positions", 2 * positions * sizeof *norm);
    nq_norm_positions(z, positions, p->channels, norm);
    nq_position_weights(norm, positions, norm + positions, weights);
    free(norm);
    return NQ_OK;
}

static nq_moment_sums sums_of(const passing *p, size_t slice)
{
    double *sums = p->sums + slice * 5 * p->channels;
    float *ends = p->ends + slice * 2 * p->channels;
    return (nq_moment_sums){.z = sums,
                            .y = sums + p->channels,
                            .zz = sums + 2 * p->channels,
                            .yy = sums + 3 * p->channels,
                            .relu = sums + 4 * p->channels,
                            .low = ends,
                            .high = ends + p->channels};
}

static nq_status measure_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    size_t positions = slice_images(p, slice) * p->pixels;
    float *z = p->real + slice * NQ_RUNNER_SLICE * p->out_each, *out = NULL;
    float *weights = p->pass->weights + slice * NQ_RUNNER_SLICE * p->pixels;
    nq_status status = run_slice(p, slice, thread, false, &out, err);
    if (status != NQ_OK)
        return status;
    memcpy(z, out, positions * p->channels * sizeof *z);
    nq_scale_channels(z, positions, p->channels, NULL, p->node->bias, false);
    status = run_slice(p, slice, thread, true, &out, err);
    if (status == NQ_OK)
        status = weigh_positions(p, z, positions, weights, err);
    if (status != NQ_OK)
        return status;
    const nq_moment_sums sums = sums_of(p, slice);
    for (size_t c = 0; c < p->channels; c++) {
        sums.low[c] = INFINITY;
        sums.high[c] = -INFINITY;
    }
    for (size_t i = 0; i < positions; i++)
        p->weight[slice] += (double)weights[i];
    nq_add_moments(z, out, weights, positions, p->channels, &sums);
    if (p->node->relu)
        nq_scale_channels(z, positions, p->channels, NULL, NULL, true);
    nq_range *span = &p->spans[slice];
    *span = (nq_range){.low = INFINITY, .high = -INFINITY};
    if (!nq_minmax_widen(z, positions * p->channels, &span->low, &span->high))
        status =
            nq_fail(err, NQ_ERR_INPUT,
                    "calibration: the output of %s is not finite on these samples", p->node->name);
    return status;
}

static void merge_sums(const passing *p, size_t slices, nq_channel_stats *stats)
{
    double weight = 0;
    for (size_t s = 0; s < slices; s++)
        weight += p->weight[s];
    for (size_t c = 0; c < p->channels; c++) {
        double z = 0, y = 0, zz = 0, yy = 0, relu = 0;
        float low = INFINITY, high = -INFINITY;
        for (size_t s = 0; s < slices; s++) {
            const nq_moment_sums one = sums_of(p, s);
            z += one.z[c] / weight;
            y += one.y[c] / weight;
            zz += one.zz[c] / weight;
            yy += one.yy[c] / weight;
            relu += one.relu[c] / weight;
            low = fminf(low, one.low[c]);
            high = fmaxf(high, one.high[c]);
        }
        stats[c] = (nq_channel_stats){.mean_z = z,
                                      .mean_y = y,
                                      .var_z = fmax(zz - z * z, 0),
                                      .var_y = fmax(yy - y * y, 0),
                                      .relu_z = relu,
                                      .low = low,
                                      .high = high};
    }
}

nq_status nq_layer_pass_measure(const nq_layer_pass *pass, float *real, nq_range *span,
                                nq_channel_stats *stats, nq_error *err)
{
    passing p = passing_of(pass, pass->in->images);
    size_t slices = slices_of(p.images);
    p.real = real;
    p.sums = calloc(slices * 5 * p.channels, sizeof *p.sums);
    p.ends = calloc(slices * 2 * p.channels, sizeof *p.ends);
    p.weight = calloc(slices, sizeof *p.weight);
    p.spans = calloc(slices, sizeof *p.spans);
    nq_status status =
        p.sums && p.ends && p.weight && p.spans
            ? nq_pool_run(pass->pool, slices, measure_slice, &p, err)
            : nq_fail_nomem(err, p.node->name, slices * 5 * p.channels * sizeof *p.sums);
    if (status == NQ_OK)
        merge_sums(&p, slices, stats);
    *span = nq_range_merge(p.spans, status == NQ_OK ? slices : 0);
    free(p.spans);
    free(p.sums);
    free(p.ends);
    free(p.weight);
    return status;
}

/* ---- histograms ---- */

static nq_status count_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    uint64_t *counts = p->counts + (size_t)thread * p->channels * NQ_CHANNEL_BINS;
    const float *weights = p->pass->weights + slice * NQ_RUNNER_SLICE * p->pixels;
    float *out = NULL;
    nq_status status = run_slice(p, slice, thread, true, &out, err);
    size_t positions = slice_images(p, slice) * p->pixels;
    for (size_t i = 0; status == NQ_OK && i < positions; i++) {
        uint64_t count = (uint64_t)(weights[i] * NQ_COUNT_UNIT + 0.5f);
        for (size_t c = 0; c < p->channels; c++) {
            const nq_channel_stats *s = &p->stats[c];
            float width = s->high - s->low;
            int bin =
                width > 0
                    ? (int)((out[i * p->channels + c] - s->low) / width * (float)NQ_CHANNEL_BINS)
                    : 0;
            bin = bin < 0 ? 0 : bin >= NQ_CHANNEL_BINS ? NQ_CHANNEL_BINS - 1 : bin;
            counts[c * NQ_CHANNEL_BINS + (size_t)bin] += count;
        }
    }
    return status;
}

nq_status nq_layer_pass_count(const nq_layer_pass *pass, const nq_channel_stats *stats,
                              uint64_t *counts, nq_error *err)
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

static nq_status finish_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const passing *p = context;
    float *out = NULL;
    nq_status status = run_slice(p, slice, thread, true, &out, err);
    size_t n = slice_images(p, slice) * p->out_each, at = slice * NQ_RUNNER_SLICE * p->out_each;
    if (status != NQ_OK)
        return status;
    nq_scale_channels(out, n / p->channels, p->channels, p->gain, p->shift, p->node->relu);
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
