/* The order in which a layer's columns are rounded. */
#ifndef NQ_QUANTIZE_COLUMN_ORDER_H
#define NQ_QUANTIZE_COLUMN_ORDER_H

#include "worker/quantize/gram.h"

/* order[0..d-1]: columns by descending H_jj, ties by index. Freed by the caller; NULL: no memory.
 */
int *nq_column_order(const nq_gram *gram);

/* H with rows and columns in that order, `add` on its diagonal: f32 [d][d]. */
void nq_column_permute(const nq_gram *gram, const int *order, float add, float *permuted);

double nq_gram_mean_diagonal(const nq_gram *gram);

/* The integer nearest to x (ties to even) that `bits` hold. */
static inline float nq_weight_clamp_round(float x, int bits)
{
    float low = -(float)(1 << (bits - 1)), high = -low - 1.0f;
    x = __builtin_nearbyintf(x);
    return x < low ? low : x > high ? high : x;
}

#endif
