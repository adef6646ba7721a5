/*
 * Reading torch.save() state_dicts: the zip format and the legacy stream (NUMERICS: checkpoint
 * files), through a pickle machine that knows only what a state_dict needs. Everything in the file
 * is hostile.
 */
#ifndef NQ_MODEL_CHECKPOINT_H
#define NQ_MODEL_CHECKPOINT_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

#define NQ_TENSOR_DIMS 8

typedef enum {
    NQ_F32,
    NQ_F16,
    NQ_BF16,
    NQ_F64,
    NQ_I64,
    NQ_I32,
    NQ_I16,
    NQ_I8,
    NQ_U8,
    NQ_BOOL
} nq_dtype;

typedef struct {
    char *name;     /* "layer1.0.conv1.weight" */
    nq_dtype dtype; /* as stored */
    int dims;
    int64_t shape[NQ_TENSOR_DIMS];
    size_t count; /* product of shape; 1 for a scalar */
    void *data;   /* contiguous C order in `dtype`, strides resolved */
} nq_tensor;

typedef struct {
    nq_tensor *tensors; /* in the order of the state_dict */
    size_t count;
} nq_checkpoint;

/*
 * Parses `size` bytes. `name` is the file's name for sentences. Caps: 1 GiB of tensor data
 * and 64 bytes of it for each byte of the file (expanded views), 10^5 tensors, and on the pickle's
 * stack, memo, operations and depth; storages must be inside the file, offset and strides are
 * checked in 64 bits; zip entries stored (not deflated), unique and in bounds. A pickle that names
 * any other global is refused by that name ("os.system"). A dict
 * {"state_dict": {...}} or
 * {"model": {...}} around it is not unwrapped: the sentence says so.
 */
nq_status nq_checkpoint_parse(const uint8_t *data, size_t size, const char *name,
                              nq_checkpoint *checkpoint, nq_error *err);
void nq_checkpoint_free(nq_checkpoint *checkpoint);

/* NULL when there is none. */
const nq_tensor *nq_checkpoint_find(const nq_checkpoint *checkpoint, const char *name);

const char *nq_dtype_name(nq_dtype dtype); /* "float32" */
size_t nq_dtype_size(nq_dtype dtype);

#endif
