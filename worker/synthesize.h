/* The calibration images of a job that makes its own (calibrate.source distill). */
#ifndef NQ_WORKER_SYNTHESIZE_H
#define NQ_WORKER_SYNTHESIZE_H

#include "common/pool.h"
#include "worker/job_file.h"
#include "worker/model/graph.h"
#include "worker/progress.h"

#define NQ_CALIBRATION_NPY "calibration.npy"
#define NQ_CALIBRATION_PNG "calibration.png"

/*
 * Makes the images from `graph` (folded, not repaired), going on from what an earlier start left in
 * DIR/state, or takes those that another job has made (worker/shared_images.h), and writes them to
 * DIR/out under the two names above. Reports the stage distill.
 */
nq_status nq_synthesize(const char *dir, const nq_job_file *job, const nq_graph *graph,
                        nq_pool *pool, nq_progress_report *report, nq_error *err);

#endif
