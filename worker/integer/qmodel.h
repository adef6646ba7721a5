/*
 * A quantized network: the graph's structure and, per node, integers and scales. This is what
 * quantization makes, what model.safetensors stores, and all that integer scoring needs.
 */
#ifndef NQ_INTEGER_QMODEL_H
#define NQ_INTEGER_QMODEL_H

#include "common/error.h"
#include "worker/model/graph.h"
#include <stdint.h>

/* Bounds of every scale in a model, so that no product or quotient of scales leaves float32's
 * normal range; ranges give at least FLT_EPSILON. */
#define NQ_SCALE_MIN 1e-12f
#define NQ_SCALE_MAX 1e12f

/* real = (q - zero_point) * scale, q in 0..qmax. */
typedef struct {
    float scale;
    int32_t zero_point;
    int32_t qmax; /* the clamp: 255 at 8 bit, 2^b - 1 below */
} nq_qparams;

typedef struct {
    nq_qparams out; /* of the node's output; for pass-through nodes equal to the input's */
    /* CONV and LINEAR only: */
    int weight_bits;     /* 2..8 */
    int8_t *weight;      /* s8 [channels][kernel_h][kernel_w][in/groups] */
    int scales;          /* 1: per tensor; channels: per channel */
    float *weight_scale; /* [scales] */
    float *bias;         /* [channels], float32; NULL: none */
    bool has_table;      /* the input is requantized through a 256-byte table first */
    nq_qparams in;       /* of the requantized input, where has_table */
} nq_qnode;

typedef struct {
    nq_graph graph;  /* structure only, no float weights */
    nq_qnode *nodes; /* [graph.count] */
} nq_qmodel;

/* An empty quantized network of that structure. CONV and LINEAR nodes have weights and biases
 * allocated and 0 (who wants no bias frees it and sets NULL), weight_bits 8, and no scales until
 * nq_qnode_set_scales(). */
nq_status nq_qmodel_create(const char *arch, int classes, nq_qmodel *model, nq_error *err);
/* Allocates weight_scale for 1 or all channels, zeroed; what was there is freed. */
nq_status nq_qnode_set_scales(nq_qmodel *model, int node, int scales, nq_error *err);
void nq_qmodel_free(nq_qmodel *model);

/*
 * Everything that must hold before a plan may be built: scales in NQ_SCALE_MIN..NQ_SCALE_MAX (so
 * finite and positive), zero points in 0..qmax, qmax = 2^b - 1 for b in 2..8, biases finite,
 * weights inside their bits, pass-through parameters equal, and no accumulator able to leave 32
 * bits (255 * sum |w| per output channel). NQ_ERR_INPUT names the node.
 */
nq_status nq_qmodel_check(const nq_qmodel *model, nq_error *err);

#endif
