#include "worker/integer/qmodel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static nq_status allocate_layer(const nq_graph *graph, int i, nq_qnode *q, nq_error *err)
{
    const nq_node *n = &graph->nodes[i];
    size_t weights = nq_node_weights(graph, n), channels = (size_t)n->channels;
    q->weight_bits = 8;
    q->weight = calloc(weights, sizeof *q->weight);
    q->bias = calloc(channels, sizeof *q->bias);
    if (!q->weight || !q->bias)
        return nq_fail_nomem(err, n->name, weights + channels * sizeof *q->bias);
    return NQ_OK;
}

nq_status nq_qmodel_create(const char *arch, int classes, nq_qmodel *model, nq_error *err)
{
    memset(model, 0, sizeof *model);
    nq_status status = nq_graph_build(arch, classes, &model->graph, err);
    if (status != NQ_OK)
        return status;
    size_t count = (size_t)model->graph.count;
    model->nodes = calloc(count, sizeof *model->nodes);
    if (!model->nodes)
        status = nq_fail_nomem(err, "a quantized network", count * sizeof *model->nodes);
    for (int i = 0; i < model->graph.count && status == NQ_OK; i++)
        if (nq_node_has_weight(&model->graph.nodes[i]))
            status = allocate_layer(&model->graph, i, &model->nodes[i], err);
    if (status != NQ_OK)
        nq_qmodel_free(model);
    return status;
}

nq_status nq_qnode_set_scales(nq_qmodel *model, int node, int scales, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[node];
    nq_qnode *q = &model->nodes[node];
    if (!nq_node_has_weight(n) || (scales != 1 && scales != n->channels))
        return nq_fail(err, NQ_ERR_INTERNAL, "%s cannot have %d weight scales", n->name, scales);
    float *scale = calloc((size_t)scales, sizeof *scale);
    if (!scale)
        return nq_fail_nomem(err, n->name, (size_t)scales * sizeof *scale);
    free(q->weight_scale);
    q->weight_scale = scale;
    q->scales = scales;
    return NQ_OK;
}

void nq_qmodel_free(nq_qmodel *model)
{
    for (int i = 0; model->nodes && i < model->graph.count; i++) {
        free(model->nodes[i].weight);
        free(model->nodes[i].weight_scale);
        free(model->nodes[i].bias);
    }
    free(model->nodes);
    nq_graph_free(&model->graph);
    memset(model, 0, sizeof *model);
}

static bool scale_usable(float scale)
{
    return scale >= NQ_SCALE_MIN && scale <= NQ_SCALE_MAX; /* false for NaN */
}

static nq_status check_params(const char *name, const char *what, nq_qparams p, nq_error *err)
{
    if (!scale_usable(p.scale))
        return nq_fail(err, NQ_ERR_INPUT, "%s: the scale of its %s, %g, is not in %g..%g", name,
                       what, (double)p.scale, (double)NQ_SCALE_MIN, (double)NQ_SCALE_MAX);
    if (p.qmax < 3 || p.qmax > 255 || ((p.qmax + 1) & p.qmax) != 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: the largest integer of its %s, %d, is not 2^b - 1 for 2 to 8 bits",
                       name, what, p.qmax);
    if (p.zero_point < 0 || p.zero_point > p.qmax)
        return nq_fail(err, NQ_ERR_INPUT, "%s: the zero point of its %s, %d, is not in 0..%d", name,
                       what, p.zero_point, p.qmax);
    return NQ_OK;
}

static nq_status check_weights(const nq_graph *graph, const nq_node *n, const nq_qnode *q,
                               nq_error *err)
{
    if (q->weight_bits < 2 || q->weight_bits > 8)
        return nq_fail(err, NQ_ERR_INPUT, "%s: weights of %d bits are not in 2..8", n->name,
                       q->weight_bits);
    const int low = -(1 << (q->weight_bits - 1)), high = -low - 1;
    const size_t depth = nq_node_weights(graph, n) / (size_t)n->channels;
    const int8_t *w = q->weight;
    for (int c = 0; c < n->channels; c++, w += depth) {
        int64_t sum = 0;
        for (size_t i = 0; i < depth; i++) {
            if (w[i] < low || w[i] > high)
                return nq_fail(err, NQ_ERR_INPUT, "%s: weight %d of channel %d is not in %d..%d",
                               n->name, w[i], c, low, high);
            sum += abs(w[i]);
        }
        if (sum * 255 > INT32_MAX)
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: channel %d could overflow 32 bits: its weights sum to %lld in "
                           "magnitude",
                           n->name, c, (long long)sum);
    }
    return NQ_OK;
}

static nq_status check_layer(const nq_graph *graph, const nq_node *n, const nq_qnode *q,
                             nq_error *err)
{
    if (!q->weight || !q->weight_scale || (q->scales != 1 && q->scales != n->channels))
        return nq_fail(err, NQ_ERR_INPUT, "%s: has %d weight scales for %d channels", n->name,
                       q->weight_scale ? q->scales : 0, n->channels);
    for (int c = 0; c < q->scales; c++)
        if (!scale_usable(q->weight_scale[c]))
            return nq_fail(err, NQ_ERR_INPUT, "%s: weight scale %d, %g, is not in %g..%g", n->name,
                           c, (double)q->weight_scale[c], (double)NQ_SCALE_MIN,
                           (double)NQ_SCALE_MAX);
    for (int c = 0; q->bias && c < n->channels; c++)
        if (!isfinite(q->bias[c]))
            return nq_fail(err, NQ_ERR_INPUT, "%s: the bias of channel %d is not finite", n->name,
                           c);
    nq_status status = check_weights(graph, n, q, err);
    if (status == NQ_OK && q->has_table)
        status = check_params(n->name, "requantized input", q->in, err);
    return status;
}

static nq_status check_pass_through(const nq_qmodel *model, int i, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    const nq_qparams a = model->nodes[i].out, b = model->nodes[n->input[0]].out;
    if (a.scale != b.scale || a.zero_point != b.zero_point || a.qmax != b.qmax)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: only moves or pools integers, but its parameters differ from those of "
                       "its input %s",
                       n->name, model->graph.nodes[n->input[0]].name);
    return NQ_OK;
}

nq_status nq_qmodel_check(const nq_qmodel *model, nq_error *err)
{
    for (int i = 0; i < model->graph.count; i++) {
        const nq_node *n = &model->graph.nodes[i];
        const nq_qnode *q = &model->nodes[i];
        nq_status status = check_params(n->name, "output", q->out, err);
        if (status == NQ_OK && nq_node_has_weight(n))
            status = check_layer(&model->graph, n, q, err);
        if (status == NQ_OK && !nq_node_observed(n))
            status = check_pass_through(model, i, err);
        if (status != NQ_OK)
            return status;
    }
    return NQ_OK;
}
