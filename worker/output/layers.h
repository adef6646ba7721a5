/* The per-layer report as JSON: the "layers" of metrics.json. */
#ifndef NQ_OUTPUT_LAYERS_H
#define NQ_OUTPUT_LAYERS_H

#include "worker/quantize/layer_report.h"
#include <jansson.h>

/*
 * An array, one object a node that the quantized network observes: name, op, bits (of the output),
 * scale, zero_point, range [low, high] that the integers hold, seen [low, high], clipped (share),
 * output_db (null: nothing lost), and for layers weight_bits, weight_db, weight_bytes. seen,
 * clipped and output_db are null where the job drew no samples. NULL: out of memory.
 */
json_t *nq_layers_to_json(const nq_graph *graph, const nq_qmodel *model,
                          const nq_layer_report *reports);

#endif
