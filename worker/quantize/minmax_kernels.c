#include "worker/quantize/minmax.h"

#define LANES 16

/* Independent lanes, so that the compiler may use vectors without reordering anything. */
typedef struct {
    float low[LANES], high[LANES];
    float zero[LANES]; /* 0 as long as all x are finite, NaN afterwards */
} lanes;

static void widen(lanes *l, const float *x)
{
    for (int j = 0; j < LANES; j++) {
        l->low[j] = x[j] < l->low[j] ? x[j] : l->low[j];
        l->high[j] = x[j] > l->high[j] ? x[j] : l->high[j];
        l->zero[j] += x[j] * 0.0f;
    }
}

bool nq_minmax_widen_plain(const float *x, size_t n, float *low, float *high)
{
    lanes l;
    for (int j = 0; j < LANES; j++) {
        l.low[j] = *low;
        l.high[j] = *high;
        l.zero[j] = 0.0f;
    }
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        widen(&l, x + i);
    if (i < n) {
        float rest[LANES];
        for (size_t j = 0; j < LANES; j++)
            rest[j] = x[i + j < n ? i + j : i];
        widen(&l, rest);
    }
    bool finite = true;
    for (int j = 0; j < LANES; j++) {
        *low = l.low[j] < *low ? l.low[j] : *low;
        *high = l.high[j] > *high ? l.high[j] : *high;
        finite = finite && l.zero[j] == 0.0f;
    }
    return finite;
}

#ifdef __x86_64__
/* A compiler without the instruction set may leave the file out. */
#pragma weak nq_minmax_widen_avx2
#endif

bool nq_minmax_widen(const float *x, size_t n, float *low, float *high)
{
#ifdef __x86_64__
    if (nq_minmax_widen_avx2 && __builtin_cpu_supports("avx2"))
        return nq_minmax_widen_avx2(x, n, low, high);
#endif
    return nq_minmax_widen_plain(x, n, low, high);
}
