/*
 * The float network forward and backward: gradients of any loss that hooks form on the nodes'
 * values, with respect to the images and, if asked, to the weights. In slices of a fixed number of
 * images as float_net.h says, so that no result depends on the number of threads.
 *
 * Batch norms are taken out of the convolutions again and run in evaluation mode. A node's *kept*
 * value is what its hooks see, and what a gradient belongs to:
 *  - a convolution with a batch norm: the norm's input less its running mean, y - mean, where y is
 *    the convolution with the checkpoint's own weights. On training data it has mean 0 and
 *    variance norm.var. Where the norm's scale is 0 the input is lost; it is 0 there.
 *  - any other node: its output before ReLU.
 */
#ifndef NQ_FLOAT_GRAD_NET_H
#define NQ_FLOAT_GRAD_NET_H

#include "worker/float/float_net.h"

typedef struct nq_grad_net nq_grad_net; /* shared, read-only */
typedef struct nq_grad_run nq_grad_run; /* one thread's room */

typedef struct {
    bool input;   /* the images' gradient is wanted */
    bool weights; /* those of weights and biases are */
} nq_grad_wanted;

/* graph: folded by nq_graph_fold() and not changed since (NQ_ERR_INTERNAL names the layer); it must
 * outlive the net. */
nq_status nq_grad_net_create(const nq_graph *graph, int batch, nq_grad_wanted wanted,
                             nq_grad_net **net, nq_error *err);
void nq_grad_net_free(nq_grad_net *net);
/* Bytes of values and gradients that each run holds. */
size_t nq_grad_net_run_bytes(const nq_grad_net *net);

nq_status nq_grad_run_create(const nq_grad_net *net, nq_grad_run **run, nq_error *err);
void nq_grad_run_free(nq_grad_run *run);

/* As nq_float_run_input(): the images; a forward pass leaves them as they are. */
float *nq_grad_run_input(nq_grad_run *run);

/* hook, in order of the nodes, sees each kept value; it may be NULL. */
nq_status nq_grad_run_forward(nq_grad_run *run, nq_float_hook hook, void *context, nq_error *err);

/* The last node's output, f32 [batch][classes], until nq_grad_run_backward(). */
const float *nq_grad_run_output(const nq_grad_run *run);

/*
 * Called in reverse order of the nodes: `gradient` holds what later nodes contribute to the
 * gradient of the node's kept value (zeros where none do), f32 [batch][H][W][C]; the hook adds its
 * own. Return other than NQ_OK to stop.
 */
typedef nq_status (*nq_grad_hook)(void *context, int node, const float *values, float *gradient,
                                  nq_error *err);

/* After a forward pass, once. */
nq_status nq_grad_run_backward(nq_grad_run *run, nq_grad_hook hook, void *context, nq_error *err);

/* Results of the last backward pass. The weights' are [channels][kernel_h][kernel_w][in channels /
 * groups] of the unfolded convolution, summed over the slice; bias: NULL for a convolution with a
 * batch norm. NULL where the net was not made for it. */
const float *nq_grad_run_input_gradient(const nq_grad_run *run);
const float *nq_grad_run_weight_gradient(const nq_grad_run *run, int node, const float **bias);

#endif
