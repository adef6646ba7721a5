/* What batch norms say about every tensor's channels, without any sample. */
#ifndef NQ_QUANTIZE_BN_MOMENTS_H
#define NQ_QUANTIZE_BN_MOMENTS_H

#include "common/error.h"
#include "worker/model/graph.h"
#include "worker/quantize/normal.h"

/* One distribution a channel of every node's output: channel[node][c]. */
typedef struct {
    nq_normal **channel;
    int count;
} nq_bn_moments;

/*
 * Of a folded graph, in execution order (Nagel et al., ICCV 2019, section 4 and appendix):
 *
 *  images       N(0, 1) of each colour, as the normalisation makes them
 *  convolution  N(beta, gamma^2), behind its ReLU where it has one
 *  linear       mean and variance of its inputs through the weights, the inputs independent
 *  addition     means and variances added, the operands independent; behind its ReLU
 *  the others   the channels of their inputs: joined, cut out, shuffled; pools pass them on
 *
 * A convolution without a batch norm is NQ_ERR_INPUT. On failure *moments is empty.
 */
nq_status nq_bn_moments_derive(const nq_graph *graph, nq_bn_moments *moments, nq_error *err);
void nq_bn_moments_free(nq_bn_moments *moments);

#endif
