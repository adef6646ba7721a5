/* Normal distributions, with or without a ReLU behind them. The same bits on every machine: only
 * operations that IEEE 754 rounds alike everywhere. */
#ifndef NQ_QUANTIZE_NORMAL_H
#define NQ_QUANTIZE_NORMAL_H

#include <stdbool.h>

/* x ~ N(mean, sd^2), or max(x, 0) of it where clipped. sd >= 0. */
typedef struct {
    double mean, sd;
    bool clipped;
} nq_normal;

/* exp(x), -40 <= x <= 0, to a relative 1e-13: a Taylor series of x / 64, squared six times. */
double nq_portable_exp(double x);

/* Of N(0,1): absolute error below 1e-13. */
double nq_normal_density(double z);
double nq_normal_cdf(double z);

/* E[x] and Var[x] of what the distribution describes. With z = mean / sd, phi and Phi the two
 * functions above, max(x, 0) has E = mean Phi(z) + sd phi(z) (Nagel et al., "Data-Free Quantization
 * Through Weight Equalization and Bias Correction", ICCV 2019, appendix C) and
 * E[x^2] = (mean^2 + sd^2) Phi(z) + mean sd phi(z). */
double nq_normal_mean(nq_normal n);
double nq_normal_variance(nq_normal n);

#endif
