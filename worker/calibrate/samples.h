/* Where calibration samples come from: one file a source, one struct for all. */
#ifndef NQ_CALIBRATE_SAMPLES_H
#define NQ_CALIBRATE_SAMPLES_H

#include "common/error.h"
#include "common/spec.h"
#include <stddef.h>

typedef struct nq_samples nq_samples;

/*
 * The source that spec->calibrate names. For source "file", root + path say where it lies (see
 * nq_file_open_beneath): a .npy (float32, C order, (N,3,224,224), streamed: never whole in memory)
 * or an image folder (any tree of .jpg/.jpeg, sorted bytewise by path; preprocessed as the
 * validation images are). NULL, NULL otherwise.
 */
nq_status nq_samples_open(const nq_spec *spec, const char *root, const char *path,
                          nq_samples **samples, nq_error *err);
void nq_samples_free(nq_samples *samples);
size_t nq_samples_count(const nq_samples *samples);

/*
 * Sample i as f32 [224][224][3]. Safe from several threads, each with its own `thread` number below
 * NQ_SAMPLES_THREADS. Sample i is the same whoever asks: Gaussian and uniform samples are Philox
 * streams i, drawn in NCHW order.
 */
#define NQ_SAMPLES_THREADS 256
nq_status nq_samples_read(nq_samples *samples, size_t i, int thread, float *out, nq_error *err);

#endif
