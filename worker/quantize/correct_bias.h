/* Bias correction: the mean error that rounding the weights adds, taken out of the biases. */
#ifndef NQ_QUANTIZE_CORRECT_BIAS_H
#define NQ_QUANTIZE_CORRECT_BIAS_H

#include "worker/integer/qmodel.h"
#include "worker/quantize/bn_moments.h"

/*
 * Nagel et al., ICCV 2019, section 4.2: with e = (scale q - w), rounding adds on average
 * sum over inputs of E[x] sum over taps of e to a layer's output; the layer's bias loses that. E[x]
 * is the expected value of the input, behind its ReLU (their appendix C). Near the border of a
 * padded input fewer taps count; as in the paper that is neglected.
 *
 * graph: what the model was quantized from.
 */
nq_status nq_correct_bias(const nq_graph *graph, const nq_bn_moments *moments, nq_qmodel *model,
                          nq_error *err);

#endif
