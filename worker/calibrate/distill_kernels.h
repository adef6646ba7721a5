/* The loops of synthesis that touch every value; a file of their own for the compiler's flags. */
#ifndef NQ_CALIBRATE_DISTILL_KERNELS_H
#define NQ_CALIBRATE_DISTILL_KERNELS_H

#include <stddef.h>

/* Adds, for each channel c of f32 [pixels][channels], the values to sum[2 * c] and their squares to
 * sum[2 * c + 1]. scratch: f32 [2][channels]. */
void nq_distill_sum(const float *values, int channels, size_t pixels, float *scratch, double *sum);

/* gradient += level[c] + slope[c] * value. */
void nq_distill_add(const float *values, int channels, size_t pixels, const float *level,
                    const float *slope, float *gradient);

/* One step of Adam (Kingma and Ba, ICLR 2015; betas 0.9 and 0.999, epsilon 1e-8): first and second
 * are the moments, rate the learning rate over the first moment's bias correction, correction the
 * square root of the second's. */
void nq_distill_adam(const float *gradient, size_t count, float rate, float correction,
                     float *first, float *second, float *values);
void nq_distill_clamp(float *values, int channels, size_t pixels, const float *low,
                      const float *high);

#endif
