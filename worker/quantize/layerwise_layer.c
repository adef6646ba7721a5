#include "worker/quantize/layerwise_state.h"

#include "worker/quantize/coordinate_descent.h"
#include "worker/quantize/correct_stats.h"
#include "worker/quantize/gptq.h"
#include "worker/quantize/gptq_knobs.h"
#include "worker/quantize/layer_pass.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/value_kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One layer on its way. */
typedef struct {
    nq_layerwise *l;
    int index;
    const nq_node *node;
    nq_qnode *out;
    nq_layer_input in;
    size_t channels, each; /* weights of an output channel */
    float *weight;         /* f32 [channels][each]: the target, then what is on trial */
    double gain_exponent;  /* see nq_match_deviations() */
    float *gain, *shift;   /* [channels] */
    nq_layer_pass pass;
} layer_work;

/* ---- what the layer reads ---- */

static nq_status fill_stored(void *context, size_t images, float *values, nq_error *err)
{
    const nq_layer_input *in = context;
    (void)err;
    nq_look_up_values(in->value, in->stored, images * nq_layer_input_elements(in), values);
    return NQ_OK;
}

static nq_status choose_reading(layer_work *w, nq_error *err)
{
    nq_layerwise *l = w->l;
    int from = w->node->input[0], bits = l->widths[w->index].read;
    nq_qparams stored = l->model->nodes[from].out;
    w->in = (nq_layer_input){.images = l->images,
                             .height = l->graph->nodes[from].height,
                             .width = l->graph->nodes[from].width,
                             .channels = l->graph->nodes[from].channels,
                             .real = l->real[from],
                             .stored = l->stored[from]};
    nq_layer_input_set(&w->in, stored, stored);
    w->out->has_table = bits < l->widths[from].stored;
    if (!w->out->has_table)
        return NQ_OK;
    nq_status status = nq_layerwise_choose(l, from, w->index, bits, fill_stored, &w->in,
                                           (nq_range){0}, &w->out->in, err);
    nq_layer_input_set(&w->in, stored, w->out->in);
    return status;
}

/* ---- its weights ---- */

static nq_status round_dense(layer_work *w, int bits, nq_error *err)
{
    const nq_spec *spec = w->l->spec;
    nq_gptq_knobs knobs = nq_gptq_knobs_of(spec, w->node, w->in.channels, w->in.images);
    nq_pool *pool = w->l->pool;
    int rows = (int)w->channels;
    nq_gram gram;
    nq_status status = nq_gram_collect(w->node, &w->in, knobs.target > 0, pool, &gram, err);
    if (status != NQ_OK)
        return status;
    w->gain_exponent = knobs.gain_exponent;
    if (knobs.target > 0)
        status = nq_gptq_retarget(&gram, knobs.target, knobs.ridge, rows, w->weight, err);
    nq_gram_shrink(&gram, knobs.shrinkage);
    for (size_t c = 0; c < w->channels; c++)
        w->out->weight_scale[c] = nq_weight_scale_minmax(w->weight + c * w->each, w->each, bits);
    if (status == NQ_OK && bits < 8 && spec->weights.range == NQ_WEIGHT_MSE)
        status = nq_gptq_scales(&gram, rows, w->weight, bits, pool, w->out->weight_scale, err);
    if (status == NQ_OK)
        status = nq_gptq_round(&gram, knobs.damping, rows, w->weight, w->out->weight_scale, bits,
                               pool, w->out->weight, NULL, err);
    if (status == NQ_OK && bits < 8 && spec->gptq.sweeps > 0)
        status = nq_coordinate_descent(&gram, spec->gptq.sweeps, rows, w->weight, bits, pool,
                                       w->out->weight_scale, w->out->weight, err);
    nq_gram_free(&gram);
    return status;
}

static nq_status round_depthwise(layer_work *w, int bits, nq_error *err)
{
    float *h = NULL;
    nq_status status = nq_gram_collect_depthwise(w->node, &w->in, w->l->pool, &h, err);
    if (status == NQ_OK)
        status = nq_depthwise_round(h, (int)w->channels, (int)w->each, w->weight, bits, w->l->pool,
                                    w->out->weight_scale, w->out->weight, err);
    free(h);
    return status;
}

static nq_status round_weights(layer_work *w, nq_error *err)
{
    const nq_spec *spec = w->l->spec;
    int bits = w->l->widths[w->index].weights;
    w->out->weight_bits = bits;
    memcpy(w->weight, w->node->weight, w->channels * w->each * sizeof *w->weight);
    nq_status status = NQ_OK;
    if (spec->weights.rounding != NQ_ROUND_GPTQ) {
        status = nq_quantize_layer(w->l->graph, w->index, spec, bits, w->l->model, err);
    } else {
        status = nq_qnode_set_scales(w->l->model, w->index, w->node->channels, err);
        if (status == NQ_OK)
            status =
                w->node->groups == 1 ? round_dense(w, bits, err) : round_depthwise(w, bits, err);
    }
    for (size_t i = 0; status == NQ_OK && i < w->channels * w->each; i++)
        w->weight[i] =
            (float)w->out->weight[i] * w->out->weight_scale[w->out->scales > 1 ? i / w->each : 0];
    return status;
}

/* ---- its output ---- */

static nq_status correct(layer_work *w, const nq_layer_pass *pass, nq_channel_stats *stats,
                         nq_error *err)
{
    const nq_spec *spec = w->l->spec;
    int channels = (int)w->channels;
    if (!spec->repair.correct_stats && !spec->repair.correct_bias) {
        for (size_t c = 0; c < w->channels; c++) {
            w->gain[c] = 1;
            w->shift[c] = w->node->bias ? w->node->bias[c] : 0.0f;
        }
        return NQ_OK;
    }
    double exponent = spec->repair.correct_stats ? w->gain_exponent : 0;
    nq_match_deviations(stats, channels, exponent, w->gain);
    if (w->node->op == NQ_OP_LINEAR)
        nq_share_gain(stats, channels, w->gain);
    nq_match_means(stats, channels, w->gain, w->shift);
    if (!spec->repair.correct_stats || !w->node->relu)
        return NQ_OK;
    uint64_t *counts = malloc(w->channels * NQ_CHANNEL_BINS * sizeof *counts);
    if (!counts)
        return nq_fail_nomem(err, w->node->name, w->channels * NQ_CHANNEL_BINS * sizeof *counts);
    nq_status status = nq_layer_pass_count(pass, stats, counts, err);
    if (status == NQ_OK)
        nq_match_relu_means(stats, counts, channels, w->gain, w->shift);
    free(counts);
    return status;
}

/* Gains become the weights' scales, shifts the biases. */
static nq_status fold_correction(layer_work *w, nq_error *err)
{
    nq_qnode *out = w->out;
    if (w->l->spec->repair.correct_stats && out->scales == 1 && w->channels > 1) {
        float scale = out->weight_scale[0];
        nq_status status = nq_qnode_set_scales(w->l->model, w->index, w->node->channels, err);
        if (status != NQ_OK)
            return status;
        for (size_t c = 0; c < w->channels; c++)
            out->weight_scale[c] = scale;
    }
    for (int c = 0; c < out->scales; c++)
        out->weight_scale[c] *= out->scales > 1 ? w->gain[c] : 1.0f;
    if (!out->bias)
        out->bias = malloc(w->channels * sizeof *out->bias);
    if (!out->bias)
        return nq_fail_nomem(err, w->node->name, w->channels * sizeof *out->bias);
    memcpy(out->bias, w->shift, w->channels * sizeof *out->bias);
    return NQ_OK;
}

/* What all channels span behind gain, shift and ReLU. */
static nq_range span_of(const layer_work *w, const nq_channel_stats *stats)
{
    nq_range range = {.low = INFINITY, .high = -INFINITY};
    for (size_t c = 0; c < w->channels; c++) {
        range.low = fminf(range.low, w->gain[c] * stats[c].low + w->shift[c]);
        range.high = fmaxf(range.high, w->gain[c] * stats[c].high + w->shift[c]);
    }
    if (w->node->relu)
        range = (nq_range){.low = fmaxf(range.low, 0), .high = fmaxf(range.high, 0)};
    return range;
}

static nq_status fill_output(void *context, size_t images, float *values, nq_error *err)
{
    const layer_work *w = context;
    return nq_layer_pass_values(&w->pass, w->gain, w->shift, images, values, err);
}

static nq_status make_output(layer_work *w, nq_error *err)
{
    nq_layerwise *l = w->l;
    const nq_layer_pass *pass = &w->pass;
    nq_channel_stats *stats = calloc(w->channels, sizeof *stats);
    if (!stats)
        return nq_fail_nomem(err, w->node->name, w->channels * sizeof *stats);
    nq_status status = nq_layer_runner_try(l->runner, w->index, w->weight, err);
    if (status == NQ_OK)
        status = nq_layer_pass_measure(pass, l->real[w->index], &l->ranges[w->index], stats, err);
    if (status == NQ_OK)
        status = correct(w, pass, stats, err);
    if (status == NQ_OK)
        status = nq_layerwise_choose(l, w->index, nq_layerwise_reader(l, w->index),
                                     l->widths[w->index].stored, fill_output, w, span_of(w, stats),
                                     &w->out->out, err);
    if (status == NQ_OK)
        status =
            nq_layer_pass_store(pass, w->gain, w->shift, w->out->out, l->stored[w->index], err);
    if (status == NQ_OK)
        status = fold_correction(w, err);
    free(stats);
    return status;
}

nq_status nq_layerwise_do_layer(nq_layerwise *l, int node, nq_error *err)
{
    const nq_node *n = &l->graph->nodes[node];
    layer_work w = {.l = l,
                    .index = node,
                    .node = n,
                    .out = &l->model->nodes[node],
                    .channels = (size_t)n->channels,
                    .gain_exponent = 1};
    w.each = nq_node_weights(l->graph, n) / w.channels;
    w.weight = malloc(w.channels * w.each * sizeof *w.weight);
    w.gain = malloc(2 * w.channels * sizeof *w.gain);
    w.shift = w.gain ? w.gain + w.channels : NULL;
    size_t positions = l->images * (size_t)n->height * (size_t)n->width;
    w.pass = (nq_layer_pass){.runner = l->runner,
                             .pool = l->pool,
                             .graph = l->graph,
                             .node = node,
                             .in = &w.in,
                             .weights = malloc(positions * sizeof *w.pass.weights)};
    nq_status status = NQ_OK;
    if (!w.weight || !w.gain || !w.pass.weights)
        status = nq_fail_nomem(err, n->name, (w.channels * w.each + positions) * sizeof(float));
    if (status == NQ_OK)
        status = choose_reading(&w, err);
    if (status == NQ_OK)
        status = round_weights(&w, err);
    if (status == NQ_OK)
        status = make_output(&w, err);
    if (status != NQ_OK)
        nq_error_prefix(err, "layer %s", n->name);
    free(w.weight);
    free(w.gain);
    free(w.pass.weights);
    return status;
}
