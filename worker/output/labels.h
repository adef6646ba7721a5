/* output.txt: the section of one model, as the challenge wants it (NUMERICS: output.txt). */
#ifndef NQ_OUTPUT_LABELS_H
#define NQ_OUTPUT_LABELS_H

#include "common/error.h"
#include "worker/score/journal.h"

/* `value` as Python's repr(float) prints it: the shortest decimal that reads back to the same
 * double. value >= 1e-4. `text` holds at least 32 bytes. */
void nq_format_repr(double value, char *text);

/* "In (MB): " and model_bytes / 1e6, then one label a line. Written atomically. */
nq_status nq_labels_write(const char *path, uint64_t model_bytes, const nq_verdict *verdicts,
                          uint32_t count, nq_error *err);

/* Reads the labels of an output.txt of one section back: labels[0..*count-1], malloc'd. Hostile
 * input. */
nq_status nq_labels_parse(const char *text, size_t size, const char *name, int32_t **labels,
                          uint32_t *count, nq_error *err);

#endif
