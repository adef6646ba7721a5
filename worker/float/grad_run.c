#include "worker/float/grad_internal.h"
#include <stdlib.h>
#include <string.h>

struct nq_grad_run {
    const nq_grad_net *net;
    nq_float_thread *thread;
    uint8_t *block;
};

nq_status nq_grad_run_create(const nq_grad_net *net, nq_grad_run **run, nq_error *err)
{
    nq_grad_run *made = calloc(1, sizeof *made);
    void *block = NULL;
    if (!made || posix_memalign(&block, NQ_ARENA_ALIGN, net->bytes) != 0) {
        free(made);
        return nq_fail_nomem(err, "a gradient's values", net->bytes);
    }
    made->net = net;
    made->block = block;
    memset(nq_grad_run_input(made), 0, net->nodes[0].spans[NQ_GRAD_KEPT].bytes);
    nq_status status = net->backend->thread_create(net->device, &made->thread, err);
    if (status != NQ_OK) {
        nq_grad_run_free(made);
        return status;
    }
    *run = made;
    return NQ_OK;
}

void nq_grad_run_free(nq_grad_run *run)
{
    if (!run)
        return;
    run->net->backend->thread_free(run->thread);
    free(run->block);
    free(run);
}

static float *tensor(const nq_grad_run *run, int node, nq_grad_tensor which)
{
    return (float *)(void *)(run->block + run->net->nodes[node].spans[which].offset);
}

/* What the node's readers read. */
static float *values_of(const nq_grad_run *run, int node)
{
    return tensor(run, node, run->net->nodes[node].after ? NQ_GRAD_AFTER : NQ_GRAD_KEPT);
}

float *nq_grad_run_input(nq_grad_run *run)
{
    return tensor(run, 0, NQ_GRAD_KEPT);
}

const float *nq_grad_run_output(const nq_grad_run *run)
{
    return values_of(run, run->net->graph->count - 1);
}

const float *nq_grad_run_input_gradient(const nq_grad_run *run)
{
    return run->net->wanted.input ? tensor(run, 0, NQ_GRAD_GRADIENT) : NULL;
}

const float *nq_grad_run_weight_gradient(const nq_grad_run *run, int node, const float **bias)
{
    const nq_grad_node *g = &run->net->nodes[node];
    const nq_node *n = &run->net->graph->nodes[node];
    float *weight = g->weight ? tensor(run, node, NQ_GRAD_WEIGHT) : NULL;
    *bias = weight && n->bias && !g->scale ? weight + nq_node_weights(run->net->graph, n) : NULL;
    return weight;
}

static size_t pixels_of(const nq_grad_run *run, int node)
{
    const nq_node *n = &run->net->graph->nodes[node];
    return (size_t)run->net->batch * (size_t)n->height * (size_t)n->width;
}

/* Batch norm and ReLU of a node, into `out`. */
static void activate(const nq_grad_run *run, int node, float *out)
{
    const nq_grad_node *g = &run->net->nodes[node];
    const nq_node *n = &run->net->graph->nodes[node];
    const float *kept = tensor(run, node, NQ_GRAD_KEPT);
    size_t pixels = pixels_of(run, node);
    if (g->scale)
        run->net->backend->affine(kept, n->channels, pixels, g->scale, g->shift, n->relu, out);
    else
        run->net->backend->relu(kept, pixels * (size_t)n->channels, out);
}

static void activate_gradient(const nq_grad_run *run, int node)
{
    const nq_grad_node *g = &run->net->nodes[node];
    const nq_node *n = &run->net->graph->nodes[node];
    const float *kept = tensor(run, node, NQ_GRAD_KEPT);
    float *gradient = tensor(run, node, NQ_GRAD_GRADIENT);
    size_t pixels = pixels_of(run, node);
    if (g->scale)
        run->net->backend->affine_gradient(kept, n->channels, pixels, g->scale, g->shift, n->relu,
                                           gradient);
    else
        run->net->backend->relu_gradient(kept, pixels * (size_t)n->channels, gradient);
}

nq_status nq_grad_run_forward(nq_grad_run *run, nq_float_hook hook, void *context, nq_error *err)
{
    const nq_grad_net *net = run->net;
    const float *in[NQ_NODE_INPUTS];
    nq_status status = NQ_OK;
    net->backend->thread_enter(run->thread);
    for (int i = 0; i < net->graph->count && status == NQ_OK; i++) {
        const nq_node *node = &net->bare.nodes[i];
        float *kept = tensor(run, i, NQ_GRAD_KEPT);
        for (int j = 0; j < node->inputs; j++)
            in[j] = values_of(run, node->input[j]);
        if (nq_node_has_weight(node))
            status =
                net->backend->layer_forward(run->thread, net->nodes[i].forward, in[0], kept, err);
        else
            nq_float_apply(&net->bare, i, net->batch, in, kept);
        if (status == NQ_OK && net->nodes[i].after)
            activate(run, i, tensor(run, i, NQ_GRAD_AFTER));
        if (status == NQ_OK && hook)
            status = hook(context, i, kept, err);
    }
    return status;
}

/* A whole tensor's contribution goes where it belongs or, when others came before, into scratch and
 * is added by end_whole(). */
static float *begin_whole(const nq_grad_run *run, int index)
{
    int input = run->net->graph->nodes[index].input[0];
    return run->net->nodes[index].assign[0] ? tensor(run, input, NQ_GRAD_GRADIENT)
                                            : tensor(run, index, NQ_GRAD_SCRATCH);
}

static void end_whole(const nq_grad_run *run, int index)
{
    const nq_grad_net *net = run->net;
    int input = net->graph->nodes[index].input[0];
    if (!net->nodes[index].assign[0])
        net->backend->add_to(tensor(run, index, NQ_GRAD_SCRATCH),
                             pixels_of(run, input) * (size_t)net->graph->nodes[input].channels,
                             tensor(run, input, NQ_GRAD_GRADIENT));
}

/* The gradient of input 0, zeroed when the node is the first to add to it. */
static float *begin_part(const nq_grad_run *run, int index)
{
    const nq_grad_net *net = run->net;
    int input = net->graph->nodes[index].input[0];
    float *gradient = tensor(run, input, NQ_GRAD_GRADIENT);
    if (net->nodes[index].assign[0])
        memset(gradient, 0, net->nodes[input].spans[NQ_GRAD_GRADIENT].bytes);
    return gradient;
}

/* What the node's first input held, computed again where it was not kept. */
static const float *input_again(const nq_grad_run *run, int index)
{
    int input = run->net->graph->nodes[index].input[0];
    if (!run->net->nodes[input].after)
        return tensor(run, input, NQ_GRAD_KEPT);
    float *again = tensor(run, index, NQ_GRAD_AGAIN);
    activate(run, input, again);
    return again;
}

static nq_status layer_gradients(nq_grad_run *run, int index, const float *gradient, nq_error *err)
{
    const nq_grad_net *net = run->net;
    const nq_grad_node *g = &net->nodes[index];
    nq_status status = NQ_OK;
    if (g->weight) {
        const float *bias, *weight = nq_grad_run_weight_gradient(run, index, &bias);
        status = net->backend->layer_weight_gradient(
            run->thread, g->weight, input_again(run, index), gradient, (float *)(uintptr_t)weight,
            (float *)(uintptr_t)bias, err);
    }
    if (status == NQ_OK && g->data) {
        status = net->backend->layer_data_gradient(run->thread, g->data, gradient,
                                                   begin_whole(run, index), err);
        end_whole(run, index);
    }
    if (status != NQ_OK)
        nq_error_prefix(err, "layer %s", net->graph->nodes[index].name);
    return status;
}

static void add_gradients(const nq_grad_run *run, int index, const float *gradient)
{
    const nq_grad_net *net = run->net;
    const nq_node *node = &net->graph->nodes[index];
    size_t bytes = net->nodes[index].spans[NQ_GRAD_KEPT].bytes;
    for (int j = 0; j < node->inputs; j++) {
        float *to = tensor(run, node->input[j], NQ_GRAD_GRADIENT);
        if (net->nodes[index].skip[j])
            continue;
        if (net->nodes[index].assign[j])
            memcpy(to, gradient, bytes);
        else
            net->backend->add_to(gradient, bytes / sizeof *to, to);
    }
}

static void cat_gradients(const nq_grad_run *run, int index, const float *gradient)
{
    const nq_grad_net *net = run->net;
    const nq_node *node = &net->graph->nodes[index];
    int first = 0;
    for (int j = 0; j < node->inputs; j++) {
        int channels = nq_node_in_channels(net->graph, node, j);
        if (!net->nodes[index].skip[j])
            (net->nodes[index].assign[j] ? net->backend->copy_channels
                                         : net->backend->add_channels)(
                gradient, node->channels, first, tensor(run, node->input[j], NQ_GRAD_GRADIENT),
                channels, 0, channels, pixels_of(run, index));
        first += channels;
    }
}

/* Nodes of one input that move or pool values. */
static void move_gradient(const nq_grad_run *run, int index, const float *gradient)
{
    const nq_grad_net *net = run->net;
    const nq_node *node = &net->graph->nodes[index], *from = &net->graph->nodes[node->input[0]];
    nq_float_window window;
    if (net->nodes[index].skip[0])
        return;
    switch (node->op) {
    case NQ_OP_SLICE:
        net->backend->add_channels(gradient, node->channels, 0, begin_part(run, index),
                                   from->channels, node->first, node->channels,
                                   pixels_of(run, index));
        break;
    case NQ_OP_MAXPOOL:
        window = nq_float_window_of(net->graph, node, net->batch);
        net->backend->maxpool_gradient(&window, input_again(run, index), gradient,
                                       begin_part(run, index));
        break;
    case NQ_OP_SHUFFLE:
        net->backend->shuffle(gradient, node->channels, node->channels / node->groups,
                              pixels_of(run, index), begin_whole(run, index));
        end_whole(run, index);
        break;
    case NQ_OP_AVGPOOL:
        net->backend->avgpool_gradient(gradient, net->batch,
                                       (size_t)from->height * (size_t)from->width, node->channels,
                                       begin_whole(run, index));
        end_whole(run, index);
        break;
    default:
        break;
    }
}

static nq_status pass_on(nq_grad_run *run, int index, const float *gradient, nq_error *err)
{
    switch (run->net->graph->nodes[index].op) {
    case NQ_OP_INPUT:
        break;
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        return layer_gradients(run, index, gradient, err);
    case NQ_OP_ADD:
        add_gradients(run, index, gradient);
        break;
    case NQ_OP_CAT:
        cat_gradients(run, index, gradient);
        break;
    case NQ_OP_SLICE:
    case NQ_OP_SHUFFLE:
    case NQ_OP_MAXPOOL:
    case NQ_OP_AVGPOOL:
        move_gradient(run, index, gradient);
        break;
    }
    return NQ_OK;
}

static bool is_read(const nq_graph *graph, int index)
{
    for (int k = index + 1; k < graph->count; k++)
        for (int j = 0; j < graph->nodes[k].inputs; j++)
            if (graph->nodes[k].input[j] == index)
                return true;
    return false;
}

nq_status nq_grad_run_backward(nq_grad_run *run, nq_grad_hook hook, void *context, nq_error *err)
{
    const nq_grad_net *net = run->net;
    nq_status status = NQ_OK;
    net->backend->thread_enter(run->thread);
    for (int i = net->graph->count - 1; i >= 0 && status == NQ_OK; i--) {
        const nq_span *span = &net->nodes[i].spans[NQ_GRAD_GRADIENT];
        float *gradient = tensor(run, i, NQ_GRAD_GRADIENT);
        if (span->bytes == 0)
            continue;
        if (!is_read(net->graph, i))
            memset(gradient, 0, span->bytes);
        else if (net->nodes[i].after)
            activate_gradient(run, i);
        if (hook)
            status = hook(context, i, tensor(run, i, NQ_GRAD_KEPT), gradient, err);
        if (status == NQ_OK)
            status = pass_on(run, i, gradient, err);
    }
    return status;
}
