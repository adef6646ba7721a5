/* metrics.json: everything that is known of a finished job (docs/job-directory.md). */
#ifndef NQ_OUTPUT_METRICS_H
#define NQ_OUTPUT_METRICS_H

#include "common/dataset.h"
#include "worker/job_file.h"
#include "worker/progress.h"
#include "worker/score/journal.h"
#include <jansson.h>

/* Counts over the scored images, and the hashes that make two runs comparable. */
typedef struct {
    uint32_t images, top1_right, top5_right, unreadable;
    uint64_t original_model_size, new_model_size; /* bytes */
    bool has_agreement;                           /* with the float network's labels */
    uint32_t agreement_images, agreement_same;
    bool has_kl; /* divergence from the float network's logits */
    uint32_t kl_images;
    double kl_mean;                  /* nats */
    bool has_logits;                 /* integer networks only */
    uint8_t logits[NQ_SHA256_BYTES]; /* of all u8 logits in the order of output.txt's lines */
    uint8_t
        images_sha[NQ_SHA256_BYTES]; /* of the images' digests (16 bytes each), in the same order */
} nq_summary;

typedef struct {
    const nq_job_file *job;
    const nq_dataset *dataset;
    const uint32_t *order;
    const nq_verdict *verdicts;
    const nq_summary *summary;
    int classes;
    json_t *layers;              /* borrowed; NULL where there is no report */
    json_t *mixed;               /* borrowed; NULL: every layer has the same width */
    const char *kernels;         /* NULL: float */
    const nq_crop_counts *crops; /* NULL: no crop cache was used */
    const nq_progress_report *report;
    double seconds;
} nq_metrics;

nq_status nq_metrics_write(const char *path, const nq_metrics *metrics, nq_error *err);

/* JOBDIR/result.json: written last of all; see docs/job-directory.md. With `failure` the job failed
 * and summary is NULL. Hashes the artifacts in `out`. */
nq_status nq_result_write(const char *dir, const nq_job_file *job, const char *const *artifacts,
                          const nq_summary *summary, double seconds, const nq_error *failure,
                          nq_error *err);

#endif
