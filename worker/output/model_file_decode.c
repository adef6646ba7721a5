#include "common/version.h"
#include "worker/output/model_file.h"
#include "worker/output/model_layout.h"
#include "worker/output/packing.h"
#include "worker/output/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *metadata_text(const nq_safetensors *file, const char *key)
{
    const char *text = json_string_value(json_object_get(file->metadata, key));
    return text ? text : "";
}

/* A number written as nq_model_file_encode() writes it; -1 for anything else. */
static int metadata_number(const nq_safetensors *file, const char *key)
{
    const char *text = metadata_text(file, key);
    char again[16];
    long n = strtol(text, NULL, 10);
    if (n < 0 || n > 1000000)
        return -1;
    snprintf(again, sizeof again, "%ld", n);
    return strcmp(text, again) == 0 ? (int)n : -1;
}

/* Whether the file is large enough for the network that it names, before memory is taken for it:
 * a weight has at least 2 bits. */
static nq_status check_size(const nq_graph *graph, size_t size, nq_error *err)
{
    uint64_t weights = 0;
    for (int i = 0; i < graph->count; i++)
        if (nq_node_has_weight(&graph->nodes[i]))
            weights += nq_node_weights(graph, &graph->nodes[i]);
    if (size < weights / 4)
        return nq_fail(err, NQ_ERR_INPUT, "%zu bytes cannot hold the %llu weights of %s", size,
                       (unsigned long long)weights, graph->arch);
    return NQ_OK;
}

static nq_status read_metadata(const nq_safetensors *file, size_t size, nq_qmodel *model,
                               nq_error *err)
{
    if (strcmp(metadata_text(file, "format"), "netq") != 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "__metadata__: format \"%.40s\" is not \"netq\": not a quantized network of "
                       "netq's",
                       metadata_text(file, "format"));
    if (metadata_number(file, "model_format") != NQ_MODEL_FORMAT)
        return nq_fail(err, NQ_ERR_INPUT,
                       "__metadata__: model_format \"%.40s\" is not %d, the one this netq reads",
                       metadata_text(file, "model_format"), NQ_MODEL_FORMAT);
    const char *arch = metadata_text(file, "arch");
    int classes = metadata_number(file, "classes");
    if (classes < 0)
        return nq_fail(err, NQ_ERR_INPUT, "__metadata__: classes \"%.40s\" is no number of classes",
                       metadata_text(file, "classes"));
    nq_graph graph;
    nq_status status = nq_graph_build(arch, classes, &graph, err);
    if (status != NQ_OK) /* the file is wrong, whatever the graph calls it */
        return status == NQ_ERR_MISSING ? nq_fail(err, NQ_ERR_INPUT,
                                                  "__metadata__: \"%.64s\" is not an architecture "
                                                  "that netq knows",
                                                  arch)
                                        : status;
    char *names = nq_layout_nodes(&graph);
    if (!names)
        status = nq_fail_nomem(err, "a model file", (size_t)graph.count * NQ_NODE_NAME);
    else if (strcmp(names, metadata_text(file, "nodes")) != 0)
        status = nq_fail(err, NQ_ERR_INPUT, "__metadata__: nodes are not those of %.64s", arch);
    else
        status = check_size(&graph, size, err);
    free(names);
    nq_graph_free(&graph);
    return status == NQ_OK ? nq_qmodel_create(arch, classes, model, err) : status;
}

/* The data of tensor "STEM.LEAF", which must look like `layout`. */
static nq_status take(nq_safetensors *file, const char *stem, const char *leaf, nq_st_tensor layout,
                      const void **data, nq_error *err)
{
    char name[NQ_TENSOR_NAME];
    snprintf(name, sizeof name, "%s.%s", stem, leaf);
    const nq_st_tensor *t = nq_safetensors_take(file, name);
    if (!t)
        return nq_fail(err, NQ_ERR_INPUT, "tensor \"%s\" is missing", name);
    bool same = t->type == layout.type && t->rank == layout.rank;
    for (int i = 0; i < layout.rank && same; i++)
        same = t->shape[i] == layout.shape[i];
    if (!same)
        return nq_fail(err, NQ_ERR_INPUT, "tensor \"%s\" has the wrong type or shape", name);
    *data = t->data;
    return NQ_OK;
}

static nq_status read_floats(nq_safetensors *file, const char *stem, const char *leaf,
                             float *values, size_t n, nq_error *err)
{
    const void *data;
    nq_status status = take(file, stem, leaf, nq_layout_vector(NQ_ST_F32, n), &data, err);
    if (status == NQ_OK)
        memcpy(values, data, n * sizeof *values);
    return status;
}

static nq_status read_weight(nq_safetensors *file, const nq_graph *graph, const nq_node *n,
                             nq_qnode *q, nq_error *err)
{
    const nq_st_tensor layout = nq_layout_weight(graph, n, q->weight_bits);
    const size_t channels = (size_t)n->channels, depth = nq_node_weights(graph, n) / channels;
    const void *data;
    nq_status status = take(file, n->name, "weight", layout, &data, err);
    if (status != NQ_OK)
        return status;
    int8_t *row = malloc(depth);
    if (!row)
        return nq_fail_nomem(err, n->name, depth);
    for (size_t o = 0; o < channels; o++) {
        nq_unpack_row((const uint8_t *)data + o * (layout.bytes / channels), depth, q->weight_bits,
                      row);
        nq_layout_from_torch(n, row, depth, q->weight + o * depth);
    }
    free(row);
    return NQ_OK;
}

/* One scale, or one a channel: the tensor's own shape says which. */
static nq_status read_scales(nq_safetensors *file, nq_qmodel *model, int i, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    char name[NQ_TENSOR_NAME];
    snprintf(name, sizeof name, "%s.weight_scale", n->name);
    const nq_st_tensor *t = nq_safetensors_take(file, name);
    int scales = t && t->rank == 1 && t->shape[0] == 1 ? 1 : n->channels;
    nq_status status = nq_qnode_set_scales(model, i, scales, err);
    if (status != NQ_OK)
        return status;
    return read_floats(file, n->name, "weight_scale", model->nodes[i].weight_scale, (size_t)scales,
                       err);
}

static nq_status read_layer(nq_safetensors *file, nq_qmodel *model, int i, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    nq_qnode *q = &model->nodes[i];
    nq_status status = read_weight(file, &model->graph, n, q, err);
    if (status == NQ_OK)
        status = read_scales(file, model, i, err);
    if (status != NQ_OK)
        return status;
    char name[NQ_TENSOR_NAME];
    snprintf(name, sizeof name, "%s.bias", n->name);
    if (nq_safetensors_take(file, name))
        return read_floats(file, n->name, "bias", q->bias, (size_t)n->channels, err);
    free(q->bias);
    q->bias = NULL;
    return NQ_OK;
}

/* Parameters as the file has them, a row each. */
typedef struct {
    const uint8_t *scale, *zero, *qmax;
} param_rows;

static nq_status take_rows(nq_safetensors *file, const char *stem, size_t count, param_rows *rows,
                           nq_error *err)
{
    const nq_st_tensor bytes = nq_layout_vector(NQ_ST_U8, count);
    const void *scale = NULL, *zero = NULL, *qmax = NULL;
    nq_status status = take(file, stem, "scale", nq_layout_vector(NQ_ST_F32, count), &scale, err);
    if (status == NQ_OK)
        status = take(file, stem, "zero_point", bytes, &zero, err);
    if (status == NQ_OK)
        status = take(file, stem, "qmax", bytes, &qmax, err);
    *rows = (param_rows){scale, zero, qmax};
    return status;
}

static nq_qparams row_at(const param_rows *rows, size_t i)
{
    nq_qparams p = {.zero_point = rows->zero[i], .qmax = rows->qmax[i]};
    memcpy(&p.scale, rows->scale + i * sizeof p.scale, sizeof p.scale);
    return p;
}

static nq_status read_activations(nq_safetensors *file, nq_qmodel *model, nq_error *err)
{
    const size_t count = (size_t)model->graph.count;
    const void *bits = NULL;
    param_rows rows;
    nq_status status = take_rows(file, "activation", count, &rows, err);
    if (status == NQ_OK)
        status = take(file, "weight", "bits", nq_layout_vector(NQ_ST_U8, count), &bits, err);
    for (size_t i = 0; i < count && status == NQ_OK; i++) {
        nq_qnode *q = &model->nodes[i];
        const nq_node *n = &model->graph.nodes[i];
        q->out = row_at(&rows, i);
        q->weight_bits = ((const uint8_t *)bits)[i];
        bool layer = nq_node_has_weight(n);
        if (layer ? q->weight_bits < 2 || q->weight_bits > 8 : q->weight_bits != 0)
            status = nq_fail(err, NQ_ERR_INPUT, "weight.bits: %d for %s", q->weight_bits, n->name);
    }
    return status;
}

static nq_status read_tables(nq_safetensors *file, nq_qmodel *model, nq_error *err)
{
    const nq_st_tensor *t = nq_safetensors_take(file, "requantize.node");
    if (!t)
        return NQ_OK;
    const size_t count = t->rank == 1 ? t->shape[0] : 0;
    const void *node = NULL;
    param_rows rows;
    nq_status status =
        take(file, "requantize", "node", nq_layout_vector(NQ_ST_I32, count), &node, err);
    if (status == NQ_OK)
        status = take_rows(file, "requantize", count, &rows, err);
    for (size_t row = 0; row < count && status == NQ_OK; row++) {
        int32_t i;
        memcpy(&i, (const uint8_t *)node + row * sizeof i, sizeof i);
        if (i < 0 || i >= model->graph.count || !nq_node_has_weight(&model->graph.nodes[i]) ||
            model->nodes[i].has_table)
            return nq_fail(err, NQ_ERR_INPUT, "requantize.node: %d is no layer or occurs twice", i);
        model->nodes[i].has_table = true;
        model->nodes[i].in = row_at(&rows, row);
    }
    return status;
}

static nq_status read_model(nq_safetensors *file, size_t size, nq_qmodel *model, nq_error *err)
{
    nq_status status = read_metadata(file, size, model, err);
    if (status == NQ_OK)
        status = read_activations(file, model, err);
    if (status == NQ_OK)
        status = read_tables(file, model, err);
    for (int i = 0; i < model->graph.count && status == NQ_OK; i++)
        if (nq_node_has_weight(&model->graph.nodes[i]))
            status = read_layer(file, model, i, err);
    if (status != NQ_OK)
        return status;
    const char *untaken = nq_safetensors_untaken(file);
    if (untaken)
        return nq_fail(err, NQ_ERR_INPUT, "tensor \"%.80s\" belongs to no node of %s", untaken,
                       model->graph.arch);
    return nq_qmodel_check(model, err);
}

nq_status nq_model_file_decode(const uint8_t *data, size_t size, const char *name, nq_qmodel *model,
                               nq_error *err)
{
    nq_safetensors file;
    *model = (nq_qmodel){0};
    nq_status status = nq_safetensors_read(data, size, &file, err);
    if (status == NQ_OK) {
        status = read_model(&file, size, model, err);
        nq_safetensors_free(&file);
    }
    if (status != NQ_OK) {
        nq_qmodel_free(model);
        nq_error_prefix(err, "%s", name);
    }
    return status;
}
