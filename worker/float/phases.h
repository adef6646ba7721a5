/*
 * The input gradient of a strided convolution of few channels, such as a network's first, as an
 * ordinary convolution: libraries are slow at the former. Pixel (S y + a, S x + b) of the gradient,
 * S the stride, takes only every S-th row and column of the kernel. So each phase (a, b) is a
 * convolution of stride 1 over the gradient of the output, with some taps of the kernel reversed;
 * all phases together are one, whose S * S * channels outputs are then spread over the pixels.
 */
#ifndef NQ_FLOAT_PHASES_H
#define NQ_FLOAT_PHASES_H

#include "worker/float/backend.h"

/* Whether it is worth it, and possible: NQ_PASS_DATA, one group, at most 4 channels, a large
 * kernel, stride above 1, height and width multiples of it. */
bool nq_phases_fit(const nq_float_shape *gradient);

/* The convolution that takes its place. Its pads at the far ends may be larger than those at the
 * near ones. */
nq_float_shape nq_phases_shape(const nq_float_shape *gradient);

/* Its weights [S * S * channels][taps][taps][output channels], from those of the layer. */
void nq_phases_weight(const nq_float_shape *gradient, const float *weight, float *phased);

/* From its output to f32 [batch][height][width][channels]. */
void nq_phases_spread(const nq_float_shape *gradient, const float *phased, float *out);

#endif
