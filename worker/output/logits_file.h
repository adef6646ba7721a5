/*
 * logits.npy: what a float job keeps for those that are compared with it. float32 [images][classes]
 * in the order of output.txt's lines, as numpy.load() reads it.
 */
#ifndef NQ_OUTPUT_LOGITS_FILE_H
#define NQ_OUTPUT_LOGITS_FILE_H

#include "common/error.h"
#include "worker/job_file.h"
#include "worker/score/journal.h"

/* Writes the rows of `count` done positions of a journal whose rows are f32 [classes], atomically.
 */
nq_status nq_logits_write(const char *path, nq_journal *journal, uint32_t count, int classes,
                          nq_error *err);

typedef struct {
    int fd; /* -1: none is open */
    const char *name;
    uint32_t count;
    int classes;
} nq_logits_file;

/* Opens a file that nq_logits_write() made for a network of so many classes; anything else is
 * NQ_ERR_INPUT. place must outlive the file. Close it in either case. */
nq_status nq_logits_open(const nq_place *place, int classes, nq_logits_file *file, nq_error *err);

/* Row i < count into f32 [classes]. */
nq_status nq_logits_row(const nq_logits_file *file, uint32_t i, float *row, nq_error *err);
void nq_logits_close(nq_logits_file *file);

#endif
