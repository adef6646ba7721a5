#include "worker/output/model_layout.h"
#include "worker/output/packing.h"
#include <stdio.h>
#include <stdlib.h>

nq_st_tensor nq_layout_weight(const nq_graph *graph, const nq_node *n, int bits)
{
    size_t channels = (size_t)n->channels, depth = nq_node_weights(graph, n) / channels;
    size_t taps = (size_t)n->kernel_h * (size_t)n->kernel_w;
    if (bits < 8) {
        size_t row = nq_packed_row(depth, bits);
        return (nq_st_tensor){
            .type = NQ_ST_U8, .rank = 2, .shape = {channels, row}, .bytes = channels * row};
    }
    return (nq_st_tensor){
        .type = NQ_ST_I8,
        .rank = n->op == NQ_OP_LINEAR ? 2 : 4,
        .shape = {channels, depth / taps, (size_t)n->kernel_h, (size_t)n->kernel_w},
        .bytes = channels * depth};
}

nq_st_tensor nq_layout_vector(nq_st_type type, size_t n)
{
    size_t width = type == NQ_ST_F32 || type == NQ_ST_I32 ? 4 : 1;
    return (nq_st_tensor){.type = type, .rank = 1, .shape = {n}, .bytes = n * width};
}

void nq_layout_to_torch(const nq_node *n, const int8_t *ours, size_t depth, int8_t *theirs)
{
    size_t taps = (size_t)n->kernel_h * (size_t)n->kernel_w, in = depth / taps;
    for (size_t i = 0; i < in; i++)
        for (size_t t = 0; t < taps; t++)
            theirs[i * taps + t] = ours[t * in + i];
}

void nq_layout_from_torch(const nq_node *n, const int8_t *theirs, size_t depth, int8_t *ours)
{
    size_t taps = (size_t)n->kernel_h * (size_t)n->kernel_w, in = depth / taps;
    for (size_t i = 0; i < in; i++)
        for (size_t t = 0; t < taps; t++)
            ours[t * in + i] = theirs[i * taps + t];
}

char *nq_layout_nodes(const nq_graph *graph)
{
    char *names = calloc((size_t)graph->count, NQ_NODE_NAME), *at = names;
    for (int i = 0; names && i < graph->count; i++)
        at += sprintf(at, "%s%s", i ? " " : "", graph->nodes[i].name);
    return names;
}
