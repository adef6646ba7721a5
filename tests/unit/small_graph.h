/* Hand-built graphs for tests of what works on any graph. Free them with nq_graph_free(). */
#ifndef NQ_SMALL_GRAPH_H
#define NQ_SMALL_GRAPH_H

#include "worker/model/graph.h"
#include <stdio.h>
#include <stdlib.h>

#define SMALL_GRAPH_NODES 32

/* A small generator of its own: the same values on every machine, in [-1, 1). */
static inline float small_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static inline float *small_values(size_t n, float size, uint32_t *state)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = size * small_random(state);
    return x;
}

static inline nq_graph small_graph(int height, int width, int channels)
{
    nq_graph g = {.arch = "small", .classes = 1, .count = 1};
    g.nodes = calloc(SMALL_GRAPH_NODES, sizeof *g.nodes);
    g.nodes[0] = (nq_node){
        .op = NQ_OP_INPUT, .name = "quant", .height = height, .width = width, .channels = channels};
    return g;
}

/* Adds a node that reads `a` and, unless -1, `b`; the shape is that of `a`. Returns its index. */
static inline int small_node(nq_graph *g, nq_op op, const char *name, int a, int b)
{
    nq_node *n = &g->nodes[g->count];
    *n = (nq_node){.op = op,
                   .inputs = b < 0 ? 1 : 2,
                   .input = {a, b},
                   .channels = g->nodes[a].channels,
                   .height = g->nodes[a].height,
                   .width = g->nodes[a].width,
                   .kernel_h = 1,
                   .kernel_w = 1,
                   .stride = 1,
                   .groups = 1};
    snprintf(n->name, sizeof n->name, "%s", name);
    return g->count++;
}

typedef struct {
    int channels, kernel, stride, pad, groups;
    bool relu, no_bias;
} small_layer;

static inline void small_window(nq_graph *g, int index, int kernel, int stride, int pad)
{
    nq_node *n = &g->nodes[index];
    n->kernel_h = n->kernel_w = kernel;
    n->stride = stride;
    n->pad_h = n->pad_w = pad;
    n->height = (n->height + 2 * pad - kernel) / stride + 1;
    n->width = (n->width + 2 * pad - kernel) / stride + 1;
}

/* A convolution, or a linear layer, with weights of its own making. */
static inline int small_conv(nq_graph *g, nq_op op, const char *name, int from, small_layer l,
                             uint32_t *state)
{
    int index = small_node(g, op, name, from, -1);
    nq_node *n = &g->nodes[index];
    n->channels = l.channels;
    n->relu = l.relu;
    n->groups = l.groups ? l.groups : 1;
    small_window(g, index, l.kernel ? l.kernel : 1, l.stride ? l.stride : 1, l.pad);
    n->weight = small_values(nq_node_weights(g, n), 0.5f, state);
    n->bias = l.no_bias ? NULL : small_values((size_t)l.channels, 0.3f, state);
    return index;
}

#endif
