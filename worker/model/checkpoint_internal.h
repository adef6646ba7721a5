/* Between checkpoint.c and the readers of the two formats. */
#ifndef NQ_MODEL_CHECKPOINT_INTERNAL_H
#define NQ_MODEL_CHECKPOINT_INTERNAL_H

#include "worker/model/pickle.h"

/* A checkpoint file taken apart: the pickled object, and all of its storages' bytes found. */
typedef struct {
    nq_pickle *pickle;
    nq_pickle_value root;
    char *label;       /* what the pickle is called in sentences; owned */
    uint8_t **buffers; /* owned bytes that values and storages point into */
    size_t buffer_count, buffer_room;
} nq_checkpoint_source;

/* Both fill `source`, which the caller releases also after an error. data must outlive it. */
nq_status nq_checkpoint_read_zip(const uint8_t *data, size_t size, const char *name,
                                 nq_checkpoint_source *source, nq_error *err);
nq_status nq_checkpoint_read_legacy(const uint8_t *data, size_t size, const char *name,
                                    nq_checkpoint_source *source, nq_error *err);

/* Bytes of a whole storage; false where the product leaves 63 bits. */
bool nq_checkpoint_storage_bytes(const nq_pickle_storage *storage, uint64_t *bytes);

#endif
