/*
 * The inner loops of calibration over float values, compiled for several instruction sets; the
 * loader takes the widest that the CPU has. All round as IEEE 754 says, without fused operations,
 * so that they give the same bits everywhere; sums over positions are in double.
 */
#ifndef NQ_QUANTIZE_VALUE_KERNELS_H
#define NQ_QUANTIZE_VALUE_KERNELS_H

#include "worker/integer/qmodel.h"

/* q[i] = clamp(round_half_even(x[i] / scale) + zero point, low, qmax), low the zero point behind a
 * ReLU and else 0. */
void nq_quantize_values(const float *x, size_t n, nq_qparams params, bool relu, uint8_t *q);

/* The same as real numbers: what is left of x behind those integers. */
void nq_requantize_values(const float *x, size_t n, nq_qparams params, float *out);

/* out[i] = value[q[i]]. */
void nq_look_up_values(const float value[256], const uint8_t *q, size_t n, float *out);

/* x f32 [positions][channels], in place: gain[c] x + shift[c], through ReLU if asked. gain NULL
 * is 1, shift NULL is 0. */
void nq_scale_channels(float *x, size_t positions, size_t channels, const float *gain,
                       const float *shift, bool relu);

/* Adds to sums[c] and squares[c] the differences of a + shift[c], through ReLU if asked, from b;
 * shift NULL is 0. */
void nq_add_differences(const float *a, const float *b, size_t positions, size_t channels,
                        const float *shift, bool relu, double *sums, double *squares);

/* Weighted sums of one channel over positions. */
typedef struct {
    double *z, *y, *zz, *yy, *relu; /* [channels]: w z, w y, w z^2, w y^2, w max(z, 0) */
    float *low, *high;              /* [channels], of y */
} nq_moment_sums;
void nq_add_moments(const float *z, const float *y, const float *weight, size_t positions,
                    size_t channels, const nq_moment_sums *sums);

/* norm[p] = sum over channels of x^2. */
void nq_norm_positions(const float *x, size_t positions, size_t channels, float *norm);

#endif
