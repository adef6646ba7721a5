/* Scoring: each image read once, cropped, run through the network, judged, journalled. */
#ifndef NQ_SCORE_SCORE_H
#define NQ_SCORE_SCORE_H

#include "common/crop_cache.h"
#include "common/dataset.h"
#include "common/pool.h"
#include "common/spec.h"
#include "worker/quantize/ranges.h"
#include "worker/score/journal.h"
#include "worker/score/scorer.h"

typedef struct {
    const nq_dataset *dataset;
    const uint32_t *order;
    uint32_t count; /* positions to score: all, or the spec's limit */
    nq_scorer *scorer;
    nq_journal *journal;
    nq_unreadable unreadable;
    nq_crop_cache *cache; /* record i is position i; NULL: every image is decoded */
} nq_score_job;

/*
 * Scores what verdicts[count] does not hold yet, in slices handed to the pool. An unreadable image
 * fails the run, naming the file, or with NQ_UNREADABLE_WRONG gets label -1, no top-5 and a row of
 * zeros, and a line on stderr.
 */
nq_status nq_score_run(const nq_score_job *job, nq_pool *pool, nq_progress progress, void *context,
                       nq_verdict *verdicts, nq_error *err);

#endif
