/* Inside layerwise quantization: what its loop and the work on one layer share. */
#ifndef NQ_QUANTIZE_LAYERWISE_STATE_H
#define NQ_QUANTIZE_LAYERWISE_STATE_H

#include "worker/quantize/layer_runner.h"
#include "worker/quantize/layerwise.h"
#include "worker/quantize/widths.h"

typedef struct {
    const nq_graph *graph;
    nq_samples *samples;
    const nq_spec *spec;
    nq_pool *pool;
    nq_layer_runner *runner;
    nq_width *widths; /* [graph->count] */
    int *last_reader; /* [graph->count] */
    size_t images;
    float **real;     /* [graph->count]: f32 [images][H][W][C] of the float network, or NULL */
    uint8_t **stored; /* [graph->count]: u8 likewise, of the quantized network */
    nq_range *ranges; /* [graph->count], of real */
    nq_qmodel *model;
} nq_layerwise;

/* The only layer that reads the tensor and nothing else does, or -1. */
int nq_layerwise_reader(const nq_layerwise *l, int node);

/*
 * The range by activations.range of node's tensor for `bits`, and the parameters that it gives.
 * With `output`, below 8 bit, the reader's error decides (reader as in nq_reader_range), and fill()
 * writes what is to be quantized of the first `images` samples into values, f32
 * [images][H][W][C]; the logits keep `range`, what the tensor spans in the quantized network. All
 * else looks at the float network's values alone.
 */
typedef nq_status (*nq_range_fill)(void *context, size_t images, float *values, nq_error *err);
nq_status nq_layerwise_choose(const nq_layerwise *l, int node, int reader, int bits,
                              nq_range_fill fill, void *context, nq_range range, nq_qparams *params,
                              nq_error *err);

/* A CONV or LINEAR node: fills the model's node, real[node] and stored[node]. */
nq_status nq_layerwise_do_layer(nq_layerwise *l, int node, nq_error *err);

#endif
