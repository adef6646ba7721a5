/* Where calibration samples come from: one file a source, one struct for all. */
#ifndef NQ_CALIBRATE_SAMPLES_H
#define NQ_CALIBRATE_SAMPLES_H

#include "common/error.h"
#include "common/spec.h"
#include <stddef.h>

typedef struct nq_samples nq_samples;

/*
 * The source that spec->calibrate names. For sources "file" and "distill" (whose images have been
 * made and written before), root + path say where it lies (see
 * nq_file_open_beneath): a .npy (float32, C order, (N,3,224,224), streamed: never whole in memory),
 * a PNG that is the sheet of a distilling job (worker/calibrate/sheet.h), or an image folder (any
 * tree of .jpg/.jpeg, sorted bytewise by path; preprocessed as the validation images are; another
 * kind of image in it is an error). NULL, NULL otherwise. Of a file the first
 * spec->calibrate.samples are used, all where that is 0 or more than there are.
 */
nq_status nq_samples_open(const nq_spec *spec, const char *root, const char *path,
                          nq_samples **samples, nq_error *err);
void nq_samples_free(nq_samples *samples);
/* Views included: calibrate.views times what the source has. */
size_t nq_samples_count(const nq_samples *samples);

/*
 * Sample i as f32 [224][224][3]. Safe from several threads, each with its own `thread` number below
 * NQ_SAMPLES_THREADS. Sample i is the same whoever asks: Gaussian and uniform samples are Philox
 * streams i, drawn in NCHW order. A value in a .npy that is not finite and an image that cannot be
 * decoded are NQ_ERR_INPUT and name the file and the sample.
 */
#define NQ_SAMPLES_THREADS 256
nq_status nq_samples_read(nq_samples *samples, size_t i, int thread, float *out, nq_error *err);

/* A slice of the float network: samples first .. first + count - 1, then zeros up to `batch`, as
 * f32 [batch][224][224][3]. */
nq_status nq_samples_read_slice(nq_samples *samples, size_t first, size_t count, size_t batch,
                                int thread, float *out, nq_error *err);

#endif
