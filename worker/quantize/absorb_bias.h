/* High-bias absorption: what a channel has in every position moves on into the next bias. */
#ifndef NQ_QUANTIZE_ABSORB_BIAS_H
#define NQ_QUANTIZE_ABSORB_BIAS_H

#include "worker/model/graph.h"

/*
 * Nagel et al., ICCV 2019, section 4.1.3: where a layer is the only reader of a convolution with a
 * ReLU, c = max(0, beta - 3 |gamma|) of each channel is taken from the convolution's bias (and its
 * beta) and sum over taps of w c added to the reader's bias. ReLU passes it on unchanged wherever
 * the pre-activation is above c: in 99.87 % of the positions of a normal distribution. Readers that
 * pad their input are left out: the padding would have to be -c there.
 *
 * graph: folded; changed in place. The reader's batch norm stays as it is: its input's mean moves
 * from one term to another.
 */
void nq_absorb_bias(nq_graph *graph);

#endif
