/* Shared by grad_net.c, which plans, and grad_run.c, which computes. */
#ifndef NQ_FLOAT_GRAD_INTERNAL_H
#define NQ_FLOAT_GRAD_INTERNAL_H

#include "common/arena.h"
#include "worker/float/grad_net.h"

/* A node's tensors in a run's block. */
typedef enum {
    NQ_GRAD_KEPT,     /* what hooks see */
    NQ_GRAD_AFTER,    /* it, after batch norm and ReLU; where the node has either */
    NQ_GRAD_GRADIENT, /* of the kept value */
    NQ_GRAD_SCRATCH,  /* a contribution to a gradient, before it is added */
    NQ_GRAD_AGAIN,    /* the input's AFTER, computed again on the way back */
    NQ_GRAD_WEIGHT,   /* gradients of the weights, then of the biases */
    NQ_GRAD_TENSORS
} nq_grad_tensor;

typedef struct {
    nq_float_layer *forward, *data, *weight;
    float *scale, *shift;        /* of the batch norm, in one allocation; NULL where none */
    bool after;                  /* batch norm or ReLU follow the kept value */
    bool skip[NQ_NODE_INPUTS];   /* nobody wants this input's gradient */
    bool assign[NQ_NODE_INPUTS]; /* the first to contribute to it */
    nq_span spans[NQ_GRAD_TENSORS];
} nq_grad_node;

struct nq_grad_net {
    nq_graph bare; /* a copy of the nodes without ReLU and without weights of their own */
    const nq_graph *graph;
    const nq_float_backend *backend;
    nq_float_device *device;
    nq_grad_wanted wanted;
    int batch;
    nq_grad_node *nodes; /* [graph->count] */
    size_t bytes;        /* of a run's block */
};

#endif
