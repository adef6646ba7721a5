/* The networks that are measured, and how their layers are counted. */
#ifndef NQ_BENCH_NETWORK_H
#define NQ_BENCH_NETWORK_H

#include "worker/integer/engine.h"

typedef enum {
    NQ_LAYER_STEM,      /* the convolution that reads the image */
    NQ_LAYER_DENSE,     /* other convolutions larger than 1x1, one group */
    NQ_LAYER_POINTWISE, /* 1x1 */
    NQ_LAYER_DEPTHWISE,
    NQ_LAYER_LINEAR,
    NQ_LAYER_REST, /* what multiplies nothing: adds, concatenations, pools, the input's table */
    NQ_LAYER_CLASSES
} nq_layer_class;

extern const char *const nq_layer_class_names[NQ_LAYER_CLASSES];

nq_layer_class nq_layer_class_of(const nq_graph *graph, int node);

/* Nominal multiply-accumulates of one image: padding counts. 0 for REST. */
double nq_layer_macs(const nq_graph *graph, int node);

/* `what`: a model.safetensors, or an architecture's name, which gets random weights (1,000
 * classes). Free with nq_qmodel_free(). */
nq_status nq_bench_network(const char *what, nq_qmodel *model, nq_error *err);

#endif
