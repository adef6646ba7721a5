/* What a job will cost, said before it runs (submit with dry_run). */
#ifndef NQ_SERVER_ESTIMATE_H
#define NQ_SERVER_ESTIMATE_H

#include "server/job.h"

/*
 * Bytes of the model.safetensors that this job writes, from the architecture's counts and the bytes
 * of its float checkpoint (which tell the number of classes). Float jobs keep the checkpoint's;
 * scoring a quantized file keeps that file's, `quantized_bytes`. Of keep_8bit only "last" is
 * counted.
 */
int64_t nq_estimate_model_size(const nq_spec *spec, const char *arch, int64_t checkpoint_bytes,
                               int64_t quantized_bytes);

/* Bytes below the job's folder when it is done. */
int64_t nq_estimate_disk(const nq_job *job, int64_t model_size);

#endif
