/* One distilled image: what it starts from, how a step looks at it, how it moves. */
#ifndef NQ_CALIBRATE_DISTILL_IMAGE_H
#define NQ_CALIBRATE_DISTILL_IMAGE_H

#include "common/spec.h"
#include "worker/calibrate/source.h"

/*
 * image: f32 [224][224][3] of sample `sample`, its first values (drawn in NCHW order):
 *  zeroq: (u - 127.5) / 5418.75, u from 0..254: the authors' code divides by the variance of u, not
 *    by its deviation, so that these images are nearly grey.
 *  gaussian: N(0,1).
 *  smooth: the sum of normal noise on grids of 7, 14, ... 112 points a side, interpolated; variance
 *    1 on its grid points.
 *  leaves: dead_leaves.h, its black and white where pixels have theirs.
 */
nq_status nq_distill_start(nq_init_kind init, uint64_t seed, size_t sample, float *image,
                           nq_error *err);

/* How a step looks at an image: rolled, and mirrored or not. */
typedef struct {
    int down, right; /* 0..223 */
    bool mirror;
} nq_distill_view;

/* By up to 16 pixels either way, mirrored every other time; one stream a sample and step. */
nq_distill_view nq_distill_view_draw(uint64_t seed, size_t sample, int step);

/* seen[y][x] = image[y + down][x + right], around the edges, columns reversed where mirrored. */
void nq_distill_view_apply(nq_distill_view view, const float *image, float *seen);
/* The inverse: image from seen. */
void nq_distill_view_undo(nq_distill_view view, const float *seen, float *image);

/* The learning rate and what it depends on. */
typedef struct {
    double rate;
    double best; /* the least loss so far, INFINITY at first */
    int since;   /* steps without one that was less by a ten-thousandth */
} nq_distill_rate;

nq_distill_rate nq_distill_rate_begin(nq_loss_kind loss);
/* For step `next` of `steps`, after a step whose loss was this. zeroq: PyTorch's ReduceLROnPlateau
 * with patience 100, factor 0.1, least 1e-4. */
void nq_distill_rate_next(nq_distill_rate *rate, nq_loss_kind loss, double value, int next,
                          int steps);

/* Step number `step` (from 0) of Adam on one image. first, second: its moments, zeros at first.
 * bounded: pixels stay between black and white. */
void nq_distill_move(const float *gradient, int step, double rate, bool bounded, float *first,
                     float *second, float *image);

#endif
