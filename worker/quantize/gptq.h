/*
 * Second-order rounding (Frantar et al., "GPTQ", ICLR 2023): each weight's rounding error is made
 * up for by the weights not yet rounded. Weights are f32 [rows][d] in the order of nq_gram's
 * patches; a row is an output channel. The same for any number of threads.
 */
#ifndef NQ_QUANTIZE_GPTQ_H
#define NQ_QUANTIZE_GPTQ_H

#include "common/pool.h"
#include "worker/quantize/gram.h"

/*
 * Moves the weights to those that, on the quantized network's inputs, come close to the float
 * network's outputs: w += share w (G - H)(H + ridge mean(diag H) I)^-1. gram must have its cross
 * moments. share 1 and ridge 0 give the least-squares solution (the asymmetric target of Qronos
 * and GPTAQ); a ridge keeps it from following the few samples' noise.
 */
nq_status nq_gptq_retarget(const nq_gram *gram, double share, double ridge, int rows, float *weight,
                           nq_error *err);

/*
 * scale f32 [rows]: of 32 fractions 1..0.35 of the min-max scale the one that makes
 * sum_j (H_jj + 0.01 mean(diag H)) (s q_j - w_j)^2 smallest.
 */
nq_status nq_gptq_scales(const nq_gram *gram, int rows, const float *weight, int bits,
                         nq_pool *pool, float *scale, nq_error *err);

/*
 * q s8 [rows][d]. Columns go in the order of descending H_jj (ties by index); H is damped by
 * damping mean(diag H). A column that the samples never touch is rounded to nearest. loss, where
 * not NULL: the sum over rows of (w - s q)(H + damping)(w - s q)', as the column loop predicts it.
 */
nq_status nq_gptq_round(const nq_gram *gram, double damping, int rows, const float *weight,
                        const float *scale, int bits, nq_pool *pool, int8_t *q, double *loss,
                        nq_error *err);

#endif
