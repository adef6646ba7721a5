#include "worker/calibrate/distill_kernels.h"
#include <math.h>
#include <string.h>

#define RUN 32 /* pixels that are added up in float32 */

static void sum_run(const float *restrict values, size_t channels, size_t pixels,
                    float *restrict first, float *restrict second)
{
    for (size_t p = 0; p < pixels; p++, values += channels)
        for (size_t c = 0; c < channels; c++) {
            first[c] += values[c];
            second[c] += values[c] * values[c];
        }
}

void nq_distill_sum(const float *values, int channels, size_t pixels, float *scratch, double *sum)
{
    size_t n = (size_t)channels;
    for (size_t p = 0; p < pixels; p += RUN) {
        size_t run = pixels - p < RUN ? pixels - p : RUN;
        memset(scratch, 0, 2 * n * sizeof *scratch);
        sum_run(values + p * n, n, run, scratch, scratch + n);
        for (size_t c = 0; c < n; c++) {
            sum[2 * c] += (double)scratch[c];
            sum[2 * c + 1] += (double)scratch[n + c];
        }
    }
}

void nq_distill_add(const float *restrict values, int channels, size_t pixels,
                    const float *restrict level, const float *restrict slope,
                    float *restrict gradient)
{
    for (size_t p = 0; p < pixels; p++, values += channels, gradient += channels)
        for (int c = 0; c < channels; c++)
            gradient[c] += level[c] + slope[c] * values[c];
}

void nq_distill_adam(const float *restrict gradient, size_t count, float rate, float correction,
                     float *restrict first, float *restrict second, float *restrict values)
{
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        first[i] = 0.9f * first[i] + 0.1f * g;
        second[i] = 0.999f * second[i] + 0.001f * (g * g);
        values[i] -= rate * (first[i] / (sqrtf(second[i]) / correction + 1e-8f));
    }
}

void nq_distill_clamp(float *values, int channels, size_t pixels, const float *low,
                      const float *high)
{
    for (size_t p = 0; p < pixels; p++, values += channels)
        for (int c = 0; c < channels; c++) {
            float v = values[c] < low[c] ? low[c] : values[c];
            values[c] = v > high[c] ? high[c] : v;
        }
}
