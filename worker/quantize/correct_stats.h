/*
 * Statistics correction: per output channel a gain and a shift that give the quantized layer the
 * float layer's mean and, but for the exceptions named below, its standard deviation on the same
 * images (the "statcorr" of OBC, applied layer by layer). The gain goes into the weight scale and
 * so into the requantization multiplier, the shift into the bias: neither costs anything when
 * scoring.
 */
#ifndef NQ_QUANTIZE_CORRECT_STATS_H
#define NQ_QUANTIZE_CORRECT_STATS_H

#include "worker/quantize/layer_pass.h"

#define NQ_GAIN_MIN 0.7
#define NQ_GAIN_MAX 1.4

/*
 * gain[channels] = (std z / std y)^exponent, the ratio clamped to NQ_GAIN_MIN..NQ_GAIN_MAX, or 1
 * where z is constant. OBC's exponent is 1. A layer whose weights were moved to gptq.target
 * predicts z by least squares, and a prediction varies less than what it predicts: there the whole
 * gain would blow its error up, none at all would let the signal fade from layer to layer, and one
 * half is what measures best (docs/methods.md). 0 leaves gains at 1.
 */
void nq_match_deviations(const nq_channel_stats *stats, int channels, double exponent, float *gain);

/*
 * Gives all channels the geometric mean of the gains of those that vary: for logits, which are
 * compared with one another. A gain of its own for every class would favour the classes that the
 * samples happen to show; one for all changes no ranking.
 */
void nq_share_gain(const nq_channel_stats *stats, int channels, float *gain);

/* shift[channels] = mean z - gain mean y. */
void nq_match_means(const nq_channel_stats *stats, int channels, const float *gain, float *shift);

/*
 * Moves the shifts further until the mean behind the ReLU is the float layer's, relu_z: Newton's
 * method on the histograms (nq_layer_pass_count) of y, at most 0.3 standard deviations of z a step,
 * three steps.
 */
void nq_match_relu_means(const nq_channel_stats *stats, const uint64_t *counts, int channels,
                         const float *gain, float *shift);

#endif
