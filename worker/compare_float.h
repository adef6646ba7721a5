/* A quantized network's predictions beside the float network's, where a float job has left them. */
#ifndef NQ_WORKER_COMPARE_FLOAT_H
#define NQ_WORKER_COMPARE_FLOAT_H

#include "worker/job_file.h"
#include "worker/output/metrics.h"
#include "worker/score/journal.h"

typedef struct {
    const nq_job_file *job; /* float_output and float_logits: a place, or none */
    nq_journal *journal;    /* rows are u8 [classes] */
    const nq_verdict *verdicts;
    uint32_t count; /* of verdicts; the float job scored at least as many */
    int classes;
    double scale; /* of the logits */
} nq_float_comparison;

/*
 * Fills the summary's agreement (labels equal; from output.txt) and its mean Kullback-Leibler
 * divergence KL(float || quantized) of the softmax over the readable images, summed in the order of
 * output.txt (from logits.npy). What there is no place for stays as it is.
 */
nq_status nq_compare_with_float(const nq_float_comparison *c, nq_summary *summary, nq_error *err);

#endif
