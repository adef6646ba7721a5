/*
 * Running the float network (folded) on slices of a fixed number of images. A net is shared and
 * read-only: primitives and reordered weights. A run is one thread's room. Results of an image do
 * not depend on the number of threads: a slice always has `batch` images (fill the rest with
 * zeros), primitives are single-threaded, and callers add partial results in slice order.
 */
#ifndef NQ_FLOAT_FLOAT_NET_H
#define NQ_FLOAT_FLOAT_NET_H

#include "common/error.h"
#include "worker/float/backend.h"
#include "worker/model/graph.h"
#include <stddef.h>

/* What a CONV or LINEAR node is to a backend, on `batch` images, with the node's bias and ReLU. */
nq_float_shape nq_float_shape_of(const nq_graph *graph, const nq_node *node, int batch);

/* The same of a MAXPOOL node. */
nq_float_window nq_float_window_of(const nq_graph *graph, const nq_node *node, int batch);

/* A node without weights on `batch` images: out f32 [batch][H][W][C] from inputs[node->inputs]
 * alike. Nothing happens for the images themselves, convolutions and linear layers. */
void nq_float_apply(const nq_graph *graph, int node, int batch, const float *const inputs[],
                    float *out);

typedef struct nq_float_net nq_float_net;
typedef struct nq_float_run nq_float_run;

/* graph must be folded and outlive the net; its weights are copied, its nodes are read. */
nq_status nq_float_net_create(const nq_graph *graph, int batch, nq_float_net **net, nq_error *err);
void nq_float_net_free(nq_float_net *net);
int nq_float_net_batch(const nq_float_net *net);
/* Bytes of activations that each run holds. */
size_t nq_float_net_run_bytes(const nq_float_net *net);

nq_status nq_float_run_create(const nq_float_net *net, nq_float_run **run, nq_error *err);
void nq_float_run_free(nq_float_run *run);

/*
 * Called after node `node` was computed, in order, node 0 (the images themselves) included: values
 * f32 [batch][H][W][C] (after ReLU where the node has one), readable until it returns. Return other
 * than NQ_OK to stop the forward pass.
 */
typedef nq_status (*nq_float_hook)(void *context, int node, const float *values, nq_error *err);

/* The room for a slice's images, f32 [batch][H][W][C] of node 0 ([batch][224][224][3], normalised),
 * zero at first; fill it, then forward, which leaves it as it is. */
float *nq_float_run_input(nq_float_run *run);

/* One forward pass; hook may be NULL. The last node's values: nq_float_run_output(). Must be called
 * from the thread that uses `run`. */
nq_status nq_float_run_forward(nq_float_run *run, nq_float_hook hook, void *context, nq_error *err);
const float *nq_float_run_output(const nq_float_run *run); /* f32 [batch][classes] */

/*
 * For what computes the end of a pass many times: computes nodes first .. end - 1, those before
 * having been computed in this run, or copied. `instead` (NULL: its own) takes the place of node
 * first's layer.
 */
nq_status nq_float_run_nodes(nq_float_run *run, int first, int end, const nq_float_layer *instead,
                             nq_error *err);

/* All that node `node` and those after it read of the nodes before, from another run of the net
 * that has computed these and no further. */
void nq_float_run_copy(nq_float_run *run, const nq_float_run *from, int node);

/* A node's layer with other weights, f32 [O][KH][KW][I/groups], copied. */
nq_status nq_float_net_layer_with(const nq_float_net *net, int node, const float *weight,
                                  nq_float_layer **layer, nq_error *err);
void nq_float_net_layer_free(const nq_float_net *net, nq_float_layer *layer);

#endif
