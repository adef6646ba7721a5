/* What quantization did to each layer: where a scheme loses, and how much. */
#ifndef NQ_QUANTIZE_LAYER_REPORT_H
#define NQ_QUANTIZE_LAYER_REPORT_H

#include "common/pool.h"
#include "worker/calibrate/samples.h"
#include "worker/float/float_net.h"
#include "worker/integer/qmodel.h"
#include "worker/quantize/ranges.h"

/* Samples that the integer network is compared on: the first ones of the calibration. */
#define NQ_REPORT_SAMPLES 32

/* Of one node. Ratios of powers are in dB, 10 log10(signal / noise); INFINITY where nothing was
 * lost. What is marked (s) takes samples to measure: NAN where there are none. */
typedef struct {
    float seen_low, seen_high; /* (s) over the calibration samples, float network */
    float low, high;           /* what the integers can hold */
    double clipped;            /* (s) share of the float network's values outside that, 0..1 */
    double output_db;    /* (s) integer network's output against the float network's: what has piled
                            up */
    double weight_db;    /* integer weights against float ones; CONV and LINEAR only */
    size_t weight_bytes; /* packed */
} nq_layer_report;

/*
 * Fills reports[graph->count]. Both networks run on the first NQ_REPORT_SAMPLES samples (or all, if
 * fewer), the integer one node by node on its own inputs. ranges are those of nq_ranges_observe().
 * Without samples (NULL, and so net) only what needs none is filled.
 * The same for any number of threads.
 */
nq_status nq_layers_report(const nq_graph *graph, const nq_float_net *net, const nq_range *ranges,
                           nq_samples *samples, const nq_qmodel *model, nq_pool *pool,
                           nq_progress progress, void *context, nq_layer_report *reports,
                           nq_error *err);

#endif
