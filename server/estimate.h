/* What a job will cost, said before it runs (submit with dry_run). */
#ifndef NQ_SERVER_ESTIMATE_H
#define NQ_SERVER_ESTIMATE_H

#include "server/job.h"
#include "server/store.h"

/*
 * Bytes of the model.safetensors that this job writes, from the architecture's counts and the bytes
 * of its float checkpoint (which tell the number of classes). Float jobs keep the checkpoint's;
 * scoring a quantized file keeps that file's, `quantized_bytes`. Of keep_8bit only "last" is
 * counted.
 */
int64_t nq_estimate_model_size(const nq_spec *spec, const char *arch, int64_t checkpoint_bytes,
                               int64_t quantized_bytes);

/*
 * Seconds that a job takes: what `past` took, for as much more or less as there is to do here.
 * Where past->seconds is 0 it is a guess from the network's size, right to a factor of a few.
 * samples: 0 where the calibration file decides, or where nothing is calibrated.
 */
double nq_estimate_seconds(nq_job_kind kind, const char *arch, int64_t samples, int64_t images,
                           int threads, const nq_past_run *past);

/* Bytes below the job's folder when it is done. */
int64_t nq_estimate_disk(const nq_job *job, int64_t model_size);

#endif
