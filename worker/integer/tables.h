/* Maps from one integer tensor to another that depend on the value alone: 256 bytes each. */
#ifndef NQ_INTEGER_TABLES_H
#define NQ_INTEGER_TABLES_H

#include "worker/integer/qmodel.h"

/*
 * What a convolution that reads at fewer bits does first, float32 step by step:
 * clamp(round_half_even((float)(q - from.zero_point) * from.scale * (1.0f / to.scale))
 *       + to.zero_point, 0, to.qmax).
 */
void nq_table_requantize(nq_qparams from, nq_qparams to, uint8_t table[256]);

/*
 * What a concatenation does with each of its inputs (NUMERICS: cat):
 * clamp(round_half_even(fmaf(from.scale, (float)q, -(from.scale * from.zero_point))
 *                       * (1.0f / to.scale)) + to.zero_point, 0, to.qmax);
 * equal parameters give the identity.
 */
void nq_table_concatenate(nq_qparams from, nq_qparams to, uint8_t table[256]);

bool nq_qparams_equal(nq_qparams a, nq_qparams b);

#endif
