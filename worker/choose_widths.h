/* weights.bits auto: a width for every layer, so that the model fits its budget. */
#ifndef NQ_WORKER_CHOOSE_WIDTHS_H
#define NQ_WORKER_CHOOSE_WIDTHS_H

#include "common/pool.h"
#include "common/spec.h"
#include "worker/calibrate/samples.h"
#include "worker/float/float_net.h"
#include "worker/progress.h"
#include <jansson.h>

/*
 * Measures the layers' sensitivity on the calibration samples (stage "sensitivity"; see
 * quantize/sensitivity.h), builds the frontier of size against summed sensitivity
 * (quantize/knapsack.h), and takes from it the least sum whose model.safetensors has at most
 * spec->weights.size_budget bytes. bits[graph->count] gets each layer's; `mixed` what metrics.json
 * says of it (docs/job-directory.md), the caller's. net runs graph, which is folded and repaired.
 * NQ_ERR_INPUT where the smallest model is above the budget: the sentence names its size.
 */
nq_status nq_choose_widths(const nq_graph *graph, const nq_float_net *net, nq_samples *samples,
                           const nq_spec *spec, nq_pool *pool, nq_progress_report *report,
                           int *bits, json_t **mixed, nq_error *err);

#endif
