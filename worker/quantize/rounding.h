/* Turning a layer's weights into integers, scales given: one function a method. */
#ifndef NQ_QUANTIZE_ROUNDING_H
#define NQ_QUANTIZE_ROUNDING_H

#include "common/error.h"
#include <stdint.h>

/* Weights f32 [rows][taps][inputs]: output channels, kernel positions, input channels of a group.
 */
typedef struct {
    const float *weight;
    int rows, taps, inputs;
    const float *scale; /* [scales]: 1, or one a row */
    int scales;
    int bits; /* 2..8 */
} nq_weights;

/* q s8 [rows][taps][inputs]: each weight to the nearest integer, ties to even. */
nq_status nq_round_nearest(const nq_weights *weights, int8_t *q, nq_error *err);

/*
 * SQuant (Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian
 * Approximation", ICLR 2022, algorithms 1 to 4): rounds to nearest, then flips single weights by
 * one step so that the errors of each kernel (taps of one input channel; skipped where taps is 1)
 * and then of each row add up to as little as they can. With e = q - w/scale: |e| < 1 for every
 * weight that is not clamped, |sum of a kernel| <= 1, and |sum of a row| <= 0.5 where the
 * candidates suffice. Clamped weights are never flipped out of the range. Equal errors flip in
 * index order.
 */
nq_status nq_round_squant(const nq_weights *weights, int8_t *q, nq_error *err);

#endif
