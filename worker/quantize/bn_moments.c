#include "worker/quantize/bn_moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void nq_bn_moments_free(nq_bn_moments *moments)
{
    for (int i = 0; moments->channel && i < moments->count; i++)
        free(moments->channel[i]);
    free(moments->channel);
    *moments = (nq_bn_moments){0};
}

static nq_status of_conv(const nq_graph *graph, const nq_node *node, nq_normal *to, nq_error *err)
{
    if (!node->norm.gamma || !node->norm.beta)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: convolution %s has no batch norm to take statistics from", graph->arch,
                       node->name);
    for (int c = 0; c < node->channels; c++)
        to[c] = (nq_normal){.mean = (double)node->norm.beta[c],
                            .sd = fabs((double)node->norm.gamma[c]),
                            .clipped = node->relu};
    return NQ_OK;
}

static nq_status of_linear(const nq_node *node, const nq_normal *from, int inputs, nq_normal *to,
                           nq_error *err)
{
    double *mean = malloc((size_t)inputs * 2 * sizeof *mean);
    if (!mean)
        return nq_fail_nomem(err, node->name, (size_t)inputs * 2 * sizeof *mean);
    double *variance = mean + inputs;
    for (int i = 0; i < inputs; i++) {
        mean[i] = nq_normal_mean(from[i]);
        variance[i] = nq_normal_variance(from[i]);
    }
    for (int c = 0; c < node->channels; c++) {
        const float *w = node->weight + (size_t)c * (size_t)inputs;
        double m = node->bias ? (double)node->bias[c] : 0, v = 0;
        for (int i = 0; i < inputs; i++) {
            m += (double)w[i] * mean[i];
            v += (double)w[i] * (double)w[i] * variance[i];
        }
        to[c] = (nq_normal){.mean = m, .sd = sqrt(v), .clipped = node->relu};
    }
    free(mean);
    return NQ_OK;
}

static void of_add(const nq_node *node, const nq_normal *a, const nq_normal *b, nq_normal *to)
{
    for (int c = 0; c < node->channels; c++)
        to[c] = (nq_normal){.mean = nq_normal_mean(a[c]) + nq_normal_mean(b[c]),
                            .sd = sqrt(nq_normal_variance(a[c]) + nq_normal_variance(b[c])),
                            .clipped = node->relu};
}

static void of_cat(const nq_graph *graph, const nq_node *node, nq_normal *const *channel,
                   nq_normal *to)
{
    for (int k = 0; k < node->inputs; k++) {
        size_t count = (size_t)nq_node_in_channels(graph, node, k);
        memcpy(to, channel[node->input[k]], count * sizeof *to);
        to += count;
    }
}

/* [groups][C / groups] transposed: channel c goes to (c mod C/groups) groups + c / (C/groups). */
static void of_shuffle(const nq_node *node, const nq_normal *from, nq_normal *to)
{
    int each = node->channels / node->groups;
    for (int c = 0; c < node->channels; c++)
        to[(c % each) * node->groups + c / each] = from[c];
}

static nq_status derive_node(const nq_graph *graph, const nq_node *node, nq_normal *const *channel,
                             nq_normal *to, nq_error *err)
{
    const nq_normal *from = node->inputs ? channel[node->input[0]] : NULL;
    size_t bytes = (size_t)node->channels * sizeof *to;
    switch (node->op) {
    case NQ_OP_INPUT:
        for (int c = 0; c < node->channels; c++)
            to[c] = (nq_normal){.mean = 0, .sd = 1};
        return NQ_OK;
    case NQ_OP_CONV:
        return of_conv(graph, node, to, err);
    case NQ_OP_LINEAR:
        return of_linear(node, from, nq_node_in_channels(graph, node, 0), to, err);
    case NQ_OP_ADD:
        of_add(node, from, channel[node->input[1]], to);
        return NQ_OK;
    case NQ_OP_CAT:
        of_cat(graph, node, channel, to);
        return NQ_OK;
    case NQ_OP_SLICE:
        memcpy(to, from + node->first, bytes);
        return NQ_OK;
    case NQ_OP_SHUFFLE:
        of_shuffle(node, from, to);
        return NQ_OK;
    case NQ_OP_MAXPOOL:
    case NQ_OP_AVGPOOL:
        memcpy(to, from, bytes);
        return NQ_OK;
    }
    return nq_fail(err, NQ_ERR_INTERNAL, "%s: operator %d has no moments", node->name, node->op);
}

nq_status nq_bn_moments_derive(const nq_graph *graph, nq_bn_moments *moments, nq_error *err)
{
    size_t count = (size_t)graph->count;
    *moments = (nq_bn_moments){.count = graph->count};
    moments->channel = calloc(count, sizeof *moments->channel);
    nq_status status = NQ_OK;
    if (!moments->channel)
        return nq_fail_nomem(err, "batch norm moments", count * sizeof *moments->channel);
    for (int i = 0; status == NQ_OK && i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        size_t bytes = (size_t)node->channels * sizeof(nq_normal);
        moments->channel[i] = malloc(bytes);
        status = moments->channel[i]
                     ? derive_node(graph, node, moments->channel, moments->channel[i], err)
                     : nq_fail_nomem(err, node->name, bytes);
    }
    if (status != NQ_OK)
        nq_bn_moments_free(moments);
    return status;
}
