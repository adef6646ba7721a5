/*
 * The network as an array of nodes in execution order. One node makes one tensor; a node's index is
 * the name of its tensor. Layout of every tensor is NHWC; weights are [O][KH][KW][I/groups].
 *
 * Node names are torchvision's module names in its quantizable models ("quant", "conv1",
 * "layer1.0.add_relu", "features.1.conv.0.0", "stage2.0.cat", "fc"), so that dumps compare by name.
 */
#ifndef NQ_MODEL_GRAPH_H
#define NQ_MODEL_GRAPH_H

#include "common/error.h"
#include "worker/model/checkpoint.h"
#include <stdbool.h>
#include <stddef.h>

#define NQ_NODE_INPUTS 4
#define NQ_NODE_NAME   64

typedef enum {
    NQ_OP_INPUT,   /* the normalised image, [N][224][224][3]; always node 0, "quant" */
    NQ_OP_CONV,    /* convolution, folded BN, bias, optional ReLU */
    NQ_OP_LINEAR,  /* on [N][1][1][C]; a convolution 1x1 in all but name */
    NQ_OP_ADD,     /* input[0] + input[1], optional ReLU */
    NQ_OP_CAT,     /* channels of input[0], then of input[1] ... */
    NQ_OP_SLICE,   /* channels [first, first + channels) of its input: a part of chunk() */
    NQ_OP_SHUFFLE, /* channel shuffle: reshape [groups][C/groups], transpose */
    NQ_OP_MAXPOOL, /* kernel, stride, pad; padding never wins */
    NQ_OP_AVGPOOL  /* global, to 1x1 */
} nq_op;

/* The batch norm that was folded into a convolution, one value an output channel. After folding the
 * pre-activation output of the node has mean beta and standard deviation |gamma| on training data.
 */
typedef struct {
    float *gamma, *beta, *mean, *var;
} nq_batch_norm;

typedef struct {
    nq_op op;
    char name[NQ_NODE_NAME];
    int inputs;
    int input[NQ_NODE_INPUTS];                            /* indices of earlier nodes */
    bool relu;                                            /* CONV, LINEAR, ADD */
    int channels, height, width;                          /* of the output */
    int kernel_h, kernel_w, stride, pad_h, pad_w, groups; /* CONV, MAXPOOL; groups also SHUFFLE */
    int first;                                            /* SLICE */
    /* CONV and LINEAR, once loaded; owned by the graph */
    char weight_key[NQ_NODE_NAME +
                    16];         /* "layer1.0.conv1.weight"; bias key is the same stem + ".bias" */
    char norm_key[NQ_NODE_NAME]; /* "layer1.0.bn1"; empty where no batch norm follows */
    float *weight;               /* f32 [channels][kernel_h][kernel_w][in channels / groups] */
    float *bias;        /* f32 [channels]; NULL before folding where the checkpoint has none */
    nq_batch_norm norm; /* NULLs where none */
} nq_node;

typedef struct {
    char arch[64];
    int classes;
    nq_node *nodes;
    int count;
} nq_graph;

/* The structure alone, no weights: architecture by torchvision name, 1 <= classes <= 65536. */
nq_status nq_graph_build(const char *arch, int classes, nq_graph *graph, nq_error *err);

/*
 * Structure and weights: the number of classes is read from the file (rows of the last linear
 * weight), then every parameter must be there with the right shape and dtype float32. All
 * mismatches are named in one sentence (missing, unexpected, wrong shape; the first few of each and
 * how many more). Missing num_batches_tracked are fine (old files). Non-finite weights, and
 * negative variances, are refused by name. Batch norms are not yet folded.
 */
nq_status nq_graph_load(const char *arch, const nq_checkpoint *checkpoint, nq_graph *graph,
                        nq_error *err);

/* Folds every batch norm, float32, in NUMERICS.md's order (section 4): rs = 1/sqrtf(var + 1e-5f);
 * w' = w * (gamma * rs); b' = (b - mean) * rs * gamma + beta. norm stays readable. Once only. */
nq_status nq_graph_fold(nq_graph *graph, nq_error *err);

/* 1/sqrt(variance + epsilon) of a batch norm's channel, as folding has it. */
float nq_batch_norm_inverse(const nq_batch_norm *norm, int channel);

/* A deep copy, for whoever changes weights and statistics: they never touch the job's own graph.
 * The caller frees it; on failure it is empty. */
nq_status nq_graph_copy(const nq_graph *graph, nq_graph *copy, nq_error *err);

void nq_graph_free(nq_graph *graph);

/* -1 when no node has that name. */
int nq_graph_find(const nq_graph *graph, const char *name);

/* Channels of input `i` of a node. */
static inline int nq_node_in_channels(const nq_graph *g, const nq_node *n, int i)
{
    return g->nodes[n->input[i]].channels;
}
/* Floats, or bytes, of one image of the node's output. */
static inline size_t nq_node_elements(const nq_node *n)
{
    return (size_t)n->channels * (size_t)n->height * (size_t)n->width;
}
static inline bool nq_node_has_weight(const nq_node *n)
{
    return n->op == NQ_OP_CONV || n->op == NQ_OP_LINEAR;
}
/* Number of weights of a CONV or LINEAR node. */
static inline size_t nq_node_weights(const nq_graph *g, const nq_node *n)
{
    return (size_t)n->channels * (size_t)n->kernel_h * (size_t)n->kernel_w *
           (size_t)(nq_node_in_channels(g, n, 0) / n->groups);
}
/* Whether the quantized network observes the node's output: input, conv, linear, add, cat. The
 * others pass their input's parameters through. */
static inline bool nq_node_observed(const nq_node *n)
{
    return n->op == NQ_OP_INPUT || n->op == NQ_OP_CONV || n->op == NQ_OP_LINEAR ||
           n->op == NQ_OP_ADD || n->op == NQ_OP_CAT;
}
#endif
