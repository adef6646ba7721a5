/* From a folded float graph and ranges to integers (NUMERICS: quantization parameters, other bit
 * widths). */
#ifndef NQ_QUANTIZE_QUANTIZE_H
#define NQ_QUANTIZE_QUANTIZE_H

#include "common/spec.h"
#include "worker/integer/qmodel.h"
#include "worker/quantize/ranges.h"

/* Affine parameters of [low, high], float32 arithmetic in NUMERICS.md's order; scale_qmax is the
 * upper end the scale is computed from (127 or 255 at 8 bit, 2^b-1 below), clamp_qmax what is
 * stored. */
nq_qparams nq_affine_params(float low, float high, int scale_qmax, int clamp_qmax);

/* max|w| / (2^(bits-1) - 0.5), at least FLT_EPSILON; 0-ranges give FLT_EPSILON as PyTorch does. */
float nq_weight_scale_minmax(const float *w, size_t n, int bits);

/* q[i] = clamp(round_half_even(w[i] * (1.0f / scale)), -2^(bits-1), 2^(bits-1) - 1). */
void nq_weight_round_nearest(const float *w, size_t n, float scale, int bits, int8_t *q);

/*
 * The whole step for a spec: decides each tensor's width (NUMERICS.md "Other bit widths", DESIGN.md
 * "Below 8-bit activations", keep_8bit), quantizes weights, fills a model that passes
 * nq_qmodel_check(). Layer names of keep_8bit that the graph does not have are NQ_ERR_INPUT.
 */
nq_status nq_quantize(const nq_graph *graph, const nq_range *ranges, const nq_spec *spec,
                      nq_qmodel *model, nq_error *err);

#endif
