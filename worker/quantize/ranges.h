/* Activation ranges: what each observed tensor spans over the calibration samples. */
#ifndef NQ_QUANTIZE_RANGES_H
#define NQ_QUANTIZE_RANGES_H

#include "common/error.h"
#include "common/pool.h"
#include "common/spec.h"
#include "worker/calibrate/samples.h"
#include "worker/float/float_net.h"

typedef struct {
    float low, high;
} nq_range;

/* What all of them span; adding 0 makes -0 and 0 one value. */
nq_range nq_range_merge(const nq_range *ranges, size_t n);

/* Progress: called now and then from one thread at a time, done <= total samples. Returning other
 * than NQ_OK stops. */
typedef nq_status (*nq_progress)(void *context, const char *stage, size_t done, size_t total,
                                 nq_error *err);

/*
 * Min-max of every node's output (ranges[graph.count], pass-through nodes get their own too) over
 * all samples, on the float network. The same for any number of threads.
 */
nq_status nq_ranges_observe(const nq_float_net *net, const nq_graph *graph, nq_samples *samples,
                            nq_pool *pool, nq_progress progress, void *context, nq_range *ranges,
                            nq_error *err);

#define NQ_HISTOGRAM_BINS 2048

/* Counts x[0..n-1] into the NQ_HISTOGRAM_BINS equal parts of bounds; what lies outside goes into
 * the nearest. */
void nq_histogram_add(const float *x, size_t n, nq_range bounds, uint64_t *histogram);

/*
 * A second pass over the same samples: how often each node's output fell into each of
 * NQ_HISTOGRAM_BINS equal parts of its range, u64 [graph.count][NQ_HISTOGRAM_BINS], zeroed here.
 * Counts do not depend on the threads. A value outside its range (the float path in another company
 * of images may differ in the last bit) goes into the nearest bin.
 */
nq_status nq_histograms_observe(const nq_float_net *net, const nq_graph *graph, nq_samples *samples,
                                nq_pool *pool, nq_progress progress, void *context,
                                const nq_range *ranges, uint64_t *histograms, nq_error *err);

#endif
