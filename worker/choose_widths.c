#include "worker/choose_widths.h"

#include "common/log.h"
#include "worker/output/mixed_precision.h"
#include "worker/output/model_file.h"
#include "worker/output/model_layout.h"
#include "worker/quantize/knapsack.h"
#include "worker/quantize/layerwise.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/sensitivity.h"

#include <stdlib.h>

/* What a model's file may have less beside its weights than the smallest model's: digits of
 * offsets and shapes in its header. */
#define HEADER_SLACK 1024

typedef struct {
    const nq_graph *graph;
    const nq_spec *spec;
    nq_width *widths;            /* [graph->count] */
    nq_sensitivity *measured;    /* [graph->count] */
    nq_knapsack_choice *choices; /* [graph->count][NQ_SENSITIVITY_WIDTHS] */
    nq_knapsack_group *groups;   /* [layers] */
    int *layers, count;          /* the nodes that are layers */
    int *picks;                  /* [count], of the point looked at */
    nq_frontier *frontier;
    int *bits; /* [graph->count] */
} choosing;

static nq_status create(choosing *c, nq_error *err)
{
    size_t nodes = (size_t)c->graph->count;
    c->widths = calloc(nodes, sizeof *c->widths);
    c->measured = calloc(nodes, sizeof *c->measured);
    c->choices = calloc(nodes * NQ_SENSITIVITY_WIDTHS, sizeof *c->choices);
    c->groups = calloc(nodes, sizeof *c->groups);
    c->layers = calloc(nodes, sizeof *c->layers);
    c->picks = calloc(nodes, sizeof *c->picks);
    if (!c->widths || !c->measured || !c->choices || !c->groups || !c->layers || !c->picks)
        return nq_fail_nomem(err, "layers' widths", nodes * sizeof *c->measured);
    return nq_widths_decide(c->graph, c->spec, NULL, c->widths, err);
}

static void destroy(choosing *c)
{
    nq_frontier_free(c->frontier);
    free(c->widths);
    free(c->measured);
    free(c->choices);
    free(c->groups);
    free(c->layers);
    free(c->picks);
}

/* A layer's choices are its widths; one of keep_8bit has but the last. */
static int first_width(const choosing *c, int node)
{
    return c->widths[node].kept ? NQ_SENSITIVITY_WIDTHS - 1 : 0;
}

static nq_status make_frontier(choosing *c, nq_error *err)
{
    for (int i = 0; i < c->graph->count; i++) {
        const nq_node *n = &c->graph->nodes[i];
        nq_knapsack_choice *at = c->choices + (size_t)i * NQ_SENSITIVITY_WIDTHS;
        if (!nq_node_has_weight(n))
            continue;
        for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++)
            at[k] = (nq_knapsack_choice){
                .size = nq_layout_weight(c->graph, n, nq_sensitivity_bits[k]).bytes,
                .loss = c->measured[i].kl[k]};
        int first = first_width(c, i);
        c->groups[c->count] =
            (nq_knapsack_group){.choices = at + first, .count = NQ_SENSITIVITY_WIDTHS - first};
        c->layers[c->count++] = i;
    }
    return nq_knapsack_frontier(c->groups, c->count, &c->frontier, err);
}

/* Bits of all layers at a point of the frontier. */
static void take_point(choosing *c, size_t point)
{
    nq_frontier_choices(c->frontier, point, c->picks);
    for (int g = 0; g < c->count; g++) {
        int node = c->layers[g];
        c->bits[node] = nq_sensitivity_bits[first_width(c, node) + c->picks[g]];
    }
}

/* The file's size asks for nothing but the shapes: a model of zeros has it. */
static nq_status fill_shapes(const choosing *c, nq_qmodel *model, nq_error *err)
{
    const nq_qparams any = {.scale = 1, .qmax = 255};
    nq_status status = NQ_OK;
    for (int i = 0; i < c->graph->count && status == NQ_OK; i++) {
        const nq_node *n = &c->graph->nodes[i];
        nq_qnode *q = &model->nodes[i];
        q->out = any;
        if (!nq_node_has_weight(n))
            continue;
        q->has_table = c->widths[i].read < c->widths[n->input[0]].stored;
        q->in = any;
        q->weight_bits = c->bits[i];
        int scales = nq_layerwise_scale_count(c->spec, n->channels);
        status = nq_qnode_set_scales(model, i, scales, err);
        for (int s = 0; s < scales && status == NQ_OK; s++)
            q->weight_scale[s] = 1;
    }
    return status;
}

static nq_status file_size(const choosing *c, size_t *size, nq_error *err)
{
    nq_qmodel model;
    uint8_t *data = NULL;
    nq_status status = nq_qmodel_create(c->graph->arch, c->graph->classes, &model, err);
    if (status != NQ_OK)
        return status;
    status = fill_shapes(c, &model, err);
    if (status == NQ_OK)
        status = nq_model_file_encode(&model, &data, size, err);
    free(data);
    nq_qmodel_free(&model);
    return status;
}

/* Files of neighbours on the frontier differ by their headers, too, so that it is the file which is
 * held against the budget, from a point that may be too large on downwards. */
static nq_status choose_point(choosing *c, size_t *point, size_t *size, nq_error *err)
{
    uint64_t budget = c->spec->weights.size_budget;
    take_point(c, 0);
    nq_status status = file_size(c, size, err);
    if (status != NQ_OK)
        return status;
    if (*size > budget)
        return nq_fail(err, NQ_ERR_INPUT,
                       "weights.size_budget_mb: %.15g MB hold no quantized model of this network; "
                       "the smallest budget that works is %.15g",
                       (double)budget / 1e6, (double)*size / 1e6);
    uint64_t beside = *size - nq_frontier_point(c->frontier, 0).size;
    *point = nq_frontier_within(c->frontier, budget - beside + HEADER_SLACK);
    for (;; (*point)--) {
        take_point(c, *point);
        status = file_size(c, size, err);
        if (status != NQ_OK || *size <= budget || *point == 0)
            return status;
    }
}

static json_t *describe(const choosing *c, size_t point, size_t size, size_t samples)
{
    const nq_mixed_precision chosen = {.graph = c->graph,
                                       .spec = c->spec,
                                       .widths = c->widths,
                                       .measured = c->measured,
                                       .choices = c->choices,
                                       .bits = c->bits,
                                       .frontier = c->frontier,
                                       .point = point,
                                       .size = size,
                                       .samples = samples};
    return nq_mixed_precision_to_json(&chosen);
}

nq_status nq_choose_widths(const nq_graph *graph, const nq_float_net *net, nq_samples *samples,
                           const nq_spec *spec, nq_pool *pool, nq_progress_report *report,
                           int *bits, json_t **mixed, nq_error *err)
{
    choosing c = {.graph = graph, .spec = spec, .bits = bits};
    size_t point = 0, size = 0, used = nq_samples_count(samples);
    used = used < NQ_SENSITIVITY_SAMPLES ? used : NQ_SENSITIVITY_SAMPLES;
    nq_progress_stage(report, "sensitivity");
    nq_status status = create(&c, err);
    if (status == NQ_OK)
        status = nq_sensitivity_measure(graph, net, samples, spec, c.widths, pool, nq_progress_tell,
                                        report, c.measured, err);
    if (status == NQ_OK)
        status = make_frontier(&c, err);
    if (status == NQ_OK)
        status = choose_point(&c, &point, &size, err);
    if (status == NQ_OK) {
        nq_log(NQ_LOG_INFO, "widths_chosen", "bytes", "%zu", size, "kl", "%g",
               nq_frontier_point(c.frontier, point).loss, "frontier", "%zu",
               nq_frontier_count(c.frontier), NULL);
        *mixed = describe(&c, point, size, used);
        if (!*mixed)
            status = nq_fail_nomem(err, "the report of the widths", 0);
    }
    destroy(&c);
    return status;
}
