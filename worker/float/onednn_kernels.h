/* Compiled oneDNN code for one shape and pass; only the oneDNN backend includes this. */
#ifndef NQ_FLOAT_ONEDNN_KERNELS_H
#define NQ_FLOAT_ONEDNN_KERNELS_H

#include "worker/float/backend.h"
#include <dnnl.h>

typedef struct {
    nq_float_shape shape;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    /* What the kernel reads first, reads next (the weight pass alone) and writes. */
    dnnl_query_t source, source2, target;
    size_t scratch; /* bytes */
    /* The weight pass: from the kernel's order of weights to ours, and their bytes in its order. */
    dnnl_primitive_t unpack;
    size_t packed_bytes;
} nq_onednn_kernel;

/* NQ_ERR_NOMEM or NQ_ERR_INTERNAL saying what oneDNN refused to do. */
nq_status nq_onednn_fail(nq_error *err, dnnl_status_t status, const char *what);

/* Kernels are planned for as many threads as OpenMP allows when they are made: the caller has set
 * one. */
nq_status nq_onednn_kernel_build(dnnl_engine_t engine, const nq_float_shape *shape,
                                 nq_onednn_kernel *kernel, nq_error *err);
void nq_onednn_kernel_clear(nq_onednn_kernel *kernel);

/* The description of one of the kernel's operands; owned by the kernel. */
const dnnl_memory_desc_t *nq_onednn_operand(const nq_onednn_kernel *kernel, dnnl_query_t what,
                                            int index);

/* Weights as the caller holds them, [O][KH][KW][I/groups]. */
dnnl_status_t nq_onednn_weight_plain(const nq_float_shape *shape, dnnl_memory_desc_t *md);

#endif
