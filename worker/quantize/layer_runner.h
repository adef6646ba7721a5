/*
 * Running single layers of a network, with their float weights or with others on trial. A run takes
 * a slice of images; bias and ReLU are left to the caller. Every thread of the pool has a room with
 * the input and the output of one slice.
 */
#ifndef NQ_QUANTIZE_LAYER_RUNNER_H
#define NQ_QUANTIZE_LAYER_RUNNER_H

#include "worker/model/graph.h"

#define NQ_RUNNER_SLICE 8

typedef struct nq_layer_runner nq_layer_runner;

/* graph must be folded and outlive the runner; its weights are copied. */
nq_status nq_layer_runner_create(const nq_graph *graph, int threads, nq_layer_runner **runner,
                                 nq_error *err);
void nq_layer_runner_free(nq_layer_runner *runner);

/* Weights on trial for `node`, f32 [O][KH][KW][I/groups], copied; they take the place of those that
 * were on trial before, whatever the node. Not while threads run. */
nq_status nq_layer_runner_try(nq_layer_runner *runner, int node, const float *weight,
                              nq_error *err);

/* f32 [NQ_RUNNER_SLICE][H][W][C] of the node's input, and of its output. */
float *nq_layer_runner_in(nq_layer_runner *runner, int thread);
float *nq_layer_runner_out(nq_layer_runner *runner, int thread);

/* out = in through the layer, without bias and ReLU. */
nq_status nq_layer_runner_run(nq_layer_runner *runner, int thread, int node, bool trial,
                              nq_error *err);

#endif
