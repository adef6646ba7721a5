#include "worker/quantize/quantize.h"
#include "worker/quantize/bn_ranges.h"
#include "worker/quantize/range_search.h"
#include "worker/quantize/rounding.h"
#include "worker/quantize/widths.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One line a method; the order is the enum's of the spec. */
static float (*const weight_scales[])(const float *w, size_t n, int bits) = {
    [NQ_WEIGHT_MINMAX] = nq_weight_scale_minmax,
    [NQ_WEIGHT_MSE] = nq_weight_scale_mse,
};
static nq_status (*const weight_rounders[])(const nq_weights *weights, int8_t *q, nq_error *err) = {
    [NQ_ROUND_NEAREST] = nq_round_nearest,
    [NQ_ROUND_SQUANT] = nq_round_squant,
};

nq_qparams nq_affine_params(float low, float high, int scale_qmax, int clamp_qmax)
{
    low = low < 0.0f ? low : 0.0f;
    high = high > 0.0f ? high : 0.0f;
    float scale = (high - low) / (float)scale_qmax;
    scale = scale > FLT_EPSILON ? scale : FLT_EPSILON;
    float zero = -nearbyintf(low / scale);
    zero = zero < (float)scale_qmax ? zero : (float)scale_qmax;
    return (nq_qparams){.scale = scale, .zero_point = (int32_t)zero, .qmax = clamp_qmax};
}

/* What was observed, and how the spec wants it used. */
typedef struct {
    const nq_graph *graph;
    const nq_range *ranges;
    const uint64_t *histograms;
    const nq_bn_moments *moments;
    const nq_spec *spec;
} observed;

static nq_qparams params_at(const observed *seen, int node, int bits)
{
    int end = (1 << bits) - 1;
    const uint64_t *histogram =
        seen->histograms ? seen->histograms + (size_t)node * NQ_HISTOGRAM_BINS : NULL;
    nq_range range = nq_range_choose(seen->spec, seen->ranges[node], histogram, bits);
    if (seen->moments && seen->spec->activations.range == NQ_RANGE_MINMAX)
        range = nq_bn_range(seen->graph, seen->moments, node, range, bits);
    return nq_affine_params(range.low, range.high, bits == 8 ? seen->spec->activations.qmax : end,
                            end);
}

static nq_status check_ranges(const nq_graph *graph, const nq_range *ranges, nq_error *err)
{
    for (int i = 0; i < graph->count; i++) {
        float low = ranges[i].low, high = ranges[i].high;
        if (!isfinite(low) || !isfinite(high) || low > high || !isfinite(high - low))
            return nq_fail(err, NQ_ERR_INPUT, "the range of %s, %g to %g, is none to quantize",
                           graph->nodes[i].name, (double)low, (double)high);
    }
    return NQ_OK;
}

int nq_weight_scale_count(const nq_spec *spec, int channels)
{
    return spec->weights.granularity == NQ_PER_CHANNEL ? channels : 1;
}

void nq_weight_scales(const nq_spec *spec, const float *w, int scales, size_t each, int bits,
                      float *scale)
{
    for (size_t c = 0; c < (size_t)scales; c++)
        scale[c] = weight_scales[spec->weights.range](w + c * each, each, bits);
}

nq_status nq_quantize_layer(const nq_graph *graph, int index, const nq_spec *spec, int bits,
                            nq_qmodel *model, nq_error *err)
{
    const nq_node *node = &graph->nodes[index];
    nq_qnode *out = &model->nodes[index];
    if (!node->weight)
        return nq_fail(err, NQ_ERR_INTERNAL, "layer %s has no weights loaded", node->name);
    int scales = nq_weight_scale_count(spec, node->channels);
    nq_status status = nq_qnode_set_scales(model, index, scales, err);
    if (status != NQ_OK)
        return status;
    out->weight_bits = bits;
    size_t each = nq_node_weights(graph, node) / (size_t)scales;
    nq_weight_scales(spec, node->weight, scales, each, bits, out->weight_scale);
    nq_weights weights = {.weight = node->weight,
                          .rows = node->channels,
                          .taps = node->kernel_h * node->kernel_w,
                          .inputs = nq_node_in_channels(graph, node, 0) / node->groups,
                          .scale = out->weight_scale,
                          .scales = scales,
                          .bits = bits};
    return weight_rounders[spec->weights.rounding](&weights, out->weight, err);
}

static nq_status quantize_bias(const nq_node *node, nq_qnode *out, nq_error *err)
{
    free(out->bias);
    out->bias = NULL;
    if (!node->bias)
        return NQ_OK;
    size_t bytes = (size_t)node->channels * sizeof *out->bias;
    out->bias = malloc(bytes);
    if (!out->bias)
        return nq_fail_nomem(err, node->name, bytes);
    memcpy(out->bias, node->bias, bytes);
    return NQ_OK;
}

static nq_status fill_model(const nq_graph *graph, const observed *seen, const nq_width *widths,
                            nq_qmodel *model, nq_error *err)
{
    nq_status status = NQ_OK;
    for (int i = 0; status == NQ_OK && i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        nq_qnode *out = &model->nodes[i];
        out->out = params_at(seen, nq_widths_source(graph, i), widths[i].stored);
        if (!nq_node_has_weight(node))
            continue;
        const int from = node->input[0];
        out->has_table = widths[i].read < widths[from].stored;
        if (out->has_table)
            out->in = params_at(seen, from, widths[i].read);
        status = nq_quantize_layer(graph, i, seen->spec, widths[i].weights, model, err);
        if (status == NQ_OK)
            status = quantize_bias(node, out, err);
    }
    return status;
}

nq_status nq_quantize(const nq_graph *graph, const nq_range *ranges, const uint64_t *histograms,
                      const nq_bn_moments *moments, const nq_spec *spec, const int *weight_bits,
                      nq_qmodel *model, nq_error *err)
{
    observed seen = {.graph = graph,
                     .ranges = ranges,
                     .histograms = histograms,
                     .moments = moments,
                     .spec = spec};
    nq_width *widths = NULL;
    nq_status status = nq_qmodel_create(graph->arch, graph->classes, model, err);
    if (status != NQ_OK)
        return status;
    widths = calloc((size_t)graph->count, sizeof *widths);
    if (!widths)
        status = nq_fail_nomem(err, "tensor widths", (size_t)graph->count * sizeof *widths);
    if (status == NQ_OK)
        status = check_ranges(graph, ranges, err);
    if (status == NQ_OK)
        status = nq_widths_decide(graph, spec, weight_bits, widths, err);
    if (status == NQ_OK)
        status = fill_model(graph, &seen, widths, model, err);
    if (status == NQ_OK)
        status = nq_qmodel_check(model, err);
    free(widths);
    if (status != NQ_OK)
        nq_qmodel_free(model);
    return status;
}
