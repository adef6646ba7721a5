#include "worker/output/layers.h"

#include <math.h>

static const char *const op_names[] = {
    [NQ_OP_INPUT] = "input",     [NQ_OP_CONV] = "conv",       [NQ_OP_LINEAR] = "linear",
    [NQ_OP_ADD] = "add",         [NQ_OP_CAT] = "cat",         [NQ_OP_SLICE] = "slice",
    [NQ_OP_SHUFFLE] = "shuffle", [NQ_OP_MAXPOOL] = "maxpool", [NQ_OP_AVGPOOL] = "avgpool",
};

static json_t *decibels(double value)
{
    return isfinite(value) ? json_real(round(value * 100) / 100) : json_null();
}

/* [low, high], or null where nobody measured. */
static json_t *pair(float low, float high)
{
    return isfinite(low) && isfinite(high) ? json_pack("[f,f]", (double)low, (double)high)
                                           : json_null();
}

static int bits_of(int qmax)
{
    int bits = 0;
    for (; qmax > 0; qmax >>= 1)
        bits++;
    return bits;
}

static json_t *layer_to_json(const nq_graph *graph, const nq_qmodel *model, int i,
                             const nq_layer_report *r)
{
    const nq_node *node = &graph->nodes[i];
    const nq_qnode *q = &model->nodes[i];
    json_t *layer = json_pack("{s:s, s:s, s:i, s:f, s:i, s:o, s:o, s:o, s:o}", "name", node->name,
                              "op", op_names[node->op], "bits", bits_of(q->out.qmax), "scale",
                              (double)q->out.scale, "zero_point", q->out.zero_point, "range",
                              pair(r->low, r->high), "seen", pair(r->seen_low, r->seen_high),
                              "clipped", isfinite(r->clipped) ? json_real(r->clipped) : json_null(),
                              "output_db", decibels(r->output_db));
    if (layer && nq_node_has_weight(node)) {
        json_object_set_new(layer, "weight_bits", json_integer(q->weight_bits));
        json_object_set_new(layer, "weight_db", decibels(r->weight_db));
        json_object_set_new(layer, "weight_bytes", json_integer((json_int_t)r->weight_bytes));
        if (q->has_table)
            json_object_set_new(layer, "input_bits", json_integer(bits_of(q->in.qmax)));
    }
    return layer;
}

json_t *nq_layers_to_json(const nq_graph *graph, const nq_qmodel *model,
                          const nq_layer_report *reports)
{
    json_t *list = json_array();
    for (int i = 0; list && i < graph->count; i++)
        if (nq_node_observed(&graph->nodes[i]) &&
            json_array_append_new(list, layer_to_json(graph, model, i, &reports[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}
