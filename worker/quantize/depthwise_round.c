#include "worker/quantize/coordinate_descent.h"

#include "worker/quantize/column_order.h"
#include "worker/quantize/quantize.h"
#include <math.h>
#include <string.h>

#define TAPS_MAX 25
#define STARTS   24
#define LARGEST  1.05f
#define SMALLEST 0.3f
#define SWEEPS   5
#define DAMPING  0.01f

typedef struct {
    const float *h, *weight;
    int taps, bits;
    float *scale;
    int8_t *q;
} depthwise;

static void descend(const float *h, const float *w, int taps, int bits, float scale, float *q)
{
    float r[TAPS_MAX];
    for (int j = 0; j < taps; j++) {
        r[j] = 0;
        for (int i = 0; i < taps; i++)
            r[j] += (w[i] - scale * q[i]) * h[i * taps + j];
    }
    for (int k = 0; k < taps; k++) {
        float best = nq_weight_clamp_round(q[k] + r[k] / (h[k * taps + k] * scale), bits);
        float delta = (best - q[k]) * scale;
        q[k] = best;
        for (int j = 0; j < taps; j++)
            r[j] -= delta * h[k * taps + j];
    }
}

static float refit(const float *h, const float *w, int taps, const float *q, float scale)
{
    double with_w = 0, with_q = 0;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < taps; j++) {
            with_w += (double)(q[i] * h[i * taps + j] * w[j]);
            with_q += (double)(q[i] * h[i * taps + j] * q[j]);
        }
    float s = with_q > 0 ? (float)(with_w / with_q) : 0.0f;
    return s > 0.5f * scale && s < 2.0f * scale ? s : scale;
}

static double loss_of(const float *h, const float *w, int taps, const float *q, float scale)
{
    double loss = 0;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < taps; j++)
            loss += (double)(w[i] - scale * q[i]) * (double)h[i * taps + j] *
                    (double)(w[j] - scale * q[j]);
    return loss;
}

static void damp(const float *h, int taps, float *damped)
{
    float mean = 0;
    memcpy(damped, h, (size_t)(taps * taps) * sizeof *damped);
    for (int i = 0; i < taps; i++)
        mean += h[i * taps + i] / (float)taps;
    /* A channel that is never touched has no moments: the identity rounds it to nearest. */
    float add = mean > 0 ? DAMPING * mean : 1.0f;
    for (int i = 0; i < taps; i++)
        damped[i * taps + i] += add;
}

static nq_status round_channel(void *context, size_t c, int thread, nq_error *err)
{
    const depthwise *d = context;
    int taps = d->taps;
    float h[TAPS_MAX * TAPS_MAX], q[TAPS_MAX];
    const float *w = d->weight + c * (size_t)taps;
    float largest = nq_weight_scale_minmax(w, (size_t)taps, d->bits);
    double best = INFINITY;
    int starts = d->bits < 8 ? STARTS : 1;
    (void)thread;
    (void)err;
    damp(d->h + c * (size_t)(taps * taps), taps, h);
    for (int k = 0; k < starts; k++) {
        float fraction = LARGEST - (float)k * (LARGEST - SMALLEST) / (float)(STARTS - 1);
        float scale = starts == 1 ? largest : largest * fraction;
        for (int j = 0; j < taps; j++)
            q[j] = nq_weight_clamp_round(w[j] / scale, d->bits);
        for (int i = 0; i < SWEEPS; i++) {
            descend(h, w, taps, d->bits, scale, q);
            if (starts > 1 && i < SWEEPS - 1)
                scale = refit(h, w, taps, q, scale);
        }
        double loss = loss_of(h, w, taps, q, scale);
        if (loss >= best)
            continue;
        best = loss;
        d->scale[c] = scale;
        for (int j = 0; j < taps; j++)
            d->q[c * (size_t)taps + (size_t)j] = (int8_t)q[j];
    }
    return NQ_OK;
}

nq_status nq_depthwise_round(const float *h, int channels, int taps, const float *weight, int bits,
                             nq_pool *pool, float *scale, int8_t *q, nq_error *err)
{
    depthwise d = {.h = h, .weight = weight, .taps = taps, .bits = bits, .scale = scale, .q = q};
    if (taps > TAPS_MAX)
        return nq_fail(err, NQ_ERR_INTERNAL, "a depthwise kernel of %d taps, at most %d", taps,
                       TAPS_MAX);
    return nq_pool_run(pool, (size_t)channels, round_channel, &d, err);
}
