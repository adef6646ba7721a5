/*
 * The safetensors container: 8 bytes of header length (little-endian), a JSON header, the tensors'
 * bytes one after the other without gaps. Only the types that model.safetensors uses.
 */
#ifndef NQ_OUTPUT_SAFETENSORS_H
#define NQ_OUTPUT_SAFETENSORS_H

#include "common/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_ST_RANK 4
/* Longest header that is read. The largest that netq writes is below 32 KB. */
#define NQ_SAFETENSORS_HEADER (1u << 20)

typedef enum { NQ_ST_F32, NQ_ST_I32, NQ_ST_I8, NQ_ST_U8 } nq_st_type;

typedef struct {
    const char *name;
    nq_st_type type;
    int rank;
    size_t shape[NQ_ST_RANK];
    const void *data; /* little-endian; when reading, of any alignment */
    size_t bytes;
    bool taken;
} nq_st_tensor;

/*
 * The whole file, malloc'd: metadata (an object of strings) and `count` tensors, which are sorted
 * in place: widest type first so that all are aligned, then by name. Keys of the header are sorted,
 * its end is padded with blanks to a multiple of 8. The same input gives the same bytes.
 */
nq_status nq_safetensors_write(const json_t *metadata, nq_st_tensor *tensors, size_t count,
                               uint8_t **data, size_t *size, nq_error *err);

typedef struct {
    json_t *header;
    const json_t *metadata; /* inside header */
    nq_st_tensor *tensors;  /* names inside header, data inside the file's bytes */
    size_t count;
} nq_safetensors;

/* Reads a container. Every rule is checked: lengths, duplicate keys, types, shapes against sizes,
 * offsets that cover the data exactly. The bytes must outlive `file`. */
nq_status nq_safetensors_read(const uint8_t *data, size_t size, nq_safetensors *file,
                              nq_error *err);
void nq_safetensors_free(nq_safetensors *file);

/* The tensor of that name, marked as taken; NULL when there is none. */
nq_st_tensor *nq_safetensors_take(nq_safetensors *file, const char *name);
/* The name of a tensor that nobody took; NULL when there is none. */
const char *nq_safetensors_untaken(const nq_safetensors *file);

#endif
