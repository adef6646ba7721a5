/*
 * The convolutions and linear layers of a network as oneDNN computes them in int8: u8 activations,
 * s8 weights, s32 bias, one output scale a channel, ReLU as a post-operation, u8 results. Layouts
 * are oneDNN's choice, zero points are 0 (its fastest case), scratch memory is allocated
 * beforehand. Layers read one of two buffers and write the other; values are random. One thread.
 */
#ifndef NQ_BENCH_ONEDNN_CHAIN_H
#define NQ_BENCH_ONEDNN_CHAIN_H

#include "worker/model/graph.h"
#include <stdint.h>

typedef struct nq_onednn_chain nq_onednn_chain;

nq_status nq_onednn_chain_create(const nq_graph *graph, int batch, nq_onednn_chain **chain,
                                 nq_error *err);
void nq_onednn_chain_free(nq_onednn_chain *chain);
int nq_onednn_chain_batch(const nq_onednn_chain *chain);

/* All layers once, on one batch. nanoseconds [nodes of the graph]: what each layer took is added;
 * NULL: not asked. */
nq_status nq_onednn_chain_run(nq_onednn_chain *chain, uint64_t *nanoseconds, nq_error *err);

/* What oneDNN calls its implementation of a node's layer; NULL where the node is none. */
const char *nq_onednn_chain_kernel(const nq_onednn_chain *chain, int node);

/* "2.6.3", and the instruction set that it uses at most: "AVX512_CORE_VNNI". */
const char *nq_onednn_version(void);
const char *nq_onednn_isa(void);

#endif
