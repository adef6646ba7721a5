/* Choosing the range that a tensor's integers cover, from what it spanned and a histogram of it. */
#ifndef NQ_QUANTIZE_RANGE_SEARCH_H
#define NQ_QUANTIZE_RANGE_SEARCH_H

#include "common/spec.h"
#include "worker/quantize/ranges.h"

/*
 * The range for `bits` (2..8, all of 0..2^bits-1 is used) by spec->activations.range:
 *
 *  minmax      what was seen;
 *  percentile  from the (100 - p)th to the pth percentile of the values, p =
 * activations.percentile; mse, l24    the smallest mean |x - dequantized x|^2, or ^2.4, on a grid
 * of 100 shrink ratios: both ends together, then each end alone, twice (L2.4: METHODS of OBC); kl
 * the smallest Kullback-Leibler divergence between the clipped histogram and its quantized version,
 * on the same grid of common ratios (TensorRT's calibration); aciq        the analytic optimum of a
 * Gaussian or a Laplace distribution, whichever has the larger likelihood, one-sided where nothing
 * is negative (Banner et al., "Post training 4-bit quantization of convolutional networks", NeurIPS
 * 2019, eq. 6 and table of alpha/sigma); output      as mse, where no layer's error is to decide.
 *
 * histogram is u64 [NQ_HISTOGRAM_BINS] over [seen.low, seen.high], and may be NULL for minmax. The
 * result lies within `seen`.
 */
nq_range nq_range_choose(const nq_spec *spec, nq_range seen, const uint64_t *histogram, int bits);

#endif
