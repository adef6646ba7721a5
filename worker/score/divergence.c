#include "worker/score/divergence.h"

#include <math.h>

/* With p_c = exp(r_c - max r) / P and q_c = exp(scale * (l_c - max l)) / Q the divergence is
 * sum p_c ((r_c - max r) - scale * (l_c - max l)) + log Q - log P. */
double nq_kl_divergence(const float *reference, const uint8_t *logits, double scale, int classes)
{
    float most = reference[0];
    uint8_t top = logits[0];
    for (int c = 1; c < classes; c++) {
        most = fmaxf(most, reference[c]);
        top = logits[c] > top ? logits[c] : top;
    }
    double p_sum = 0, q_sum = 0, gap = 0;
    for (int c = 0; c < classes; c++) {
        double r = (double)reference[c] - (double)most, l = scale * (logits[c] - top);
        double p = exp(r);
        p_sum += p;
        q_sum += exp(l);
        gap += p * (r - l);
    }
    /* Either sum has a term exp(0). */
    double divergence = gap / p_sum + log(fmax(q_sum, 1)) - log(fmax(p_sum, 1));
    return divergence < 0 ? 0 : divergence; /* rounding, where both are the same */
}
