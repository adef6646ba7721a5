#include "worker/quantize/value_kernels.h"

/* Clones need the loader's help, which sanitizers and clang's fuzzers do without. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* To the nearest integer, ties to even, of |x| < 2^22: adding 1.5 * 2^23 leaves no bits behind the
 * point. */
static inline float round_small(float x)
{
    const float magic = 12582912.0f;
    return (x + magic) - magic;
}

static inline float clamped(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Clamped before it is rounded, which is the same for integer bounds. */
CLONES void nq_quantize_values(const float *x, size_t n, nq_qparams params, bool relu, uint8_t *q)
{
    const float inverse = 1.0f / params.scale, zero = (float)params.zero_point;
    const float low = relu ? 0.0f : -zero, high = (float)params.qmax - zero;
    for (size_t i = 0; i < n; i++)
        q[i] = (uint8_t)(int)(round_small(clamped(x[i] * inverse, low, high)) + zero);
}

CLONES void nq_requantize_values(const float *x, size_t n, nq_qparams params, float *out)
{
    const float scale = params.scale, inverse = 1.0f / scale;
    const float low = (float)-params.zero_point, high = (float)(params.qmax - params.zero_point);
    for (size_t i = 0; i < n; i++)
        out[i] = round_small(clamped(x[i] * inverse, low, high)) * scale;
}

CLONES void nq_look_up_values(const float value[256], const uint8_t *q, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value[q[i]];
}

CLONES void nq_scale_channels(float *x, size_t positions, size_t channels, const float *gain,
                              const float *shift, bool relu)
{
    const float floor = relu ? 0.0f : -__builtin_inff();
    for (size_t p = 0; p < positions; p++, x += channels) {
        for (size_t c = 0; gain && c < channels; c++)
            x[c] *= gain[c];
        for (size_t c = 0; shift && c < channels; c++)
            x[c] += shift[c];
        for (size_t c = 0; relu && c < channels; c++)
            x[c] = x[c] < floor ? floor : x[c];
    }
}

CLONES void nq_add_differences(const float *a, const float *b, size_t positions, size_t channels,
                               const float *shift, bool relu, double *sums, double *squares)
{
    const float floor = relu ? 0.0f : -__builtin_inff();
    for (size_t p = 0; p < positions; p++, a += channels, b += channels)
        for (size_t c = 0; c < channels; c++) {
            float y = a[c] + (shift ? shift[c] : 0.0f);
            double e = (double)((y < floor ? floor : y) - b[c]);
            sums[c] += e;
            squares[c] += e * e;
        }
}

CLONES void nq_add_moments(const float *z, const float *y, const float *weight, size_t positions,
                           size_t channels, const nq_moment_sums *sums)
{
    double *restrict sz = sums->z, *restrict sy = sums->y, *restrict szz = sums->zz;
    double *restrict syy = sums->yy, *restrict relu = sums->relu;
    float *restrict low = sums->low, *restrict high = sums->high;
    for (size_t p = 0; p < positions; p++, z += channels, y += channels) {
        const double w = (double)weight[p];
        for (size_t c = 0; c < channels; c++) {
            double a = (double)z[c], b = (double)y[c];
            sz[c] += w * a;
            szz[c] += w * a * a;
            sy[c] += w * b;
            syy[c] += w * b * b;
            relu[c] += w * (a > 0 ? a : 0);
        }
        for (size_t c = 0; c < channels; c++) {
            low[c] = y[c] < low[c] ? y[c] : low[c];
            high[c] = y[c] > high[c] ? y[c] : high[c];
        }
    }
}

CLONES void nq_norm_positions(const float *x, size_t positions, size_t channels, float *norm)
{
    for (size_t p = 0; p < positions; p++, x += channels) {
        double sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += (double)x[c] * (double)x[c];
        norm[p] = (float)sum;
    }
}
