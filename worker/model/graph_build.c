#include "worker/model/graph_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(nq_graph_builder *b, const char *what, const char *name)
{
    b->status = nq_fail(b->err, NQ_ERR_INTERNAL, "%s: node \"%s%s\": %s", b->graph->arch, b->block,
                        name, what);
    return -1;
}

void nq_build_block(nq_graph_builder *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(b->block, sizeof b->block, format, arguments);
    va_end(arguments);
    if (b->status == NQ_OK && (size_t)length >= sizeof b->block)
        fail(b, "the block's name is too long", "");
}

int nq_build_channels(const nq_graph_builder *b, int node)
{
    return b->status == NQ_OK ? b->graph->nodes[node].channels : 1;
}

/* A node with the height and width of its first input; NULL once the builder has failed. */
static nq_node *add_node(nq_graph_builder *b, nq_op op, const char *name, int first, int second)
{
    nq_graph *graph = b->graph;
    if (b->status != NQ_OK)
        return NULL;
    if (graph->count == b->room) {
        int room = b->room ? 2 * b->room : 64;
        nq_node *grown = realloc(graph->nodes, (size_t)room * sizeof *grown);
        if (!grown) {
            b->status = nq_fail_nomem(b->err, "the graph", (size_t)room * sizeof *grown);
            return NULL;
        }
        graph->nodes = grown;
        b->room = room;
    }
    nq_node *node = &graph->nodes[graph->count];
    *node = (nq_node){.op = op, .kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 1};
    int length = snprintf(node->name, sizeof node->name, "%s%s", b->block, name);
    if ((size_t)length >= sizeof node->name || nq_graph_find(graph, node->name) >= 0) {
        fail(b, "its name is too long or taken", name);
        return NULL;
    }
    if (first >= 0)
        node->input[node->inputs++] = first;
    if (second >= 0)
        node->input[node->inputs++] = second;
    if (first >= 0) {
        node->channels = graph->nodes[first].channels;
        node->height = graph->nodes[first].height;
        node->width = graph->nodes[first].width;
    }
    graph->count++;
    return node;
}

static int index_of(const nq_graph_builder *b, const nq_node *node)
{
    return node ? (int)(node - b->graph->nodes) : -1;
}

static void set_window(nq_node *node, int kernel, int stride, int pad)
{
    node->kernel_h = node->kernel_w = kernel;
    node->stride = stride;
    node->pad_h = node->pad_w = pad;
    node->height = (node->height + 2 * pad - kernel) / stride + 1;
    node->width = (node->width + 2 * pad - kernel) / stride + 1;
}

int nq_build_conv(nq_graph_builder *b, int input, nq_conv_shape shape, const char *name,
                  const char *norm)
{
    nq_node *node = add_node(b, NQ_OP_CONV, name, input, -1);
    if (!node)
        return -1;
    if (node->channels % shape.groups != 0 || shape.channels % shape.groups != 0)
        return fail(b, "channels are no multiple of its groups", name);
    node->channels = shape.channels;
    node->groups = shape.groups;
    node->relu = shape.relu;
    set_window(node, shape.kernel, shape.stride, shape.kernel / 2);
    snprintf(node->weight_key, sizeof node->weight_key, "%s.weight", node->name);
    int length = snprintf(node->norm_key, sizeof node->norm_key, "%s%s", b->block, norm);
    if ((size_t)length >= sizeof node->norm_key)
        return fail(b, "its batch norm's name is too long", name);
    return index_of(b, node);
}

int nq_build_linear(nq_graph_builder *b, int input, int channels, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_LINEAR, name, input, -1);
    if (!node)
        return -1;
    if (node->height != 1 || node->width != 1)
        return fail(b, "a linear layer reads a pooled tensor", name);
    node->channels = channels;
    snprintf(node->weight_key, sizeof node->weight_key, "%s.weight", node->name);
    return index_of(b, node);
}

int nq_build_add(nq_graph_builder *b, int first, int second, bool relu, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_ADD, name, first, second);
    if (!node)
        return -1;
    const nq_node *other = &b->graph->nodes[second];
    if (other->channels != node->channels || other->height != node->height ||
        other->width != node->width)
        return fail(b, "its inputs differ in shape", name);
    node->relu = relu;
    return index_of(b, node);
}

int nq_build_cat(nq_graph_builder *b, int first, int second, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_CAT, name, first, second);
    if (!node)
        return -1;
    const nq_node *other = &b->graph->nodes[second];
    if (other->height != node->height || other->width != node->width)
        return fail(b, "its inputs differ in shape", name);
    node->channels += other->channels;
    return index_of(b, node);
}

int nq_build_slice(nq_graph_builder *b, int input, int first, int channels, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_SLICE, name, input, -1);
    if (!node)
        return -1;
    if (first + channels > node->channels)
        return fail(b, "it reaches outside its input", name);
    node->first = first;
    node->channels = channels;
    return index_of(b, node);
}

int nq_build_shuffle(nq_graph_builder *b, int input, int groups, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_SHUFFLE, name, input, -1);
    if (!node)
        return -1;
    if (node->channels % groups != 0)
        return fail(b, "channels are no multiple of its groups", name);
    node->groups = groups;
    return index_of(b, node);
}

int nq_build_maxpool(nq_graph_builder *b, int input, int kernel, int stride, int pad,
                     const char *name)
{
    nq_node *node = add_node(b, NQ_OP_MAXPOOL, name, input, -1);
    if (!node)
        return -1;
    set_window(node, kernel, stride, pad);
    return index_of(b, node);
}

int nq_build_avgpool(nq_graph_builder *b, int input, const char *name)
{
    nq_node *node = add_node(b, NQ_OP_AVGPOOL, name, input, -1);
    if (!node)
        return -1;
    node->height = node->width = 1;
    return index_of(b, node);
}
