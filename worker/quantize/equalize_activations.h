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

/*
 * Changes weights, biases and batch norm statistics of a folded graph; the function that it
 * computes stays what it was, up to float rounding.
 *
 * Factors: with m4 the fourth root of a channel's fourth central moment over the first
 * NQ_EQUALIZE_SAMPLES samples, a reader wants the channel divided by (m4 / geometric mean of
 * m4)^exponent, within 1/8 to 8: exponent 1 where the reader is depthwise, else `exponent`.
 * Channels that an addition, a concatenation, a slice or a shuffle ties together get one factor,
 * the geometric mean of what their readers want. The images and what the linear layer reads keep
 * theirs.
 *
 * Shifts: a convolution without ReLU whose result reaches only convolutions without padding,
 * perhaps through additions, slices, shuffles and concatenations, has its channels' means moved
 * into the readers' biases.
 */
nq_status nq_equalize_activations(nq_graph *graph, nq_samples *samples, double exponent,
                                  nq_pool *pool, nq_error *err);

#endif
