#include "worker/quantize/minmax.h"
#include "worker/quantize/quantize.h"
#include <float.h>
#include <math.h>

float nq_weight_scale_minmax(const float *w, size_t n, int bits)
{
    float low = 0.0f, high = 0.0f;
    nq_minmax_widen(w, n, &low, &high);
    float largest = -low > high ? -low : high;
    float scale = largest / ((float)((1 << bits) - 1) / 2.0f);
    return scale > FLT_EPSILON ? scale : FLT_EPSILON;
}

void nq_weight_round_nearest(const float *w, size_t n, float scale, int bits, int8_t *q)
{
    float inverse = 1.0f / scale;
    float low = -(float)(1 << (bits - 1)), high = (float)((1 << (bits - 1)) - 1);
    for (size_t i = 0; i < n; i++) {
        float r = nearbyintf(w[i] * inverse);
        q[i] = (int8_t)(r < low ? low : r > high ? high : r);
    }
}
