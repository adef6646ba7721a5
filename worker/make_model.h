/* The quantized network of a job: given, kept from an earlier start, or made now. */
#ifndef NQ_WORKER_MAKE_MODEL_H
#define NQ_WORKER_MAKE_MODEL_H

#include "common/pool.h"
#include "worker/integer/qmodel.h"
#include "worker/job_file.h"
#include "worker/progress.h"
#include <jansson.h>

typedef struct {
    nq_qmodel model;
    uint8_t *bytes; /* model.safetensors */
    size_t size;
    json_t *layers; /* the per-layer report; NULL for a file that was given */
    json_t *mixed;  /* what weights.bits auto has chosen; NULL where a width was given */
} nq_made_model;

/* For preset "quantized": reads and checks the file that the job names. */
nq_status nq_made_model_read(const nq_job_file *job, nq_made_model *made, nq_error *err);

/*
 * For all others: repairs a copy of `graph` (folded), finds ranges and quantizes, and keeps model
 * and report in DIR/state; a second start takes them from there. Reports the stages repair,
 * sensitivity (weights.bits auto), calibrate, histogram, quantize and report.
 */
nq_status nq_made_model_make(const char *dir, const nq_job_file *job, const nq_graph *graph,
                             nq_pool *pool, nq_progress_report *report, nq_made_model *made,
                             nq_error *err);

void nq_made_model_free(nq_made_model *made);

/* NQ_ERR_INPUT with both hashes where `data` is not what was frozen at submit; empty text holds to
 * nothing. */
nq_status nq_check_frozen(const char *what, const char *path, const void *data, size_t size,
                          const char *frozen, nq_error *err);

/* DIR/state/NAME-FINGERPRINT.EXTENSION: what is kept between two starts of one job. Caller frees;
 * NULL: out of memory. */
char *nq_kept_path(const char *dir, const nq_job_file *job, const char *name,
                   const char *extension);

/* Images a float forward pass: part of what a float result depends on. */
#define NQ_FLOAT_SLICE 8

#endif
