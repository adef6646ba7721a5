/* Moments of every channel of every tensor of the float network over calibration samples. */
#ifndef NQ_QUANTIZE_CHANNEL_MOMENTS_H
#define NQ_QUANTIZE_CHANNEL_MOMENTS_H

#include "common/pool.h"
#include "worker/calibrate/samples.h"
#include "worker/model/graph.h"

/* E[x], E[x^2], E[x^3], E[x^4] over images and positions. */
typedef struct {
    double power[4];
} nq_channel_moments;

/*
 * moments[node] is [channels of the node]; the array and what it points to are one block, which the
 * caller frees. Over the first `samples` (or all, if fewer). The same for any number of threads.
 */
nq_status nq_channel_moments_collect(const nq_graph *graph, nq_samples *source, size_t samples,
                                     nq_pool *pool, nq_channel_moments ***moments, nq_error *err);

#endif
