/*
 * Quantizing layer by layer, in execution order: each layer sees what the quantized network before
 * it really passes on, and is made to come as close as it can to what the float network computes
 * from its own values on the same samples.
 */
#ifndef NQ_QUANTIZE_LAYERWISE_H
#define NQ_QUANTIZE_LAYERWISE_H

#include "common/pool.h"
#include "common/spec.h"
#include "worker/calibrate/samples.h"
#include "worker/integer/qmodel.h"
#include "worker/quantize/ranges.h"

/* Whether a spec asks for it: weights.rounding gptq, activations.range output, or a correction that
 * is measured (repair.correct_stats; repair.correct_bias where activations.source is data). */
bool nq_layerwise_wanted(const nq_spec *spec);

/* How many weight scales a layer gets, layer by layer or not: second-order rounding and gains give
 * every channel its own. */
int nq_layerwise_scale_count(const nq_spec *spec, int channels);

/*
 * As nq_quantize(), from samples. Of each layer in turn: the range at which it reads its input,
 * where that is narrower than it is stored; its weights (rounding, scales); the correction of its
 * output's statistics, gain and shift or shift alone; the range of its output. All samples' values
 * of both networks are held in memory, 5 bytes a value of the tensors still needed.
 *
 * weight_bits: as in nq_widths_decide(). ranges[graph->count] gets what each node's output spanned
 * in the float network. The same for any number of threads. The caller frees the model; on failure
 * it is empty.
 */
nq_status nq_layerwise_quantize(const nq_graph *graph, nq_samples *samples, const nq_spec *spec,
                                const int *weight_bits, nq_pool *pool, nq_progress progress,
                                void *context, nq_range *ranges, nq_qmodel *model, nq_error *err);

#endif
