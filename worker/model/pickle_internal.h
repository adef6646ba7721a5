/* Between pickle.c (opcodes), pickle_store.c (memory) and pickle_torch.c (what globals mean). Here
 * err is never NULL. */
#ifndef NQ_MODEL_PICKLE_INTERNAL_H
#define NQ_MODEL_PICKLE_INTERNAL_H

#include "worker/model/pickle.h"

typedef enum {
    NQ_ROLE_ORDERED_DICT,
    NQ_ROLE_REBUILD_TENSOR,    /* (storage, offset, shape, stride), and in v2 what follows */
    NQ_ROLE_REBUILD_PARAMETER, /* (tensor, requires_grad, hooks) */
    NQ_ROLE_STORAGE_TYPE,
    NQ_ROLE_CONSTANT /* torch.per_tensor_affine, torch.qint8: carried, never used */
} nq_pickle_role;

struct nq_pickle_global {
    const char *module, *name;
    nq_pickle_role role;
    nq_dtype dtype; /* STORAGE_TYPE */
    bool quantized; /* STORAGE_TYPE */
};

struct nq_pickle {
    const char *name;
    struct nq_pickle_block *blocks;
    size_t memory;
    size_t steps;
    size_t at; /* offset in the file of the opcode being run */
    nq_pickle_storage **storages;
    size_t storage_count, storage_room;
};

/* Puts "FILE: byte N: " before the sentence; N is where the current opcode stands. */
nq_status nq_pickle_refuse(const nq_pickle *pickle, nq_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Zeroed memory that lives as long as the machine, under its cap. NULL: err is filled. */
void *nq_pickle_alloc(nq_pickle *pickle, size_t size, nq_error *err);
nq_status nq_pickle_items_add(nq_pickle *pickle, nq_pickle_items *items, nq_pickle_value value,
                              nq_error *err);
nq_status nq_pickle_storage_add(nq_pickle *pickle, nq_pickle_storage *storage, nq_error *err);

/* The three opcodes that know torch: GLOBAL, REDUCE (function called with a tuple), BINPERSID. */
nq_status nq_pickle_find_global(nq_pickle *pickle, nq_pickle_value module, nq_pickle_value name,
                                nq_pickle_value *value, nq_error *err);
nq_status nq_pickle_call(nq_pickle *pickle, nq_pickle_value function, nq_pickle_value arguments,
                         nq_pickle_value *value, nq_error *err);
nq_status nq_pickle_persistent(nq_pickle *pickle, nq_pickle_value id, nq_pickle_value *value,
                               nq_error *err);

#endif
