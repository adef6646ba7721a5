/* Equalization by activations without a sample: what batch norms say about the channels. */
#ifndef NQ_QUANTIZE_EQUALIZE_BN_H
#define NQ_QUANTIZE_EQUALIZE_BN_H

#include "common/error.h"
#include "worker/model/graph.h"

/*
 * nq_equalize_channels() by batch norm moments (bn_moments.h): the spread is how far the channel
 * reaches from the shift at three standard deviations from its mean, only upwards where ReLU cuts
 * it off below.
 */
nq_status nq_equalize_by_bn(nq_graph *graph, double exponent, nq_error *err);

#endif
