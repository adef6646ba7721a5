/* The span of an array. */
#ifndef NQ_QUANTIZE_MINMAX_H
#define NQ_QUANTIZE_MINMAX_H

#include <stdbool.h>
#include <stddef.h>

/* Widens [*low, *high] to hold x[0..n-1]. False where an x is not finite (the span is then of no
 * use). */
bool nq_minmax_widen(const float *x, size_t n, float *low, float *high);

/* The versions that it chooses from; all give the same, but for the sign of a zero. */
bool nq_minmax_widen_plain(const float *x, size_t n, float *low, float *high);
bool nq_minmax_widen_avx2(const float *x, size_t n, float *low, float *high);

#endif
