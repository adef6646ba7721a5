/*
 * Passes of all samples through one layer of both networks: the float one with its own weights on
 * its own input, the quantized one with the weights on trial (nq_layer_runner_try) on the integers
 * that it reads. z is the float layer's output before ReLU, bias included; y the quantized one's
 * without bias. All are the same for any number of threads.
 */
#ifndef NQ_QUANTIZE_LAYER_PASS_H
#define NQ_QUANTIZE_LAYER_PASS_H

#include "worker/quantize/layer_input.h"
#include "worker/quantize/layer_runner.h"
#include "worker/quantize/ranges.h"

typedef struct {
    nq_layer_runner *runner;
    nq_pool *pool;
    const nq_graph *graph;
    int node;
    const nq_layer_input *in;
    float *weights; /* of the output's positions, f32 [images][H][W]: written by measuring, read by
                       counting */
} nq_layer_pass;

/* Of one output channel. Means and variances weight a position of a convolution by
 * min(1, 3 median |z|^2 / |z|^2) over the channels of z, the median of a slice. */
typedef struct {
    double mean_z, var_z, mean_y, var_y;
    double relu_z;   /* mean of max(z, 0) */
    float low, high; /* of y */
} nq_channel_stats;

/* The float layer's output behind its ReLU into real f32 [images][H][W][O], what it spans into
 * *span; stats[O] and the pass's weights are filled. NQ_ERR_INPUT where a value is not finite. */
nq_status nq_layer_pass_measure(const nq_layer_pass *pass, float *real, nq_range *span,
                                nq_channel_stats *stats, nq_error *err);

/* How often y of each channel falls into each of NQ_CHANNEL_BINS equal parts of [low, high]: u64
 * [O][NQ_CHANNEL_BINS], zeroed here. A position counts NQ_COUNT_UNIT times its weight (as
 * measured), rounded: whole numbers add up to the same in any order. */
#define NQ_CHANNEL_BINS 1024
#define NQ_COUNT_UNIT   4096
nq_status nq_layer_pass_count(const nq_layer_pass *pass, const nq_channel_stats *stats,
                              uint64_t *counts, nq_error *err);

/* What the quantized layer computes, gain[c] y + shift[c] through the node's ReLU: of the first
 * `images` samples as f32, or of all as integers. */
nq_status nq_layer_pass_values(const nq_layer_pass *pass, const float *gain, const float *shift,
                               size_t images, float *values, nq_error *err);
nq_status nq_layer_pass_store(const nq_layer_pass *pass, const float *gain, const float *shift,
                              nq_qparams params, uint8_t *stored, nq_error *err);

#endif
