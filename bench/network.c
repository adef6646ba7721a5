#include "bench/network.h"

#include "common/file.h"
#include "common/random.h"
#include "worker/output/model_file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_LIMIT ((size_t)1 << 30)

const char *const nq_layer_class_names[NQ_LAYER_CLASSES] = {"stem",      "dense 3x3", "1x1",
                                                            "depthwise", "linear",    "rest"};

nq_layer_class nq_layer_class_of(const nq_graph *graph, int node)
{
    const nq_node *n = &graph->nodes[node];
    if (n->op == NQ_OP_LINEAR)
        return NQ_LAYER_LINEAR;
    if (n->op != NQ_OP_CONV)
        return NQ_LAYER_REST;
    if (graph->nodes[n->input[0]].op == NQ_OP_INPUT)
        return NQ_LAYER_STEM;
    if (n->groups > 1)
        return NQ_LAYER_DEPTHWISE;
    return n->kernel_h == 1 && n->kernel_w == 1 ? NQ_LAYER_POINTWISE : NQ_LAYER_DENSE;
}

double nq_layer_macs(const nq_graph *graph, int node)
{
    const nq_node *n = &graph->nodes[node];
    return nq_node_has_weight(n)
               ? (double)nq_node_weights(graph, n) * (double)n->height * (double)n->width
               : 0;
}

/* Scales that keep outputs spread over the range, since nothing else could matter to speed. */
static nq_status fill_layer(nq_qmodel *model, int i, nq_random *random, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    nq_qnode *q = &model->nodes[i];
    size_t weights = nq_node_weights(&model->graph, n), depth = weights / (size_t)n->channels;
    nq_status status = nq_qnode_set_scales(model, i, 1, err);
    if (status != NQ_OK)
        return status;
    q->weight_scale[0] = 1.0f / (64 * sqrtf((float)depth));
    for (size_t k = 0; k < weights; k++)
        q->weight[k] = (int8_t)((int)(nq_random_u32(random) % 255) - 127);
    for (int c = 0; c < n->channels; c++)
        q->bias[c] = (float)nq_random_normal(random);
    return NQ_OK;
}

static nq_status random_network(const char *arch, nq_qmodel *model, nq_error *err)
{
    nq_random random;
    nq_random_init(&random, 1, 0);
    nq_status status = nq_qmodel_create(arch, 1000, model, err);
    for (int i = 0; status == NQ_OK && i < model->graph.count; i++) {
        const nq_node *n = &model->graph.nodes[i];
        if (nq_node_observed(n))
            model->nodes[i].out =
                (nq_qparams){.scale = 0.02f, .zero_point = n->relu ? 0 : 110, .qmax = 255};
        else
            model->nodes[i].out = model->nodes[n->input[0]].out;
        if (nq_node_has_weight(n))
            status = fill_layer(model, i, &random, err);
    }
    if (status != NQ_OK)
        nq_qmodel_free(model);
    return status;
}

nq_status nq_bench_network(const char *what, nq_qmodel *model, nq_error *err)
{
    const char *dot = strrchr(what, '.');
    uint8_t *data;
    size_t size;
    *model = (nq_qmodel){0};
    if (!dot || strcmp(dot, ".safetensors") != 0)
        return random_network(what, model, err);
    nq_status status = nq_file_read(what, MODEL_LIMIT, &data, &size, err);
    if (status != NQ_OK)
        return status;
    status = nq_model_file_decode(data, size, what, model, err);
    free(data);
    return status;
}
