#include "worker/quantize/correct_stats.h"

#include <math.h>

#define NEWTON_STEPS 3
#define STEP_MAX     0.3   /* standard deviations */
#define ALIVE_MIN    0.05  /* share of positive values below which Newton's step would be wild */
#define CONSTANT     1e-12 /* a variance of the float output below which a channel is constant */

void nq_match_deviations(const nq_channel_stats *stats, int channels, double exponent, float *gain)
{
    for (int c = 0; c < channels; c++) {
        const nq_channel_stats *s = &stats[c];
        double g = 1;
        if (s->var_z >= CONSTANT) {
            g = sqrt(s->var_z / fmax(s->var_y, 1e-16));
            g = g < NQ_GAIN_MIN ? NQ_GAIN_MIN : g > NQ_GAIN_MAX ? NQ_GAIN_MAX : g;
            g = pow(g, exponent);
        }
        gain[c] = (float)g;
    }
}

void nq_share_gain(const nq_channel_stats *stats, int channels, float *gain)
{
    double sum = 0;
    int varying = 0;
    for (int c = 0; c < channels; c++)
        if (stats[c].var_z >= CONSTANT) {
            sum += log((double)gain[c]);
            varying++;
        }
    float shared = varying ? (float)exp(sum / varying) : 1;
    for (int c = 0; c < channels; c++)
        gain[c] = shared;
}

void nq_match_means(const nq_channel_stats *stats, int channels, const float *gain, float *shift)
{
    for (int c = 0; c < channels; c++)
        shift[c] = (float)(stats[c].mean_z - (double)gain[c] * stats[c].mean_y);
}

/* Mean of max(gain y + shift, 0), and the share of positive values. */
static double relu_mean(const nq_channel_stats *s, const uint64_t *counts, double gain,
                        double shift, double *alive)
{
    double sum = 0, positive = 0, all = 0;
    double width = (double)(s->high - s->low) / NQ_CHANNEL_BINS;
    for (int bin = 0; bin < NQ_CHANNEL_BINS; bin++) {
        double y = gain * ((double)s->low + ((double)bin + 0.5) * width) + shift;
        all += (double)counts[bin];
        if (y > 0) {
            sum += y * (double)counts[bin];
            positive += (double)counts[bin];
        }
    }
    *alive = positive / all;
    return sum / all;
}

void nq_match_relu_means(const nq_channel_stats *stats, const uint64_t *counts, int channels,
                         const float *gain, float *shift)
{
    for (int c = 0; c < channels; c++) {
        const nq_channel_stats *s = &stats[c];
        double bound = STEP_MAX * sqrt(s->var_z), moved = (double)shift[c];
        for (int i = 0; i < NEWTON_STEPS; i++) {
            double alive;
            double mean =
                relu_mean(s, counts + (size_t)c * NQ_CHANNEL_BINS, (double)gain[c], moved, &alive);
            double step = (s->relu_z - mean) / fmax(alive, ALIVE_MIN);
            moved += step > bound ? bound : step < -bound ? -bound : step;
        }
        shift[c] = (float)moved;
    }
}
