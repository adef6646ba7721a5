/* The other task of a worker: all crops of a dataset, so that no job has to decode. */
#ifndef NQ_WORKER_FILL_CACHE_H
#define NQ_WORKER_FILL_CACHE_H

#include "worker/job_file.h"
#include "worker/progress.h"

/*
 * Sees that every image of job->dataset has its record in the crop cache: reads those that are
 * there, decodes the others. Images that cannot be decoded are named in the log and left to the
 * jobs. Runs with a lower priority than they do. NQ_ERR_IO where the cache had no room for all.
 */
nq_status nq_cache_fill(const nq_job_file *job, nq_progress_report *report, nq_error *err);

#endif
