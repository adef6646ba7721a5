/* The widths that weights.bits auto has chosen, and why: for metrics.json, and as a drawing. */
#ifndef NQ_OUTPUT_MIXED_PRECISION_H
#define NQ_OUTPUT_MIXED_PRECISION_H

#include "common/spec.h"
#include "worker/quantize/knapsack.h"
#include "worker/quantize/sensitivity.h"
#include <jansson.h>

#define NQ_FRONTIER_SVG "frontier.svg"

typedef struct {
    const nq_graph *graph;
    const nq_spec *spec;
    const nq_width *widths;            /* [graph->count] */
    const nq_sensitivity *measured;    /* [graph->count] */
    const nq_knapsack_choice *choices; /* [graph->count][NQ_SENSITIVITY_WIDTHS] */
    const int *bits;                   /* [graph->count] */
    const nq_frontier *frontier;
    size_t point;   /* of the frontier: what was chosen */
    size_t size;    /* bytes of the chosen model's file */
    size_t samples; /* that were measured on */
} nq_mixed_precision;

/* The object that docs/job-directory.md describes; NULL: out of memory. */
json_t *nq_mixed_precision_to_json(const nq_mixed_precision *chosen);

/* Draws the object: size against summed sensitivity, and below it every layer's sensitivity. */
nq_status nq_frontier_write(const char *path, const json_t *mixed, const char *model,
                            nq_error *err);

#endif
