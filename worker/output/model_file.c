#include "worker/output/model_file.h"
#include "common/version.h"
#include "worker/output/model_layout.h"
#include "worker/output/packing.h"
#include "worker/output/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const nq_qmodel *model;
    nq_st_tensor *tensors; /* names and data are malloc'd */
    size_t count;
    nq_status status; /* the first failure */
    nq_error *err;
} writer;

/* The next tensor's zeroed data; NULL when out of memory. */
static void *add_tensor(writer *w, const char *stem, const char *leaf, nq_st_tensor layout)
{
    nq_st_tensor *t = &w->tensors[w->count++];
    char *name = malloc(NQ_TENSOR_NAME);
    void *data = calloc(layout.bytes, 1);
    *t = layout;
    t->name = name;
    t->data = data;
    if (!name || !data) {
        w->status = nq_fail_nomem(w->err, "a model file", layout.bytes);
        return NULL;
    }
    snprintf(name, NQ_TENSOR_NAME, "%s.%s", stem, leaf);
    return data;
}

static void add_floats(writer *w, const char *stem, const char *leaf, const float *values, size_t n)
{
    void *data = add_tensor(w, stem, leaf, nq_layout_vector(NQ_ST_F32, n));
    if (data)
        memcpy(data, values, n * sizeof *values);
}

static void add_weight(writer *w, const nq_node *n, const nq_qnode *q)
{
    const size_t channels = (size_t)n->channels;
    const size_t depth = nq_node_weights(&w->model->graph, n) / channels;
    const nq_st_tensor layout = nq_layout_weight(&w->model->graph, n, q->weight_bits);
    uint8_t *data = add_tensor(w, n->name, "weight", layout);
    int8_t *row = malloc(depth);
    if (!row)
        w->status = nq_fail_nomem(w->err, n->name, depth);
    for (size_t o = 0; o < channels && data && row; o++) {
        nq_layout_to_torch(n, q->weight + o * depth, depth, row);
        nq_pack_row(row, depth, q->weight_bits, data + o * (layout.bytes / channels));
    }
    free(row);
}

static void add_activations(writer *w)
{
    const nq_graph *graph = &w->model->graph;
    const nq_st_tensor floats = nq_layout_vector(NQ_ST_F32, (size_t)graph->count);
    const nq_st_tensor bytes = nq_layout_vector(NQ_ST_U8, (size_t)graph->count);
    float *scale = add_tensor(w, "activation", "scale", floats);
    uint8_t *zero = add_tensor(w, "activation", "zero_point", bytes);
    uint8_t *qmax = add_tensor(w, "activation", "qmax", bytes);
    uint8_t *bits = add_tensor(w, "weight", "bits", bytes);
    for (int i = 0; i < graph->count && w->status == NQ_OK; i++) {
        const nq_qnode *q = &w->model->nodes[i];
        scale[i] = q->out.scale;
        zero[i] = (uint8_t)q->out.zero_point;
        qmax[i] = (uint8_t)q->out.qmax;
        bits[i] = (uint8_t)(nq_node_has_weight(&graph->nodes[i]) ? q->weight_bits : 0);
    }
}

/* The second parameters of inputs that are requantized: a row for each node that has them. */
static void add_tables(writer *w)
{
    size_t rows = 0, row = 0;
    for (int i = 0; i < w->model->graph.count; i++)
        rows += w->model->nodes[i].has_table;
    if (rows == 0)
        return;
    int32_t *node = add_tensor(w, "requantize", "node", nq_layout_vector(NQ_ST_I32, rows));
    float *scale = add_tensor(w, "requantize", "scale", nq_layout_vector(NQ_ST_F32, rows));
    uint8_t *zero = add_tensor(w, "requantize", "zero_point", nq_layout_vector(NQ_ST_U8, rows));
    uint8_t *qmax = add_tensor(w, "requantize", "qmax", nq_layout_vector(NQ_ST_U8, rows));
    for (int i = 0; i < w->model->graph.count && w->status == NQ_OK; i++) {
        const nq_qnode *q = &w->model->nodes[i];
        if (!q->has_table)
            continue;
        node[row] = i;
        scale[row] = q->in.scale;
        zero[row] = (uint8_t)q->in.zero_point;
        qmax[row++] = (uint8_t)q->in.qmax;
    }
}

static void add_everything(writer *w)
{
    for (int i = 0; i < w->model->graph.count; i++) {
        const nq_node *n = &w->model->graph.nodes[i];
        const nq_qnode *q = &w->model->nodes[i];
        if (!nq_node_has_weight(n))
            continue;
        add_weight(w, n, q);
        add_floats(w, n->name, "weight_scale", q->weight_scale, (size_t)q->scales);
        if (q->bias)
            add_floats(w, n->name, "bias", q->bias, (size_t)n->channels);
    }
    add_activations(w);
    add_tables(w);
}

static json_t *make_metadata(const nq_graph *graph)
{
    char classes[16], format[16], *names = nq_layout_nodes(graph);
    snprintf(classes, sizeof classes, "%d", graph->classes);
    snprintf(format, sizeof format, "%d", NQ_MODEL_FORMAT);
    json_t *metadata = NULL;
    if (names)
        metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "netq", "model_format", format,
                             "arch", graph->arch, "classes", classes, "nodes", names);
    free(names);
    return metadata;
}

nq_status nq_model_file_encode(const nq_qmodel *model, uint8_t **data, size_t *size, nq_error *err)
{
    *data = NULL;
    *size = 0;
    nq_status status = nq_qmodel_check(model, err);
    if (status != NQ_OK)
        return status;
    size_t room = 3 * (size_t)model->graph.count + 8; /* a node has three at most */
    writer w = {.model = model, .tensors = calloc(room, sizeof *w.tensors), .err = err};
    json_t *metadata = make_metadata(&model->graph);
    if (w.tensors && metadata)
        add_everything(&w);
    else
        w.status = nq_fail_nomem(err, "a model file", room * sizeof *w.tensors);
    if (w.status == NQ_OK)
        w.status = nq_safetensors_write(metadata, w.tensors, w.count, data, size, err);
    for (size_t i = 0; i < w.count; i++) {
        free((char *)w.tensors[i].name);
        free((void *)w.tensors[i].data);
    }
    free(w.tensors);
    json_decref(metadata);
    return w.status;
}
