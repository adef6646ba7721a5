/* The header of a .npy file, read strictly: float32 (N, 3, 224, 224) in C order and nothing else.
 */
#ifndef NQ_CALIBRATE_NPY_HEADER_H
#define NQ_CALIBRATE_NPY_HEADER_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

/* A version 1 header is at most this long; ours refuses longer ones of versions 2 and 3 as well. */
#define NQ_NPY_HEADER_MAX (12 + 65535)

typedef struct {
    size_t samples;
    uint64_t offset; /* of the first value in the file */
} nq_npy_header;

/*
 * data: the first `size` bytes of the file: all of it, or at least NQ_NPY_HEADER_MAX. file_bytes:
 * its length, which must be exactly header + samples * 3 * 224 * 224 * 4. Everything else is
 * NQ_ERR_INPUT, and the sentence says what the file is and how to save the right one.
 */
nq_status nq_npy_header_parse(const uint8_t *data, size_t size, uint64_t file_bytes,
                              const char *name, nq_npy_header *header, nq_error *err);

#endif
