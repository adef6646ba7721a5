/* One job, from job.json to artifacts. */
#ifndef NQ_WORKER_JOB_H
#define NQ_WORKER_JOB_H

#include "worker/job_file.h"
#include "worker/progress.h"

/*
 * Runs the job in folder `dir`, going on from its state/ where there is one, and writes DIR/out/
 * and last DIR/result.json. Returns NQ_OK when the job is done. A failure that trying again cannot
 * mend (bad input) is written into result.json as well; NQ_ERR_IO and NQ_ERR_NOMEM are not: the
 * caller may try again.
 */
nq_status nq_job_run(const char *dir, const nq_job_file *job, nq_progress_report *report,
                     nq_error *err);

/* Whether a failure is the job's own, so that trying again would give the same. */
bool nq_job_failure_is_final(nq_status status);

#endif
