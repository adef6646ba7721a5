#include "worker/float/grad_internal.h"
#include <stdlib.h>
#include <string.h>

/* Weights and biases of a convolution before its batch norm was folded in. */
typedef struct {
    float *weight, *bias;
} unfolded;

static nq_status check_folded(const nq_node *node, int c, float inverse, nq_error *err)
{
    const nq_batch_norm *norm = &node->norm;
    float bias = (0.0f - norm->mean[c]) * inverse * norm->gamma[c] + norm->beta[c];
    if (node->bias && node->bias[c] == bias)
        return NQ_OK;
    return nq_fail(err, NQ_ERR_INTERNAL,
                   "layer %s: its bias is not what folding %s gives, so that the batch norm cannot "
                   "be taken out again",
                   node->name, node->norm_key);
}

/* The bias leaves the running mean out, so that the kept value has mean 0. A channel whose scale is
 * 0 has lost its weights. */
static nq_status unfold(const nq_graph *graph, const nq_node *node, nq_grad_node *made,
                        unfolded *layer, nq_error *err)
{
    size_t channels = (size_t)node->channels, row = nq_node_weights(graph, node) / channels;
    made->scale = malloc(2 * channels * sizeof(float));
    layer->weight = malloc(channels * row * sizeof(float));
    layer->bias = malloc(channels * sizeof(float));
    if (!made->scale || !layer->weight || !layer->bias)
        return nq_fail_nomem(err, "unfolded weights", channels * row * sizeof(float));
    made->shift = made->scale + channels;
    for (size_t c = 0; c < channels; c++) {
        float inverse = nq_batch_norm_inverse(&node->norm, (int)c);
        float scale = node->norm.gamma[c] * inverse;
        nq_status status = check_folded(node, (int)c, inverse, err);
        if (status != NQ_OK)
            return status;
        made->scale[c] = scale;
        made->shift[c] = node->norm.beta[c];
        layer->bias[c] = scale == 0.0f ? 0.0f : 0.0f - node->norm.mean[c];
        for (size_t i = c * row; i < (c + 1) * row; i++)
            layer->weight[i] = scale == 0.0f ? 0.0f : node->weight[i] / scale;
    }
    return NQ_OK;
}

static nq_status create_pass(const nq_grad_net *net, const nq_node *node,
                             const nq_float_shape *shape, const unfolded *layer,
                             nq_float_layer **made, nq_error *err)
{
    if (!node->weight)
        return nq_fail(err, NQ_ERR_INTERNAL, "layer %s has no weights loaded", node->name);
    nq_status status =
        net->backend->layer_create(net->device, shape, layer->weight, layer->bias, made, err);
    if (status != NQ_OK)
        nq_error_prefix(err, "layer %s", node->name);
    return status;
}

/* The forward layer and those of the gradients that somebody wants. */
static nq_status create_passes(nq_grad_net *net, int index, const unfolded *layer, nq_error *err)
{
    const nq_node *node = &net->bare.nodes[index];
    nq_grad_node *made = &net->nodes[index];
    nq_float_shape shape = nq_float_shape_of(&net->bare, node, net->batch), data = shape;
    shape.bias = layer->bias != NULL;
    nq_status status = create_pass(net, node, &shape, layer, &made->forward, err);
    data.pass = NQ_PASS_DATA;
    data.bias = 0;
    if (status == NQ_OK && !made->skip[0])
        status = create_pass(net, node, &data, layer, &made->data, err);
    shape.pass = NQ_PASS_WEIGHT;
    shape.bias = node->bias && !made->scale;
    if (status == NQ_OK && net->wanted.weights)
        status = create_pass(net, node, &shape, layer, &made->weight, err);
    return status;
}

static nq_status create_layer(nq_grad_net *net, int index, nq_error *err)
{
    const nq_node *node = &net->graph->nodes[index];
    nq_status status;
    if (!node->norm.gamma || !node->weight) {
        unfolded same = {node->weight, node->bias};
        return create_passes(net, index, &same, err);
    }
    unfolded layer = {NULL, NULL};
    status = unfold(net->graph, node, &net->nodes[index], &layer, err);
    if (status == NQ_OK)
        status = create_passes(net, index, &layer, err);
    free(layer.weight);
    free(layer.bias);
    return status;
}

/* Whose gradient somebody wants, and who is the first to contribute to it, going back. */
static void plan_edges(nq_grad_net *net)
{
    for (int i = net->graph->count - 1; i >= 0; i--) {
        const nq_node *node = &net->graph->nodes[i];
        for (int j = 0; j < node->inputs; j++) {
            int input = node->input[j];
            bool first = true;
            for (int k = net->graph->count - 1; k >= i; k--)
                for (int m = 0; m < net->graph->nodes[k].inputs && (k > i || m < j); m++)
                    first = first && net->graph->nodes[k].input[m] != input;
            net->nodes[i].skip[j] = input == 0 && !net->wanted.input;
            net->nodes[i].assign[j] = first;
        }
    }
}

static size_t bytes_of(const nq_grad_net *net, int node)
{
    return (size_t)net->batch * nq_node_elements(&net->graph->nodes[node]) * sizeof(float);
}

/* Bytes of the largest contribution that the node cannot write where it belongs. */
static size_t scratch_bytes(const nq_grad_net *net, int index)
{
    const nq_node *node = &net->graph->nodes[index];
    bool whole = nq_node_has_weight(node) || node->op == NQ_OP_SHUFFLE || node->op == NQ_OP_AVGPOOL;
    const nq_grad_node *g = &net->nodes[index];
    return whole && !g->assign[0] && !g->skip[0] ? bytes_of(net, node->input[0]) : 0;
}

/* Node i is computed at step i and goes back at step 2 * count - 1 - i. */
static void plan_node(nq_grad_net *net, int index, int last_reader)
{
    int count = net->graph->count, back = 2 * count - 1 - index;
    const nq_node *node = &net->graph->nodes[index];
    nq_grad_node *g = &net->nodes[index];
    size_t bytes = bytes_of(net, index);
    bool wants_input = node->op == NQ_OP_MAXPOOL || g->weight;
    bool again = wants_input && net->nodes[node->input[0]].after;
    size_t weights = g->weight ? nq_node_weights(net->graph, node) + (size_t)node->channels : 0;
    g->spans[NQ_GRAD_KEPT] = (nq_span){index, index ? back : 2 * count, bytes, 0};
    g->spans[NQ_GRAD_AFTER] = (nq_span){index, last_reader, g->after ? bytes : 0, 0};
    g->spans[NQ_GRAD_GRADIENT] = (nq_span){2 * count - 1 - last_reader, index ? back : 2 * count,
                                           index || net->wanted.input ? bytes : 0, 0};
    g->spans[NQ_GRAD_SCRATCH] = (nq_span){back, back, scratch_bytes(net, index), 0};
    g->spans[NQ_GRAD_AGAIN] = (nq_span){back, back, again ? bytes_of(net, node->input[0]) : 0, 0};
    g->spans[NQ_GRAD_WEIGHT] = (nq_span){back, 2 * count, weights * sizeof(float), 0};
}

static nq_status place(nq_grad_net *net, nq_error *err)
{
    int count = net->graph->count, used = 0;
    nq_span *all = malloc((size_t)count * NQ_GRAD_TENSORS * sizeof *all);
    if (!all)
        return nq_fail_nomem(err, "the plan of a gradient",
                             (size_t)count * NQ_GRAD_TENSORS * sizeof *all);
    for (int i = 0; i < count; i++) {
        int last = i;
        for (int k = i + 1; k < count; k++)
            for (int j = 0; j < net->graph->nodes[k].inputs; j++)
                last = net->graph->nodes[k].input[j] == i ? k : last;
        plan_node(net, i, last);
    }
    for (int i = 0; i < count; i++)
        for (int t = 0; t < NQ_GRAD_TENSORS; t++)
            if (net->nodes[i].spans[t].bytes > 0)
                all[used++] = net->nodes[i].spans[t];
    net->bytes = nq_arena_assign(all, used);
    used = 0;
    for (int i = 0; i < count; i++)
        for (int t = 0; t < NQ_GRAD_TENSORS; t++)
            if (net->nodes[i].spans[t].bytes > 0)
                net->nodes[i].spans[t].offset = all[used++].offset;
    free(all);
    return NQ_OK;
}

static nq_status create_nodes(nq_grad_net *net, nq_error *err)
{
    size_t count = (size_t)net->graph->count;
    net->bare = *net->graph;
    net->bare.nodes = malloc(count * sizeof *net->bare.nodes);
    net->nodes = calloc(count, sizeof *net->nodes);
    if (!net->bare.nodes || !net->nodes)
        return nq_fail_nomem(err, "a gradient's nodes", count * sizeof *net->bare.nodes);
    memcpy(net->bare.nodes, net->graph->nodes, count * sizeof *net->bare.nodes);
    for (size_t i = 0; i < count; i++) {
        net->nodes[i].after = net->graph->nodes[i].relu || net->graph->nodes[i].norm.gamma;
        net->bare.nodes[i].relu = false;
    }
    plan_edges(net);
    nq_status status = net->backend->device_create(&net->device, err);
    for (size_t i = 0; i < count && status == NQ_OK; i++)
        if (nq_node_has_weight(&net->graph->nodes[i]))
            status = create_layer(net, (int)i, err);
    return status == NQ_OK ? place(net, err) : status;
}

nq_status nq_grad_net_create(const nq_graph *graph, int batch, nq_grad_wanted wanted,
                             nq_grad_net **net, nq_error *err)
{
    nq_grad_net *made = calloc(1, sizeof *made);
    if (!made)
        return nq_fail_nomem(err, "a gradient network", sizeof *made);
    made->graph = graph;
    made->backend = &nq_float_onednn;
    made->wanted = wanted;
    made->batch = batch;
    nq_status status = create_nodes(made, err);
    if (status != NQ_OK) {
        nq_grad_net_free(made);
        return status;
    }
    *net = made;
    return NQ_OK;
}

void nq_grad_net_free(nq_grad_net *net)
{
    if (!net)
        return;
    for (int i = 0; net->nodes && i < net->graph->count; i++) {
        net->backend->layer_free(net->nodes[i].forward);
        net->backend->layer_free(net->nodes[i].data);
        net->backend->layer_free(net->nodes[i].weight);
        free(net->nodes[i].scale);
    }
    net->backend->device_free(net->device);
    free(net->bare.nodes);
    free(net->nodes);
    free(net);
}

size_t nq_grad_net_run_bytes(const nq_grad_net *net)
{
    return net->bytes;
}
