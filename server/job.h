/* A job as the queue remembers it. */
#ifndef NQ_SERVER_JOB_H
#define NQ_SERVER_JOB_H

#include "common/error.h"
#include "common/hash.h"
#include "common/spec.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    NQ_STATE_QUEUED,
    NQ_STATE_HELD,
    NQ_STATE_RUNNING,
    NQ_STATE_DONE,
    NQ_STATE_FAILED,
    NQ_STATE_CANCELLED
} nq_job_state;
#define NQ_STATE_COUNT 6

#define NQ_BITS_AUTO      (-1) /* weights_bits of a job whose layers have each their own */
#define NQ_TOKEN_BYTES    128  /* longest client token */
#define NQ_ARTIFACT_NAME  128  /* longest name of an artifact, with its NUL */
#define NQ_ARTIFACTS_MOST 64   /* of one job */

typedef struct {
    char name[NQ_ARTIFACT_NAME];
    int64_t bytes;
    char sha256[NQ_SHA256_TEXT];
} nq_artifact;

/* What a done job measured. */
typedef struct {
    int64_t images, top1_right, top5_right, unreadable;
    int64_t original_model_size, new_model_size; /* bytes */
    int64_t agreement_same;                      /* labels equal to the float network's; -1: none */
    int64_t agreement_images;
    double seconds;
} nq_job_summary;

/*
 * Everything that survives a restart, and nothing else: one row of the table `jobs`. Times are
 * microseconds since 1970, 0 where it has not come to that; hashes are hex, "" for none.
 */
typedef struct {
    int64_t id;
    int64_t group; /* 0: none */
    uint32_t uid;
    nq_job_state state;
    char reason[768]; /* why it waits, failed or was cancelled; "" for none */
    char token[NQ_TOKEN_BYTES + 1];
    int64_t submitted, started, ended;
    int priority;
    int attempts; /* that ended by themselves while their daemon lived */

    char *spec; /* canonical JSON text; malloc'd */
    char model[NQ_SPEC_NAME], preset[NQ_SPEC_NAME];
    char dataset[NQ_SPEC_PATH]; /* the config's name, or the folder that was given instead */
    nq_job_kind kind;
    int weights_bits, activations_bits; /* 0: the job quantizes nothing */
    int64_t limit;
    bool partial; /* the limit cuts the dataset */

    /* Frozen at submit: the job fails rather than run on anything else. */
    char fingerprint[NQ_SHA256_TEXT];
    char checkpoint_sha256[NQ_SHA256_TEXT];
    int64_t checkpoint_bytes;
    char arch[NQ_SPEC_NAME];
    char dataset_fingerprint[NQ_SHA256_TEXT], dataset_stamp[NQ_SHA256_TEXT];
    int64_t dataset_images;
    char calibration_sha256[NQ_SHA256_TEXT], quantized_sha256[NQ_SHA256_TEXT];

    bool has_summary;
    nq_job_summary summary;
} nq_job;

/* Frees what the job owns, not the job. */
void nq_job_clear(nq_job *job);

const char *nq_job_state_name(nq_job_state state);
/* False where there is no such state. */
bool nq_job_state_find(const char *name, nq_job_state *state);
bool nq_job_state_is_end(nq_job_state state);

/* Microseconds since 1970. */
int64_t nq_time_now(void);

/* top1 and such in per cent, from counts; 0 of 0 is 0. */
double nq_per_cent(int64_t right, int64_t images);
/* 100 * (original - new) / original. */
double nq_compression_ratio(int64_t original, int64_t new_size);
/* floor((2000 right + n) / 2n): tenths of a per cent, a half rounded up. n >= 1. */
int64_t nq_tenths(int64_t right, int64_t images);

/*
 * The protocol's job object (docs/protocol.md) without `progress`, which is null. `before` is the
 * number of jobs that a queued job waits for, `running` how many run now: they make the reason of a
 * job that has none of its own. NULL: out of memory. The caller owns it.
 */
json_t *nq_job_to_json(const nq_job *job, const nq_artifact *artifacts, size_t artifact_count,
                       int64_t before, int64_t running, bool with_spec);

/* The reason of a queued job that has none of its own. NULL: out of memory. */
json_t *nq_job_waiting_reason(int64_t before, int64_t running);

/* The fingerprint of job->spec and the frozen hashes: two jobs with the same one have the same
 * results. */
nq_status nq_job_fingerprint(const nq_job *job, char text[NQ_SHA256_TEXT], nq_error *err);

#endif
