/* Cross-layer equalization: scaling channels between layers so that their weights quantize better.
 */
#ifndef NQ_QUANTIZE_EQUALIZE_H
#define NQ_QUANTIZE_EQUALIZE_H

#include "common/error.h"
#include "worker/model/graph.h"

/*
 * Equalization by weights (Nagel et al., ICCV 2019, section 4.1): where a layer is the only reader
 * of a convolution, with a ReLU or nothing between, channel i of the tensor is divided by s_i and
 * the reader's weights of it multiplied, which changes nothing in float. With r1_i the largest
 * magnitude of the convolution's weights for channel i and r2_i of the reader's, s_i =
 * sqrt(r1_i / r2_i) (equation 11) makes both sqrt(r1_i r2_i). A depthwise convolution is a reader
 * and a convolution at once; sweeps over the whole graph until no scale moves make all three of
 * pointwise, depthwise, pointwise alike, the cube root of their product. Channels with no weights
 * on one side keep their scale; a scale stays within 1e-4..1e4.
 *
 * graph: folded; weights, biases and the batch norms' beta and gamma are changed in place.
 */
nq_status nq_equalize_weights(nq_graph *graph, nq_error *err);

#endif
