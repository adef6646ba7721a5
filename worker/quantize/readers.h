/* Who reads a tensor. */
#ifndef NQ_QUANTIZE_READERS_H
#define NQ_QUANTIZE_READERS_H

#include "worker/model/graph.h"

/* The node that alone reads `node`'s output, or -1 where several do, or none. */
int nq_only_reader(const nq_graph *graph, int node);

#endif
