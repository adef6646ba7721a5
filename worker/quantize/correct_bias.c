#include "worker/quantize/correct_bias.h"

#include <stdlib.h>

/* The mean error of one output channel. */
static double mean_error(const nq_node *node, const nq_qnode *q, int row, int inputs,
                         const double *expected)
{
    int taps = node->kernel_h * node->kernel_w, rows = node->channels / node->groups;
    size_t at = (size_t)row * (size_t)taps * (size_t)inputs;
    double scale = (double)q->weight_scale[q->scales > 1 ? row : 0], sum = 0;
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < inputs; i++, at++)
            sum += (scale * q->weight[at] - (double)node->weight[at]) *
                   expected[row / rows * inputs + i];
    return sum;
}

static nq_status correct_layer(const nq_graph *graph, int index, const nq_normal *channel,
                               nq_qnode *q, nq_error *err)
{
    const nq_node *node = &graph->nodes[index];
    int channels = nq_node_in_channels(graph, node, 0);
    double *expected = malloc((size_t)channels * sizeof *expected);
    if (!q->bias)
        q->bias = calloc((size_t)node->channels, sizeof *q->bias);
    nq_status status = NQ_OK;
    if (!expected || !q->bias)
        status = nq_fail_nomem(err, node->name, (size_t)channels * sizeof *expected);
    for (int i = 0; status == NQ_OK && i < channels; i++)
        expected[i] = nq_normal_mean(channel[i]);
    for (int row = 0; status == NQ_OK && row < node->channels; row++)
        q->bias[row] = (float)((double)q->bias[row] -
                               mean_error(node, q, row, channels / node->groups, expected));
    free(expected);
    return status;
}

nq_status nq_correct_bias(const nq_graph *graph, const nq_bn_moments *moments, nq_qmodel *model,
                          nq_error *err)
{
    nq_status status = NQ_OK;
    for (int i = 0; status == NQ_OK && i < graph->count; i++)
        if (nq_node_has_weight(&graph->nodes[i]))
            status = correct_layer(graph, i, moments->channel[graph->nodes[i].input[0]],
                                   &model->nodes[i], err);
    return status;
}
