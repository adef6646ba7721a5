/* Quantized networks with random integers and plausible scales, for tests. Free them with
 * nq_qmodel_free(). */
#ifndef NQ_RANDOM_MODEL_H
#define NQ_RANDOM_MODEL_H

#include "common/random.h"
#include "tests/unit/nq_test.h"
#include "worker/integer/qmodel.h"
#include <math.h>

typedef struct {
    int bits;          /* of weights */
    int activation;    /* bits at the inputs of layers */
    bool per_channel;  /* scales */
    bool without_bias; /* of every third layer */
} random_shape;

static inline float random_scale(nq_random *r, float middle)
{
    return middle * (float)(0.5 + nq_random_uniform(r));
}

/* Parameters that keep a convolution's outputs spread over the range instead of clamped. */
static inline void random_layer(nq_qmodel *m, int i, random_shape shape, nq_random *r)
{
    const nq_node *n = &m->graph.nodes[i];
    nq_qnode *q = &m->nodes[i];
    const int low = -(1 << (shape.bits - 1)), span = 1 << shape.bits;
    size_t weights = nq_node_weights(&m->graph, n), depth = weights / (size_t)n->channels;
    nq_error err = {0};
    q->weight_bits = shape.bits;
    for (size_t k = 0; k < weights; k++)
        q->weight[k] = (int8_t)(low + (int)(nq_random_u32(r) % (uint32_t)span));
    assert_ok(nq_qnode_set_scales(m, i, shape.per_channel ? n->channels : 1, &err), &err);
    for (int c = 0; c < q->scales; c++)
        q->weight_scale[c] = random_scale(r, 2.0f / ((float)span * sqrtf((float)depth)));
    nq_qparams in = m->nodes[n->input[0]].out;
    if ((1 << shape.activation) - 1 < in.qmax) {
        q->has_table = true;
        q->in.qmax = (1 << shape.activation) - 1;
        q->in.scale = in.scale * (float)in.qmax / (float)q->in.qmax;
        q->in.zero_point = in.zero_point * q->in.qmax / in.qmax;
        in = q->in;
    }
    float sum =
        in.scale * q->weight_scale[0] * (float)in.qmax * (float)span * sqrtf((float)depth) / 8;
    q->out.scale = sum / 64;
    for (int c = 0; c < n->channels; c++)
        q->bias[c] = (float)nq_random_normal(r) * sum / 4;
    if (shape.without_bias && i % 3 == 0) {
        free(q->bias);
        q->bias = NULL;
    }
}

static inline nq_qmodel random_model(const char *arch, int classes, random_shape shape,
                                     uint64_t seed)
{
    nq_qmodel m;
    nq_error err = {0};
    nq_random r;
    nq_random_init(&r, seed, 0);
    assert_ok(nq_qmodel_create(arch, classes, &m, &err), &err);
    for (int i = 0; i < m.graph.count; i++) {
        const nq_node *n = &m.graph.nodes[i];
        nq_qnode *q = &m.nodes[i];
        if (!nq_node_observed(n)) {
            q->out = m.nodes[n->input[0]].out;
            continue;
        }
        q->out.qmax = 255;
        q->out.zero_point = n->relu ? 0 : 40 + (int)(nq_random_u32(&r) % 100);
        q->out.scale = 0.02f;
        if (nq_node_has_weight(n))
            random_layer(&m, i, shape, &r);
        else if (n->inputs == 2)
            q->out.scale = random_scale(
                &r, (m.nodes[n->input[0]].out.scale + m.nodes[n->input[1]].out.scale) / 2);
    }
    return m;
}

#endif
