/* What model.safetensors holds, shared by its writer and its reader (docs/model-file.md). */
#ifndef NQ_OUTPUT_MODEL_LAYOUT_H
#define NQ_OUTPUT_MODEL_LAYOUT_H

#include "worker/integer/qmodel.h"
#include "worker/output/safetensors.h"

/* Room for a node's name, a dot and "weight_scale". */
#define NQ_TENSOR_NAME (NQ_NODE_NAME + 16)

/* Type, shape and size of a node's weight: I8 in PyTorch's order at 8 bit ([O][I/groups][H][W], a
 * linear layer's [O][I]), below 8 bit U8 [O][packed row]. No name, no data. */
nq_st_tensor nq_layout_weight(const nq_graph *graph, const nq_node *n, int bits);
/* One dimension. */
nq_st_tensor nq_layout_vector(nq_st_type type, size_t n);

/* One output channel's weights from our order [H][W][I] to PyTorch's [I][H][W], and back. */
void nq_layout_to_torch(const nq_node *n, const int8_t *ours, size_t depth, int8_t *theirs);
void nq_layout_from_torch(const nq_node *n, const int8_t *theirs, size_t depth, int8_t *ours);

/* The names of all nodes with one blank between them, malloc'd; NULL when out of memory. */
char *nq_layout_nodes(const nq_graph *graph);

#endif
