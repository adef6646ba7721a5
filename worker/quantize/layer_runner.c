#include "worker/quantize/layer_runner.h"

#include "worker/float/float_net.h"
#include <stdlib.h>

typedef struct {
    nq_float_thread *thread;
    float *in, *out;
} runner_room;

struct nq_layer_runner {
    const nq_graph *graph;
    const nq_float_backend *backend;
    nq_float_device *device;
    nq_float_layer **layers; /* [graph->count] */
    nq_float_layer *trial;
    runner_room *rooms;
    int threads;
};

static nq_float_shape shape_of(const nq_layer_runner *runner, int node)
{
    nq_float_shape shape =
        nq_float_shape_of(runner->graph, &runner->graph->nodes[node], NQ_RUNNER_SLICE);
    shape.bias = shape.relu = 0;
    return shape;
}

static nq_status create_layers(nq_layer_runner *runner, nq_error *err)
{
    const nq_graph *graph = runner->graph;
    nq_status status = runner->backend->device_create(&runner->device, err);
    for (int i = 0; status == NQ_OK && i < graph->count; i++) {
        if (!nq_node_has_weight(&graph->nodes[i]))
            continue;
        nq_float_shape shape = shape_of(runner, i);
        status = runner->backend->layer_create(runner->device, &shape, graph->nodes[i].weight, NULL,
                                               &runner->layers[i], err);
    }
    return status;
}

static nq_status create_room(nq_layer_runner *runner, runner_room *room, nq_error *err)
{
    const nq_graph *graph = runner->graph;
    size_t in = 0, out = 0;
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        if (!nq_node_has_weight(node))
            continue;
        size_t from = nq_node_elements(&graph->nodes[node->input[0]]), to = nq_node_elements(node);
        in = from > in ? from : in;
        out = to > out ? to : out;
    }
    size_t slice = NQ_RUNNER_SLICE * sizeof(float);
    void *a = NULL, *b = NULL;
    if (posix_memalign(&a, 64, in * slice) != 0 || posix_memalign(&b, 64, out * slice) != 0) {
        free(a);
        return nq_fail_nomem(err, "a slice of a layer", (in + out) * slice);
    }
    room->in = a;
    room->out = b;
    return runner->backend->thread_create(runner->device, &room->thread, err);
}

nq_status nq_layer_runner_create(const nq_graph *graph, int threads, nq_layer_runner **runner,
                                 nq_error *err)
{
    nq_layer_runner *made = calloc(1, sizeof *made);
    if (!made)
        return nq_fail_nomem(err, "a layer runner", sizeof *made);
    made->graph = graph;
    made->backend = &nq_float_onednn;
    made->threads = threads;
    made->layers = calloc((size_t)graph->count, sizeof *made->layers);
    made->rooms = calloc((size_t)threads, sizeof *made->rooms);
    nq_status status = made->layers && made->rooms
                           ? create_layers(made, err)
                           : nq_fail_nomem(err, "a layer runner", sizeof *made);
    for (int t = 0; status == NQ_OK && t < threads; t++)
        status = create_room(made, &made->rooms[t], err);
    if (status != NQ_OK) {
        nq_layer_runner_free(made);
        return status;
    }
    *runner = made;
    return NQ_OK;
}

void nq_layer_runner_free(nq_layer_runner *runner)
{
    if (!runner)
        return;
    for (int t = 0; runner->rooms && t < runner->threads; t++) {
        runner->backend->thread_free(runner->rooms[t].thread);
        free(runner->rooms[t].in);
        free(runner->rooms[t].out);
    }
    for (int i = 0; runner->layers && i < runner->graph->count; i++)
        runner->backend->layer_free(runner->layers[i]);
    runner->backend->layer_free(runner->trial);
    runner->backend->device_free(runner->device);
    free(runner->layers);
    free(runner->rooms);
    free(runner);
}

/* The node's float layer made the kernel already, so that threads know it. */
nq_status nq_layer_runner_try(nq_layer_runner *runner, int node, const float *weight, nq_error *err)
{
    nq_float_shape shape = shape_of(runner, node);
    runner->backend->layer_free(runner->trial);
    runner->trial = NULL;
    return runner->backend->layer_create(runner->device, &shape, weight, NULL, &runner->trial, err);
}

float *nq_layer_runner_in(nq_layer_runner *runner, int thread)
{
    return runner->rooms[thread].in;
}

float *nq_layer_runner_out(nq_layer_runner *runner, int thread)
{
    return runner->rooms[thread].out;
}

nq_status nq_layer_runner_run(nq_layer_runner *runner, int thread, int node, bool trial,
                              nq_error *err)
{
    runner_room *room = &runner->rooms[thread];
    runner->backend->thread_enter(room->thread);
    return runner->backend->layer_forward(
        room->thread, trial ? runner->trial : runner->layers[node], room->in, room->out, err);
}
