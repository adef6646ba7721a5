/*
 * How an architecture's file puts its nodes together. Every nq_build_ function adds one node and
 * returns its index, or -1 once something failed; a failed builder swallows all further calls, so
 * that an architecture reads as a list of layers and the status is looked at once, at its end.
 */
#ifndef NQ_MODEL_GRAPH_BUILD_H
#define NQ_MODEL_GRAPH_BUILD_H

#include "worker/model/graph.h"

typedef struct {
    nq_graph *graph;
    int room;
    char block[NQ_NODE_NAME]; /* put before every name */
    nq_status status;
    nq_error *err;
} nq_graph_builder;

/* A square convolution without bias, padded by kernel / 2, followed by a batch norm. */
typedef struct {
    int channels, kernel, stride, groups;
    bool relu;
} nq_conv_shape;

/* "layer1.0." before all names from here on; "" at the top level. */
void nq_build_block(nq_graph_builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `norm` is the module name of its batch norm. */
int nq_build_conv(nq_graph_builder *b, int input, nq_conv_shape shape, const char *name,
                  const char *norm);
int nq_build_linear(nq_graph_builder *b, int input, int channels, const char *name);
int nq_build_add(nq_graph_builder *b, int first, int second, bool relu, const char *name);
int nq_build_cat(nq_graph_builder *b, int first, int second, const char *name);
int nq_build_slice(nq_graph_builder *b, int input, int first, int channels, const char *name);
int nq_build_shuffle(nq_graph_builder *b, int input, int groups, const char *name);
int nq_build_maxpool(nq_graph_builder *b, int input, int kernel, int stride, int pad,
                     const char *name);
int nq_build_avgpool(nq_graph_builder *b, int input, const char *name);

/* Channels of a node's output; 1 once the builder has failed. */
int nq_build_channels(const nq_graph_builder *b, int node);

/* The architectures; each is named once more in graph.c's table. Node 0, "quant", is there. */
void nq_arch_resnet18(nq_graph_builder *b, int classes);
void nq_arch_mobilenet_v2(nq_graph_builder *b, int classes);
void nq_arch_shufflenet_v2_x1_0(nq_graph_builder *b, int classes);
void nq_arch_shufflenet_v2_x0_5(nq_graph_builder *b, int classes);

#endif
