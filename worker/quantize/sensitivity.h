/* How much the network's output changes when the weights of one layer alone are rounded. */
#ifndef NQ_QUANTIZE_SENSITIVITY_H
#define NQ_QUANTIZE_SENSITIVITY_H

#include "worker/quantize/ranges.h"
#include "worker/quantize/widths.h"

#define NQ_SENSITIVITY_SAMPLES 32 /* the first ones of the calibration */
#define NQ_SENSITIVITY_WIDTHS  6

extern const int nq_sensitivity_bits[NQ_SENSITIVITY_WIDTHS]; /* 2, 3, 4, 5, 6, 8 */

/* Of one node, in nats: at each width the mean of KL(p || q), p the softmax of the float network's
 * output, q with this layer's weights rounded. NAN where it was not measured. */
typedef struct {
    double kl[NQ_SENSITIVITY_WIDTHS];
} nq_sensitivity;

/*
 * Fills measured[graph->count] (ZeroQ, Cai et al., CVPR 2020, section 3.2, equation 5): for each
 * layer at every width, for one of keep_8bit (widths[node].kept) at 8 alone. Scales are those of
 * weights.granularity and weights.range, rounding is to nearest; biases and activations stay float.
 * The mean is over the first NQ_SENSITIVITY_SAMPLES samples, or all where there are fewer. net
 * runs graph. Each trial starts at its layer: the float values before it are kept for all samples,
 * nq_float_net_run_bytes() for every slice of them and for every thread. The same for any number of
 * threads. Progress: stage "sensitivity", in thousandths of the work.
 */
nq_status nq_sensitivity_measure(const nq_graph *graph, const nq_float_net *net,
                                 nq_samples *samples, const nq_spec *spec, const nq_width *widths,
                                 nq_pool *pool, nq_progress progress, void *context,
                                 nq_sensitivity *measured, nq_error *err);

#endif
