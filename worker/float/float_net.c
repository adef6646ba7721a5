#include "worker/float/float_net.h"
#include "common/arena.h"
#include <stdlib.h>
#include <string.h>

struct nq_float_net {
    const nq_graph *graph;
    const nq_float_backend *backend;
    int batch;
    nq_float_device *device;
    nq_float_layer **layers; /* [graph->count], NULL where the node has no weights */
    nq_span *spans;          /* [graph->count], where a run holds each node's values */
    size_t bytes;            /* of a run's block */
};

struct nq_float_run {
    const nq_float_net *net;
    nq_float_thread *thread;
    uint8_t *block;
};

nq_float_shape nq_float_shape_of(const nq_graph *graph, const nq_node *node, int batch)
{
    const nq_node *from = &graph->nodes[node->input[0]];
    nq_float_shape shape = {.batch = batch,
                            .groups = 1,
                            .bias = node->bias != NULL,
                            .relu = node->relu,
                            .in_channels = from->channels,
                            .in_height = from->height,
                            .in_width = from->width,
                            .out_channels = node->channels,
                            .out_height = node->height,
                            .out_width = node->width,
                            .kernel_h = 1,
                            .kernel_w = 1,
                            .stride = 1};
    if (node->op == NQ_OP_CONV) {
        shape.groups = node->groups;
        shape.kernel_h = node->kernel_h;
        shape.kernel_w = node->kernel_w;
        shape.stride = node->stride;
        shape.pad_h = node->pad_h;
        shape.pad_w = node->pad_w;
    }
    return shape;
}

static nq_status create_layers(nq_float_net *net, nq_error *err)
{
    const nq_graph *graph = net->graph;
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        if (!nq_node_has_weight(node))
            continue;
        if (!node->weight)
            return nq_fail(err, NQ_ERR_INTERNAL, "layer %s has no weights loaded", node->name);
        nq_float_shape shape = nq_float_shape_of(graph, node, net->batch);
        nq_status status = net->backend->layer_create(net->device, &shape, node->weight, node->bias,
                                                      &net->layers[i], err);
        if (status != NQ_OK) {
            nq_error_prefix(err, "layer %s", node->name);
            return status;
        }
    }
    return NQ_OK;
}

/* The images live through the whole pass (a caller may go on with them), the result to its end. */
static void place_values(nq_float_net *net)
{
    const nq_graph *graph = net->graph;
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        net->spans[i] = (nq_span){
            .first = i,
            .last = i,
            .bytes = (size_t)net->batch * nq_node_elements(node) * sizeof(float),
        };
        for (int j = 0; j < node->inputs; j++)
            net->spans[node->input[j]].last = i;
    }
    net->spans[0].last = graph->count;
    net->spans[graph->count - 1].last = graph->count;
    net->bytes = nq_arena_assign(net->spans, graph->count);
}

nq_status nq_float_net_create(const nq_graph *graph, int batch, nq_float_net **net, nq_error *err)
{
    nq_float_net *made = calloc(1, sizeof *made);
    if (!made)
        return nq_fail_nomem(err, "a float network", sizeof *made);
    made->graph = graph;
    made->backend = &nq_float_onednn;
    made->batch = batch;
    made->layers = calloc((size_t)graph->count, sizeof *made->layers);
    made->spans = calloc((size_t)graph->count, sizeof *made->spans);
    nq_status status = NQ_OK;
    if (!made->layers || !made->spans)
        status = nq_fail_nomem(err, "a float network's layers",
                               (size_t)graph->count * sizeof *made->spans);
    if (status == NQ_OK)
        status = made->backend->device_create(&made->device, err);
    if (status == NQ_OK)
        status = create_layers(made, err);
    if (status != NQ_OK) {
        nq_float_net_free(made);
        return status;
    }
    place_values(made);
    *net = made;
    return NQ_OK;
}

void nq_float_net_free(nq_float_net *net)
{
    if (!net)
        return;
    for (int i = 0; net->layers && i < net->graph->count; i++)
        net->backend->layer_free(net->layers[i]);
    net->backend->device_free(net->device);
    free(net->layers);
    free(net->spans);
    free(net);
}

int nq_float_net_batch(const nq_float_net *net)
{
    return net->batch;
}

size_t nq_float_net_run_bytes(const nq_float_net *net)
{
    return net->bytes;
}

nq_status nq_float_run_create(const nq_float_net *net, nq_float_run **run, nq_error *err)
{
    nq_float_run *made = calloc(1, sizeof *made);
    void *block = NULL;
    if (!made || posix_memalign(&block, NQ_ARENA_ALIGN, net->bytes) != 0) {
        free(made);
        return nq_fail_nomem(err, "a float network's activations", net->bytes);
    }
    made->net = net;
    made->block = block;
    memset(nq_float_run_input(made), 0, net->spans[0].bytes);
    nq_status status = net->backend->thread_create(net->device, &made->thread, err);
    if (status != NQ_OK) {
        nq_float_run_free(made);
        return status;
    }
    *run = made;
    return NQ_OK;
}

void nq_float_run_free(nq_float_run *run)
{
    if (!run)
        return;
    run->net->backend->thread_free(run->thread);
    free(run->block);
    free(run);
}

static float *values_of(const nq_float_run *run, int node)
{
    return (float *)(void *)(run->block + run->net->spans[node].offset);
}

float *nq_float_run_input(nq_float_run *run)
{
    return values_of(run, 0);
}

const float *nq_float_run_output(const nq_float_run *run)
{
    return values_of(run, run->net->graph->count - 1);
}

static void concatenate(const nq_graph *graph, const nq_node *node, size_t pixels,
                        const float *const inputs[], float *out)
{
    int first = 0;
    for (int j = 0; j < node->inputs; j++) {
        int channels = nq_node_in_channels(graph, node, j);
        nq_float_onednn.copy_channels(inputs[j], channels, 0, out, node->channels, first, channels,
                                      pixels);
        first += channels;
    }
}

nq_float_window nq_float_window_of(const nq_graph *graph, const nq_node *node, int batch)
{
    const nq_node *from = &graph->nodes[node->input[0]];
    return (nq_float_window){.batch = batch,
                             .channels = node->channels,
                             .in_height = from->height,
                             .in_width = from->width,
                             .out_height = node->height,
                             .out_width = node->width,
                             .kernel_h = node->kernel_h,
                             .kernel_w = node->kernel_w,
                             .stride = node->stride,
                             .pad_h = node->pad_h,
                             .pad_w = node->pad_w};
}

void nq_float_apply(const nq_graph *graph, int index, int batch, const float *const inputs[],
                    float *out)
{
    const nq_float_backend *backend = &nq_float_onednn;
    const nq_node *node = &graph->nodes[index], *from = &graph->nodes[node->input[0]];
    size_t pixels = (size_t)batch * (size_t)node->height * (size_t)node->width;
    nq_float_window window;
    switch (node->op) {
    case NQ_OP_INPUT:
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        break;
    case NQ_OP_ADD:
        backend->add(inputs[0], inputs[1], pixels * (size_t)node->channels, node->relu, out);
        break;
    case NQ_OP_CAT:
        concatenate(graph, node, pixels, inputs, out);
        break;
    case NQ_OP_SLICE:
        backend->copy_channels(inputs[0], from->channels, node->first, out, node->channels, 0,
                               node->channels, pixels);
        break;
    case NQ_OP_SHUFFLE:
        backend->shuffle(inputs[0], node->channels, node->groups, pixels, out);
        break;
    case NQ_OP_MAXPOOL:
        window = nq_float_window_of(graph, node, batch);
        backend->maxpool(&window, inputs[0], out);
        break;
    case NQ_OP_AVGPOOL:
        backend->avgpool(inputs[0], batch, (size_t)from->height * (size_t)from->width,
                         node->channels, out);
        break;
    }
}

static nq_status compute(nq_float_run *run, int index, const nq_float_layer *layer, nq_error *err)
{
    const nq_float_net *net = run->net;
    const nq_node *node = &net->graph->nodes[index];
    const float *inputs[NQ_NODE_INPUTS] = {0};
    for (int j = 0; j < node->inputs; j++)
        inputs[j] = values_of(run, node->input[j]);
    if (nq_node_has_weight(node))
        return net->backend->layer_forward(run->thread, layer, inputs[0], values_of(run, index),
                                           err);
    nq_float_apply(net->graph, index, net->batch, inputs, values_of(run, index));
    return NQ_OK;
}

nq_status nq_float_run_forward(nq_float_run *run, nq_float_hook hook, void *context, nq_error *err)
{
    for (int i = 0; i < run->net->graph->count; i++) {
        nq_status status = nq_float_run_nodes(run, i, i + 1, NULL, err);
        if (status == NQ_OK && hook)
            status = hook(context, i, values_of(run, i), err);
        if (status != NQ_OK)
            return status;
    }
    return NQ_OK;
}

nq_status nq_float_run_nodes(nq_float_run *run, int first, int end, const nq_float_layer *instead,
                             nq_error *err)
{
    run->net->backend->thread_enter(run->thread);
    for (int i = first; i < end; i++) {
        const nq_float_layer *layer = i == first && instead ? instead : run->net->layers[i];
        nq_status status = compute(run, i, layer, err);
        if (status != NQ_OK) {
            nq_error_prefix(err, "layer %s", run->net->graph->nodes[i].name);
            return status;
        }
    }
    return NQ_OK;
}

void nq_float_run_copy(nq_float_run *run, const nq_float_run *from, int node)
{
    for (int i = 0; i < node; i++) {
        const nq_span *span = &run->net->spans[i];
        if (span->last >= node)
            memcpy(run->block + span->offset, from->block + span->offset, span->bytes);
    }
}

nq_status nq_float_net_layer_with(const nq_float_net *net, int node, const float *weight,
                                  nq_float_layer **layer, nq_error *err)
{
    const nq_node *n = &net->graph->nodes[node];
    nq_float_shape shape = nq_float_shape_of(net->graph, n, net->batch);
    return net->backend->layer_create(net->device, &shape, weight, n->bias, layer, err);
}

void nq_float_net_layer_free(const nq_float_net *net, nq_float_layer *layer)
{
    net->backend->layer_free(layer);
}
