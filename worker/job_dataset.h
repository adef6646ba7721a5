/* The images that job.json names. */
#ifndef NQ_WORKER_JOB_DATASET_H
#define NQ_WORKER_JOB_DATASET_H

#include "common/dataset.h"
#include "worker/job_file.h"

/* Lists them, refuses those that changed since the submit, and puts them into output.txt's order
 * (malloc'd). The caller frees both, in either case. */
nq_status nq_job_load_dataset(const nq_job_file *job, nq_dataset *dataset, uint32_t **order,
                              nq_error *err);

#endif
