#include "worker/model/graph.h"

#include <math.h>
#include <stdlib.h>

#define EPSILON 1e-5f /* of every batch norm in torchvision; not in the checkpoint */

float nq_batch_norm_inverse(const nq_batch_norm *norm, int channel)
{
    return 1.0f / sqrtf(norm->var[channel] + EPSILON);
}

/* The order of these operations is the contract: PyTorch's fuse_model() gives the same bits. */
static nq_status fold_node(const nq_graph *graph, nq_node *node, nq_error *err)
{
    size_t row = nq_node_weights(graph, node) / (size_t)node->channels;
    if (!node->weight || !node->norm.gamma)
        return nq_fail(err, NQ_ERR_STATE, "%s: %s has no weights to fold", graph->arch, node->name);
    if (node->bias)
        return nq_fail(err, NQ_ERR_STATE, "%s: %s is folded already", graph->arch, node->name);
    node->bias = malloc((size_t)node->channels * sizeof *node->bias);
    if (!node->bias)
        return nq_fail_nomem(err, "a bias", (size_t)node->channels * sizeof *node->bias);
    for (int c = 0; c < node->channels; c++) {
        const nq_batch_norm *norm = &node->norm;
        float *weight = node->weight + (size_t)c * row;
        float rs = nq_batch_norm_inverse(norm, c);
        float factor = norm->gamma[c] * rs;
        bool finite = true;
        for (size_t i = 0; i < row; i++) {
            weight[i] = weight[i] * factor;
            finite = finite && isfinite(weight[i]);
        }
        node->bias[c] = (0.0f - norm->mean[c]) * rs * norm->gamma[c] + norm->beta[c];
        if (!finite || !isfinite(node->bias[c]))
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: folding \"%s\" into \"%s\" leaves float32 in channel %d",
                           graph->arch, node->norm_key, node->weight_key, c);
    }
    return NQ_OK;
}

nq_status nq_graph_fold(nq_graph *graph, nq_error *err)
{
    for (int i = 0; i < graph->count; i++) {
        nq_node *node = &graph->nodes[i];
        if (!nq_node_has_weight(node) || node->norm_key[0] == '\0')
            continue;
        nq_status status = fold_node(graph, node, err);
        if (status != NQ_OK)
            return status;
    }
    return NQ_OK;
}
