/*
 * model.safetensors: the quantized network as one file, documented in docs/model-file.md. Sorted
 * keys, no time, path or version inside; weights narrower than 8 bit are packed low nibble (low
 * bits) first, rows (output channels) padded to bytes. At most packed weights + 8 bytes an output
 * channel + 32 KB.
 */
#ifndef NQ_OUTPUT_MODEL_FILE_H
#define NQ_OUTPUT_MODEL_FILE_H

#include "worker/integer/qmodel.h"

/* The file's bytes, malloc'd. The same model gives the same bytes. */
nq_status nq_model_file_encode(const nq_qmodel *model, uint8_t **data, size_t *size, nq_error *err);

/* Reads them back; `name` is for sentences. Hostile input: everything is checked, nq_qmodel_check()
 * included. */
nq_status nq_model_file_decode(const uint8_t *data, size_t size, const char *name, nq_qmodel *model,
                               nq_error *err);

#endif
