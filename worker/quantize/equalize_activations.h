/*
 * Equalizing activations: every channel of a tensor times a factor, and its reader's weights over
 * it, so that the channels of what is quantized with one scale are alike. With a weight scale for
 * each output channel the producer's side is free, so that factors come from the activations alone.
 */
#ifndef NQ_QUANTIZE_EQUALIZE_ACTIVATIONS_H
#define NQ_QUANTIZE_EQUALIZE_ACTIVATIONS_H

#include "common/pool.h"
#include "common/spec.h"
#include "worker/calibrate/samples.h"
#include "worker/model/graph.h"

#define NQ_EQUALIZE_SAMPLES 64

/* What is known of the channels of every node's output. */
typedef struct {
    const void *of;
    double (*mean)(const void *of, int node, int channel);
    /* How far it reaches from `about`, in any measure: only ratios count. Positive. */
    double (*spread)(const void *of, int node, int channel, double about);
} nq_channel_view;

/*
 * Changes weights, biases and batch norm statistics of a folded graph; the function that it
 * computes stays what it was, up to float rounding.
 *
 * Factors: a reader wants the channel divided by (spread / geometric mean of the spreads)^exponent,
 * within 1/8 to 8: exponent 1 where the reader is depthwise, else `exponent`. Channels that an
 * addition, a concatenation, a slice or a shuffle ties together get one factor, the geometric mean
 * of what their readers want. The images and what the linear layer reads keep theirs.
 *
 * Shifts: a convolution without ReLU whose result reaches only convolutions without padding,
 * perhaps through additions, slices, shuffles and concatenations, has its channels' means moved
 * into the readers' biases.
 */
nq_status nq_equalize_channels(nq_graph *graph, const nq_channel_view *view, double exponent,
                               nq_error *err);

/* By the first NQ_EQUALIZE_SAMPLES samples: the spread is the fourth root of the fourth moment
 * about the shift. */
nq_status nq_equalize_activations(nq_graph *graph, nq_samples *samples, double exponent,
                                  nq_pool *pool, nq_error *err);

#endif
