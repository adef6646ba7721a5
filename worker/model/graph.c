#include "worker/model/graph.h"
#include "worker/model/graph_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_SIZE  224
#define MAX_CLASSES 65536

/* A new architecture is one file and one line here (and its figures in common/arch.c). */
static const struct {
    const char *name;
    void (*build)(nq_graph_builder *b, int classes);
} archs[] = {
    {"resnet18", nq_arch_resnet18},
    {"mobilenet_v2", nq_arch_mobilenet_v2},
    {"shufflenet_v2_x1_0", nq_arch_shufflenet_v2_x1_0},
    {"shufflenet_v2_x0_5", nq_arch_shufflenet_v2_x0_5},
};

static nq_status add_input(nq_graph *graph, nq_graph_builder *b)
{
    b->room = 64;
    graph->nodes = calloc((size_t)b->room, sizeof *graph->nodes);
    if (!graph->nodes)
        return nq_fail_nomem(b->err, "the graph", (size_t)b->room * sizeof *graph->nodes);
    nq_node *node = &graph->nodes[graph->count++];
    *node = (nq_node){.op = NQ_OP_INPUT,
                      .name = "quant",
                      .channels = 3,
                      .height = IMAGE_SIZE,
                      .width = IMAGE_SIZE,
                      .kernel_h = 1,
                      .kernel_w = 1,
                      .stride = 1,
                      .groups = 1};
    return NQ_OK;
}

nq_status nq_graph_build(const char *arch, int classes, nq_graph *graph, nq_error *err)
{
    *graph = (nq_graph){0};
    if (classes < 1 || classes > MAX_CLASSES)
        return nq_fail(err, NQ_ERR_INPUT, "%s: %d classes are not in 1..%d", arch, classes,
                       MAX_CLASSES);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (strcmp(arch, archs[i].name) != 0)
            continue;
        nq_graph_builder b = {.graph = graph, .err = err};
        snprintf(graph->arch, sizeof graph->arch, "%s", arch);
        graph->classes = classes;
        b.status = add_input(graph, &b);
        archs[i].build(&b, classes);
        if (b.status != NQ_OK)
            nq_graph_free(graph);
        return b.status;
    }
    return nq_fail(err, NQ_ERR_MISSING, "%.64s is not an architecture that netq knows", arch);
}

static float *copy_values(const float *from, size_t count, bool *failed)
{
    float *to = from ? malloc(count * sizeof *to) : NULL;
    if (to)
        memcpy(to, from, count * sizeof *to);
    *failed |= from && !to;
    return to;
}

/* Replaces the pointers that `node` shares with the original by copies of what they point to. */
static bool own_values(const nq_graph *graph, nq_node *node)
{
    size_t channels = (size_t)node->channels;
    bool failed = false;
    nq_batch_norm *norm = &node->norm;
    if (node->weight)
        node->weight = copy_values(node->weight, nq_node_weights(graph, node), &failed);
    node->bias = copy_values(node->bias, channels, &failed);
    norm->gamma = copy_values(norm->gamma, channels, &failed);
    norm->beta = copy_values(norm->beta, channels, &failed);
    norm->mean = copy_values(norm->mean, channels, &failed);
    norm->var = copy_values(norm->var, channels, &failed);
    return !failed;
}

nq_status nq_graph_copy(const nq_graph *graph, nq_graph *copy, nq_error *err)
{
    size_t bytes = (size_t)graph->count * sizeof *graph->nodes;
    *copy = *graph;
    copy->count = 0;
    copy->nodes = malloc(bytes);
    if (!copy->nodes)
        return nq_fail_nomem(err, "a copy of the graph", bytes);
    memcpy(copy->nodes, graph->nodes, bytes);
    bool whole = true;
    while (whole && copy->count < graph->count)
        whole = own_values(graph, &copy->nodes[copy->count++]);
    if (whole)
        return NQ_OK;
    nq_graph_free(copy);
    return nq_fail_nomem(err, "a copy of the graph's weights", bytes);
}

void nq_graph_free(nq_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        nq_node *node = &graph->nodes[i];
        free(node->weight);
        free(node->bias);
        free(node->norm.gamma);
        free(node->norm.beta);
        free(node->norm.mean);
        free(node->norm.var);
    }
    free(graph->nodes);
    *graph = (nq_graph){0};
}

int nq_graph_find(const nq_graph *graph, const char *name)
{
    for (int i = 0; i < graph->count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return i;
    return -1;
}
