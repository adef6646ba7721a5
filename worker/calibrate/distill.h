/*
 * Calibration images made from nothing but the network: pixels are moved by gradient descent until
 * what the network's batch norms see has the mean and the standard deviation that training left in
 * them. Two ways, by spec->calibrate.loss:
 *
 *  - zeroq (Cai et al., CVPR 2020): each image by itself. The loss is the sum, over the inputs of
 *    all batch norms and the image, of the squared differences of mean and standard deviation
 *    (unbiased, sqrt(variance + 1e-6)) of every channel; the image's own are 0 and 1. Adam at 0.5,
 *    divided by ten when 100 steps bring no progress, at least 1e-4.
 *  - batch: the images of a batch together, differences in units of the norm's standard deviation,
 *    the mean over channels and norms; each step sees every image rolled by up to 16 pixels and
 *    perhaps mirrored. Adam at 0.1 falling to 0 along a cosine; pixels stay between black and
 *    white.
 *
 * Images are drawn and computed one by one or in slices of a fixed number, so that the result is
 * the same for any number of threads.
 */
#ifndef NQ_CALIBRATE_DISTILL_H
#define NQ_CALIBRATE_DISTILL_H

#include "common/error.h"
#include "common/pool.h"
#include "common/spec.h"
#include "worker/model/graph.h"

/* After every step, from the calling thread: steps done of all, and the loss before the step, an
 * image's mean. Returning other than NQ_OK stops. */
typedef nq_status (*nq_distill_progress)(void *context, size_t done, size_t total, double loss,
                                         nq_error *err);

typedef struct {
    const nq_graph *graph; /* folded and not changed since */
    const nq_spec *spec;   /* calibrate.{loss, init, samples, batch, steps, seed} */
    nq_pool *pool;
    const char *state;    /* a file of this very synthesis: gone on from where it holds one, written
                             now and then and at the end; NULL: none */
    double state_seconds; /* between two writings */
    nq_distill_progress progress; /* may be NULL */
    void *context;
} nq_distill;

/* *images: f32 [samples][224][224][3], normalised; the caller frees them. */
nq_status nq_distill_images(const nq_distill *distill, float **images, nq_error *err);

#endif
