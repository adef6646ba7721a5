/*
 * Lets a script run single operators of a quantized network.
 *
 *   run_ops --nodes ARCH CLASSES   the structure: a line "OP NAME CHANNELS HEIGHT WIDTH RELU FIRST
 *                                  INPUT..." for each node
 *   run_ops MODEL.safetensors      answers requests on stdin: i32 node, i32 images, then u8
 *                                  [images][H][W][C] of each input of the node, one input after the
 *                                  other (node 0: crops). The answer is u8 [images][H][W][C] of its
 *                                  output. Node -1 is the whole network: crops in, logits out.
 */
#include "common/file.h"
#include "worker/imagenet/crop.h"
#include "worker/integer/engine.h"
#include "worker/output/model_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ops[] = {"input", "conv",    "linear",  "add",    "cat",
                                  "slice", "shuffle", "maxpool", "avgpool"};

static int print_nodes(const char *arch, int classes)
{
    nq_graph graph;
    nq_error err = {0};
    if (nq_graph_build(arch, classes, &graph, &err) != NQ_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < graph.count; i++) {
        const nq_node *n = &graph.nodes[i];
        printf("%s %s %d %d %d %d %d", ops[n->op], n->name, n->channels, n->height, n->width,
               n->relu, n->first);
        for (int k = 0; k < n->inputs; k++)
            printf(" %d", n->input[k]);
        printf("\n");
    }
    nq_graph_free(&graph);
    return 0;
}

typedef struct {
    nq_qmodel model;
    nq_plan *plan;
    nq_engine *engine;
} network;

static nq_status load(const char *path, network *net, nq_error *err)
{
    const nq_kernels *kernels;
    uint8_t *data;
    size_t size;
    nq_status status = nq_file_read(path, (size_t)1 << 30, &data, &size, err);
    if (status != NQ_OK)
        return status;
    status = nq_model_file_decode(data, size, path, &net->model, err);
    free(data);
    if (status == NQ_OK)
        status = nq_kernels_select(&kernels, err);
    if (status == NQ_OK)
        status = nq_plan_create(&net->model, kernels, &net->plan, err);
    if (status == NQ_OK)
        status = nq_engine_create(net->plan, &net->engine, err);
    return status;
}

static size_t input_bytes(const nq_graph *graph, int node, int k)
{
    if (node <= 0)
        return NQ_CROP_BYTES;
    return nq_node_elements(&graph->nodes[graph->nodes[node].input[k]]);
}

/* Reads the request's inputs, runs every image, writes the outputs. */
static int answer(network *net, int node, size_t images)
{
    const nq_graph *graph = &net->model.graph;
    int inputs = node <= 0 ? 1 : graph->nodes[node].inputs, good = 1;
    size_t out_bytes = nq_node_elements(&graph->nodes[node < 0 ? graph->count - 1 : node]);
    uint8_t *in[NQ_NODE_INPUTS] = {NULL}, *out = malloc(images * out_bytes);
    for (int k = 0; k < inputs && good; k++) {
        size_t bytes = images * input_bytes(graph, node, k);
        in[k] = malloc(bytes);
        good = in[k] && fread(in[k], 1, bytes, stdin) == bytes;
    }
    for (size_t i = 0; i < images && good && out; i++) {
        const uint8_t *one[NQ_NODE_INPUTS] = {NULL};
        nq_error err = {0};
        for (int k = 0; k < inputs; k++)
            one[k] = in[k] + i * input_bytes(graph, node, k);
        if (node < 0)
            nq_engine_run(net->engine, one[0], 1, out + i * out_bytes);
        else
            good = nq_engine_run_node(net->engine, node, one, out + i * out_bytes, &err) == NQ_OK;
    }
    good = good && out && fwrite(out, 1, images * out_bytes, stdout) == images * out_bytes;
    fflush(stdout);
    for (int k = 0; k < inputs; k++)
        free(in[k]);
    free(out);
    return good;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--nodes") == 0)
        return print_nodes(argv[2], atoi(argv[3]));
    if (argc != 2) {
        fprintf(stderr, "usage: run_ops MODEL.safetensors | run_ops --nodes ARCH CLASSES\n");
        return 2;
    }
    network net = {0};
    nq_error err = {0};
    int status = 0;
    int32_t request[2];
    if (load(argv[1], &net, &err) != NQ_OK) {
        fprintf(stderr, "%s\n", err.text);
        status = 1;
    }
    while (status == 0 && fread(request, sizeof request, 1, stdin) == 1) {
        bool known = request[0] >= -1 && request[0] < net.model.graph.count && request[1] > 0;
        status = known && answer(&net, request[0], (size_t)request[1]) ? 0 : 1;
    }
    nq_engine_free(net.engine);
    nq_plan_free(net.plan);
    nq_qmodel_free(&net.model);
    return status;
}
