/* From a folded float graph and ranges to integers. */
#ifndef NQ_QUANTIZE_QUANTIZE_H
#define NQ_QUANTIZE_QUANTIZE_H

#include "common/spec.h"
#include "worker/integer/qmodel.h"
#include "worker/quantize/bn_moments.h"
#include "worker/quantize/ranges.h"

/* Affine parameters of [low, high], float32 arithmetic in the order of PyTorch's MinMaxObserver:
 * the range is widened to hold 0, scale = (high - low) / scale_qmax, at least FLT_EPSILON; zero
 * point = -round_half_even(low / scale). scale_qmax is the upper end the scale is computed from
 * (127 or 255 at 8 bit, 2^b-1 below), clamp_qmax what is stored. */
nq_qparams nq_affine_params(float low, float high, int scale_qmax, int clamp_qmax);

/* Symmetric weights: max|w| / (2^(bits-1) - 0.5), at least FLT_EPSILON; 0-ranges give FLT_EPSILON
 * as PyTorch does. */
float nq_weight_scale_minmax(const float *w, size_t n, int bits);

/* q[i] = clamp(round_half_even(w[i] * (1.0f / scale)), -2^(bits-1), 2^(bits-1) - 1). */
/* The scale of least squared error among 1, 0.99, ... 0.2 times the min-max scale (the largest of
 * equals). */
float nq_weight_scale_mse(const float *w, size_t n, int bits);

void nq_weight_round_nearest(const float *w, size_t n, float scale, int bits, int8_t *q);

/* How many weight scales the spec gives a layer of so many output channels, and these scales by
 * weights.range: w f32 [scales][each], scale[scales]. */
int nq_weight_scale_count(const nq_spec *spec, int channels);
void nq_weight_scales(const nq_spec *spec, const float *w, int scales, size_t each, int bits,
                      float *scale);

/* The weights of one CONV or LINEAR node by the spec's granularity, range and rounding (nearest or
 * squant), at `bits`: the model's node gets its integers, scales and weight_bits. */
nq_status nq_quantize_layer(const nq_graph *graph, int index, const nq_spec *spec, int bits,
                            nq_qmodel *model, nq_error *err);

/*
 * The whole step for a spec: decides each tensor's width (widths.h has the rule), quantizes
 * weights, copies biases, fills a model that passes nq_qmodel_check().
 *
 * At 8 bit a scale is computed for 0..activations.qmax and the clamp is 255; at b < 8 bit both are
 * 2^b - 1. A layer that reads its input narrower than it is stored gets a table, whose parameters
 * come from the same observed range. Layer names of keep_8bit that the graph does not have, and
 * ranges that are not finite, are NQ_ERR_INPUT. The caller frees the model; on failure it is empty.
 * histograms (nq_histograms_observe) may be NULL where spec->activations.range is minmax. moments:
 * what the ranges come from where that is batch norms (nq_bn_ranges), so that minmax asks again for
 * tensors of fewer bits; else NULL. weight_bits: as in nq_widths_decide().
 */
nq_status nq_quantize(const nq_graph *graph, const nq_range *ranges, const uint64_t *histograms,
                      const nq_bn_moments *moments, const nq_spec *spec, const int *weight_bits,
                      nq_qmodel *model, nq_error *err);

#endif
