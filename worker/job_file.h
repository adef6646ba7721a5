/* JOBDIR/job.json: all that a job depends on (docs/job-directory.md). */
#ifndef NQ_WORKER_JOB_FILE_H
#define NQ_WORKER_JOB_FILE_H

#include "common/crop_cache.h"
#include "common/error.h"
#include "common/hash.h"
#include "common/spec.h"

/* A file or folder: `path` beneath `root`, opened by nq_file_open_beneath(). Both NULL where there
 * is none. */
typedef struct {
    char *root, *path;
} nq_place;

typedef struct {
    int id;
    bool fill_cache; /* "task":"cache": the dataset's crops alone; no spec, no checkpoint */
    nq_spec spec;
    char fingerprint[NQ_SHA256_TEXT];
    /* Frozen at submit; the worker refuses what changed since. Empty text: nothing to hold to. */
    char arch[NQ_SPEC_NAME];
    char checkpoint_sha256[NQ_SHA256_TEXT];
    uint64_t checkpoint_bytes;
    char calibration_sha256[NQ_SHA256_TEXT];
    char quantized_sha256[NQ_SHA256_TEXT];
    char dataset_name[NQ_SPEC_PATH]; /* for people */
    char dataset_fingerprint[NQ_SHA256_TEXT];
    uint64_t dataset_images;
    /* `run`: outside the fingerprint. */
    nq_place checkpoint, dataset, labels, wnids, calibration, quantized, float_output, float_logits;
    nq_place shared_images; /* a folder: worker/shared_images.h */
    nq_crop_place cache;
    char dataset_stamp[NQ_SHA256_TEXT];
    int threads;
    int memory_mb; /* 0: no limit */
    long daemon_pid;
} nq_job_file;

/* Reads and checks DIR/job.json. Free with nq_job_file_free() in either case. */
nq_status nq_job_file_read(const char *dir, nq_job_file *job, nq_error *err);
void nq_job_file_free(nq_job_file *job);

/* The whole content of a place, as nq_file_read_fd(). */
nq_status nq_place_read(const nq_place *place, size_t limit, uint8_t **data, size_t *size,
                        nq_error *err);

#endif
