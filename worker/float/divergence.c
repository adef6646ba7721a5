#include "worker/float/divergence.h"

#include <math.h>
#include <stddef.h>

/* The logits of one image above the largest: of integers, or of floats where these are given. */
typedef struct {
    const uint8_t *integers;
    uint8_t top;
    double scale;
    const float *floats;
    float most;
} logits_above;

static double above(const logits_above *l, int c)
{
    return l->floats ? (double)l->floats[c] - (double)l->most
                     : l->scale * (l->integers[c] - l->top);
}

/* With p_c = exp(r_c - max r) / P and q_c = exp(l_c - max l) / Q the divergence is
 * sum p_c ((r_c - max r) - (l_c - max l)) + log Q - log P. */
static double divergence(const float *reference, const logits_above *logits, int classes)
{
    float most = reference[0];
    for (int c = 1; c < classes; c++)
        most = fmaxf(most, reference[c]);
    double p_sum = 0, q_sum = 0, gap = 0;
    for (int c = 0; c < classes; c++) {
        double r = (double)reference[c] - (double)most, l = above(logits, c);
        double p = exp(r);
        p_sum += p;
        q_sum += exp(l);
        gap += p * (r - l);
    }
    /* Either sum has a term exp(0). */
    double kl = gap / p_sum + log(fmax(q_sum, 1)) - log(fmax(p_sum, 1));
    return kl < 0 ? 0 : kl; /* rounding, where both are the same */
}

double nq_kl_divergence(const float *reference, const uint8_t *logits, double scale, int classes)
{
    logits_above l = {.integers = logits, .top = logits[0], .scale = scale};
    for (int c = 1; c < classes; c++)
        l.top = logits[c] > l.top ? logits[c] : l.top;
    return divergence(reference, &l, classes);
}

double nq_kl_divergence_float(const float *reference, const float *logits, int classes)
{
    logits_above l = {.floats = logits, .most = logits[0]};
    for (int c = 1; c < classes; c++)
        l.most = fmaxf(l.most, logits[c]);
    return divergence(reference, &l, classes);
}
