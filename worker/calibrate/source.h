/*
 * A source of calibration samples: what a new one has to provide. It is one file with one table of
 * functions, and one line in the list of samples.c.
 */
#ifndef NQ_CALIBRATE_SOURCE_H
#define NQ_CALIBRATE_SOURCE_H

#include "worker/calibrate/samples.h"

#define NQ_SAMPLE_SIDE     224
#define NQ_SAMPLE_CHANNELS 3
#define NQ_SAMPLE_PIXELS   (NQ_SAMPLE_SIDE * NQ_SAMPLE_SIDE)
#define NQ_SAMPLE_FLOATS   ((size_t)NQ_SAMPLE_PIXELS * NQ_SAMPLE_CHANNELS)

typedef struct {
    /* Opens the source: *state is its own, *count the samples that it holds or makes: those
     * beyond spec->calibrate.samples, where that is not 0, are never read. */
    nq_status (*open)(const nq_spec *spec, const char *root, const char *path, void **state,
                      size_t *count, nq_error *err);
    /* As nq_samples_read(), which has checked i and thread. */
    nq_status (*read)(void *state, size_t i, int thread, float *out, nq_error *err);
    void (*close)(void *state);
} nq_sample_source;

extern const nq_sample_source nq_source_gaussian;
extern const nq_sample_source nq_source_uniform;
extern const nq_sample_source nq_source_npy;
extern const nq_sample_source nq_source_images;
extern const nq_sample_source nq_source_sheet;

/* f32 [3][224][224] -> f32 [224][224][3]. */
void nq_sample_to_nhwc(const float *nchw, float *nhwc);

#endif
