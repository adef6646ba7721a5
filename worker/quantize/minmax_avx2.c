#include "worker/quantize/minmax.h"

#include <float.h>
#include <immintrin.h>

#define LANES 32

typedef struct {
    __m256 low, high, unordered;
} range;

/* Where x is NaN, low and high stay, and the comparison tells. */
static inline void widen(range *r, const float *x)
{
    __m256 v = _mm256_loadu_ps(x);
    r->low = _mm256_min_ps(v, r->low);
    r->high = _mm256_max_ps(v, r->high);
    r->unordered = _mm256_or_ps(r->unordered, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

bool nq_minmax_widen_avx2(const float *x, size_t n, float *low, float *high)
{
    range r[4];
    for (int k = 0; k < 4; k++)
        r[k] = (range){_mm256_set1_ps(*low), _mm256_set1_ps(*high), _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < 4; k++)
            widen(&r[k], x + i + 8 * k);
    float lows[LANES], highs[LANES];
    int unordered = 0;
    for (int k = 0; k < 4; k++) {
        _mm256_storeu_ps(lows + 8 * k, r[k].low);
        _mm256_storeu_ps(highs + 8 * k, r[k].high);
        unordered |= _mm256_movemask_ps(r[k].unordered);
    }
    for (int k = 0; k < LANES; k++) {
        *low = lows[k] < *low ? lows[k] : *low;
        *high = highs[k] > *high ? highs[k] : *high;
    }
    bool finite = unordered == 0 && (i == 0 || (*low >= -FLT_MAX && *high <= FLT_MAX));
    return nq_minmax_widen_plain(x + i, n - i, low, high) && finite;
}
