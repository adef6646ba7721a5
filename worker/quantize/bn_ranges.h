/* Activation ranges from batch norm statistics: what nq_ranges_observe() would measure, without a
 * sample. */
#ifndef NQ_QUANTIZE_BN_RANGES_H
#define NQ_QUANTIZE_BN_RANGES_H

#include "worker/quantize/bn_moments.h"
#include "worker/quantize/ranges.h"

/* Standard deviations on either side of a channel's mean that a range holds: 6 at 8 bits (Nagel et
 * al., ICCV 2019, section 5), in proportion to the bits below, where steps are wide; at least 2. */
double nq_bn_sigmas(int bits);

/*
 * Fills ranges[graph->count]: from the least to the largest mean -/+ 6 sd of a node's
 * channels, nothing below 0 where a channel is clipped there. `input` is the range of normalised
 * pixels, node 0's. Layers that compute logits (LINEAR) are no sums of independent terms on real
 * images: an image of class k has the features that speak for k all at once. Pooled features behind
 * a ReLU are about exponential, their deviation their mean m, so that one deviation above the mean
 * is 2 m: the upper end is the largest b + 2 sum(w m over w > 0) of a class, features that speak
 * against it off; the lower end the least b + sum(w m over w < 0), of a class that nothing speaks
 * for. A feature that is not behind a ReLU counts as mean -/+ sd.
 *
 * histograms, where not NULL, u64 [graph->count][NQ_HISTOGRAM_BINS]: the expected shares of the
 * bins, in units of 2^-40 of a node's values; all alike for LINEAR, of whose distribution only the
 * ends are known. Their tails are a Laplace distribution's of the same mean and variance: what
 * ranges depend on is rarer in a normal distribution than in networks.
 */
nq_status nq_bn_ranges(const nq_graph *graph, const nq_bn_moments *moments, nq_range input,
                       nq_range *ranges, uint64_t *histograms, nq_error *err);

/* The same of one node at `bits`, nq_bn_sigmas(bits) deviations wide; of an image or of logits it
 * is `whole`, what nq_bn_ranges() gave, whatever the bits. */
nq_range nq_bn_range(const nq_graph *graph, const nq_bn_moments *moments, int node, nq_range whole,
                     int bits);

/*
 * Ranges that were observed on images which are no photographs: node 0 gets `input`, whatever
 * pixels they had, and logits, which only an image of a class makes large, at least the range that
 * nq_bn_ranges() gives them. histograms, where not NULL, are those of the completed ranges; those
 * of logits become all alike.
 */
void nq_bn_ranges_complete(const nq_graph *graph, const nq_bn_moments *moments, nq_range input,
                           nq_range *ranges, uint64_t *histograms);

#endif
