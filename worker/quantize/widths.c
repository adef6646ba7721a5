#include "worker/quantize/widths.h"
#include <stdlib.h>
#include <string.h>

int nq_widths_source(const nq_graph *graph, int node)
{
    while (!nq_node_observed(&graph->nodes[node]))
        node = graph->nodes[node].input[0];
    return node;
}

static int find_kept(const nq_graph *graph, const char *name)
{
    if (strcmp(name, "first") == 0) {
        for (int i = 0; i < graph->count; i++)
            if (graph->nodes[i].op == NQ_OP_CONV)
                return i;
        return -1;
    }
    if (strcmp(name, "last") == 0) {
        for (int i = graph->count - 1; i >= 0; i--)
            if (nq_node_has_weight(&graph->nodes[i]))
                return i;
        return -1;
    }
    int i = nq_graph_find(graph, name);
    return i >= 0 && nq_node_has_weight(&graph->nodes[i]) ? i : -1;
}

/* Bits of every layer's weights and of what it reads. */
static nq_status decide_layers(const nq_graph *graph, const nq_spec *spec, const int *weight_bits,
                               nq_width *widths, nq_error *err)
{
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        widths[i] = (nq_width){0};
        if (!nq_node_has_weight(node))
            continue;
        bool images = nq_widths_source(graph, node->input[0]) == 0;
        widths[i].weights = weight_bits ? weight_bits[i] : spec->weights.bits;
        widths[i].read = images ? 8 : spec->activations.bits;
    }
    for (size_t k = 0; k < spec->keep_count; k++) {
        int i = find_kept(graph, spec->keep_8bit[k]);
        if (i < 0)
            return nq_fail(err, NQ_ERR_INPUT,
                           "keep_8bit: \"%s\" is no convolution or linear layer of %s; give "
                           "\"first\", \"last\" or a layer's name, such as \"%s\"",
                           spec->keep_8bit[k], graph->arch,
                           graph->nodes[find_kept(graph, "last")].name);
        widths[i] = (nq_width){.weights = 8, .read = 8, .kept = true};
    }
    return NQ_OK;
}

/* How a tensor is read. */
typedef struct {
    int readers; /* nodes that read it directly */
    int layer;   /* one of them that is a layer, or -1 */
    bool wide;   /* a layer of keep_8bit reads it, or it is the result, perhaps through others */
} reading;

static void find_readers(const nq_graph *graph, const nq_width *widths, reading *readings)
{
    for (int i = 0; i < graph->count; i++)
        readings[i] = (reading){.layer = -1};
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        for (int j = 0; j < node->inputs; j++) {
            reading *r = &readings[node->input[j]];
            r->readers++;
            if (nq_node_has_weight(node))
                r->layer = i;
        }
        if (widths[i].kept)
            readings[nq_widths_source(graph, node->input[0])].wide = true;
    }
    readings[nq_widths_source(graph, graph->count - 1)].wide = true;
}

static int stored_bits(const nq_node *node, const reading *r, const nq_width *widths, int shortcut)
{
    if (node->op == NQ_OP_INPUT || r->wide)
        return 8;
    if (nq_node_has_weight(node) && r->readers == 1 && r->layer >= 0)
        return widths[r->layer].read;
    return shortcut;
}

nq_status nq_widths_decide(const nq_graph *graph, const nq_spec *spec, const int *weight_bits,
                           nq_width *widths, nq_error *err)
{
    nq_status status = decide_layers(graph, spec, weight_bits, widths, err);
    if (status != NQ_OK)
        return status;
    reading *readings = calloc((size_t)graph->count, sizeof *readings);
    if (!readings)
        return nq_fail_nomem(err, "tensor widths", (size_t)graph->count * sizeof *readings);
    find_readers(graph, widths, readings);
    for (int i = 0; i < graph->count; i++) {
        int source = nq_widths_source(graph, i);
        widths[i].stored = source < i ? widths[source].stored
                                      : stored_bits(&graph->nodes[i], &readings[i], widths,
                                                    spec->activations.shortcut_bits);
    }
    free(readings);
    return NQ_OK;
}
