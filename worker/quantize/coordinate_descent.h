/*
 * Coordinate descent on a layer's rounding (the family of QuantEase and COMQ): the loss of a row is
 * (w - s q) H (w - s q)'; one integer at a time is set to its best value, others held. It never
 * rises. Weights f32 [rows][d] as in gptq.h; scale f32 [rows]. The same for any number of threads.
 */
#ifndef NQ_QUANTIZE_COORDINATE_DESCENT_H
#define NQ_QUANTIZE_COORDINATE_DESCENT_H

#include "common/pool.h"
#include "worker/quantize/gram.h"

/*
 * `sweeps` times over all columns in the order of descending H_jj, starting from q s8 [rows][d];
 * after each sweep each row's scale becomes the least-squares one, s = q H w' / q H q', where that
 * is between half and twice what it was. H is damped by 0.002 of its mean diagonal.
 */
nq_status nq_coordinate_descent(const nq_gram *gram, int sweeps, int rows, const float *weight,
                                int bits, nq_pool *pool, float *scale, int8_t *q, nq_error *err);

/* (w - s q) H (w - s q)', summed over rows, without damping. */
nq_status nq_rounding_loss(const nq_gram *gram, int rows, const float *weight, const float *scale,
                           const int8_t *q, double *loss, nq_error *err);

/*
 * Depthwise: h f32 [channels][taps][taps], weight f32 [channels][taps], q s8 likewise. Per channel
 * the best of 24 starting scales (1.05 to 0.3 of min-max; at 8 bit min-max alone), each after five
 * sweeps with refits between them; H damped by 0.01 of its mean diagonal.
 */
nq_status nq_depthwise_round(const float *h, int channels, int taps, const float *weight, int bits,
                             nq_pool *pool, float *scale, int8_t *q, nq_error *err);

#endif
