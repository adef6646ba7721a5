#include "worker/quantize/minmax.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/rounding.h"
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

static double rounding_error(const float *w, size_t n, float scale, int bits)
{
    float inverse = 1.0f / scale, low = -(float)(1 << (bits - 1)),
          high = (float)((1 << (bits - 1)) - 1);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float r = nearbyintf(w[i] * inverse);
        r = r < low ? low : r > high ? high : r;
        float e = w[i] - r * scale;
        sum += (double)(e * e);
    }
    return sum;
}

float nq_weight_scale_mse(const float *w, size_t n, int bits)
{
    float whole = nq_weight_scale_minmax(w, n, bits), best = whole;
    double least = rounding_error(w, n, whole, bits);
    for (int percent = 99; percent >= 20; percent--) {
        float scale = whole * ((float)percent / 100.0f);
        scale = scale > FLT_EPSILON ? scale : FLT_EPSILON;
        double error = rounding_error(w, n, scale, bits);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
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

nq_status nq_round_nearest(const nq_weights *weights, int8_t *q, nq_error *err)
{
    (void)err;
    size_t each = (size_t)weights->taps * (size_t)weights->inputs;
    for (size_t row = 0; row < (size_t)weights->rows; row++)
        nq_weight_round_nearest(weights->weight + row * each, each,
                                weights->scale[weights->scales > 1 ? row : 0], weights->bits,
                                q + row * each);
    return NQ_OK;
}
