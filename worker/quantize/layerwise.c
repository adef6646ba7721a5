#include "worker/quantize/layerwise.h"

#include "worker/float/float_net.h"
#include "worker/integer/tables.h"
#include "worker/quantize/layerwise_state.h"
#include "worker/quantize/minmax.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/range_search.h"
#include "worker/quantize/reader_range.h"
#include "worker/quantize/value_kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool nq_layerwise_wanted(const nq_spec *spec)
{
    bool measured = spec->repair.correct_bias && spec->activations.source == NQ_SOURCE_DATA;
    return spec->weights.rounding == NQ_ROUND_GPTQ || spec->activations.range == NQ_RANGE_OUTPUT ||
           spec->repair.correct_stats || measured;
}

int nq_layerwise_scale_count(const nq_spec *spec, int channels)
{
    bool own = spec->weights.rounding == NQ_ROUND_GPTQ || spec->repair.correct_stats;
    return own ? channels : nq_weight_scale_count(spec, channels);
}

int nq_layerwise_reader(const nq_layerwise *l, int node)
{
    int reader = -1, readers = 0;
    for (int i = 0; i < l->graph->count; i++)
        for (int k = 0; k < l->graph->nodes[i].inputs; k++)
            if (l->graph->nodes[i].input[k] == node) {
                readers++;
                reader = i;
            }
    return readers == 1 && nq_node_has_weight(&l->graph->nodes[reader]) ? reader : -1;
}

/* By the float network's values alone. */
static nq_status range_of_real(const nq_layerwise *l, int node, int bits, nq_range *range,
                               nq_error *err)
{
    nq_range seen = l->ranges[node];
    uint64_t *histogram = calloc(NQ_HISTOGRAM_BINS, sizeof *histogram);
    if (!histogram)
        return nq_fail_nomem(err, "a histogram", NQ_HISTOGRAM_BINS * sizeof *histogram);
    if (l->spec->activations.range != NQ_RANGE_MINMAX)
        nq_histogram_add(l->real[node], l->images * nq_node_elements(&l->graph->nodes[node]), seen,
                         histogram);
    *range = nq_range_choose(l->spec, seen, histogram, bits);
    free(histogram);
    return NQ_OK;
}

static nq_status range_of_reader(const nq_layerwise *l, int node, int reader, int bits,
                                 nq_range_fill fill, void *context, nq_range *range, nq_error *err)
{
    size_t each = nq_node_elements(&l->graph->nodes[node]);
    size_t images = l->images < NQ_READER_IMAGES ? l->images : NQ_READER_IMAGES;
    float *values = malloc(images * each * sizeof *values);
    if (!values)
        return nq_fail_nomem(err, l->graph->nodes[node].name, images * each * sizeof *values);
    nq_range_sample sample = {
        .images = images, .each = each, .real = l->real[node], .quantized = values};
    nq_status status = fill(context, images, values, err);
    if (status == NQ_OK)
        status = nq_reader_range(l->runner, l->graph, reader, &sample, bits, l->pool, range, err);
    free(values);
    return status;
}

nq_status nq_layerwise_choose(const nq_layerwise *l, int node, int reader, int bits,
                              nq_range_fill fill, void *context, nq_range range, nq_qparams *params,
                              nq_error *err)
{
    int end = (1 << bits) - 1;
    bool output = l->spec->activations.range == NQ_RANGE_OUTPUT;
    nq_status status = NQ_OK;
    if (!output || (bits == 8 && node < l->graph->count - 1))
        status = range_of_real(l, node, bits, &range, err);
    else if (bits < 8)
        status = range_of_reader(l, node, reader, bits, fill, context, &range, err);
    *params =
        nq_affine_params(range.low, range.high, bits == 8 ? l->spec->activations.qmax : end, end);
    return status;
}

/* ---- holding tensors ---- */

static nq_status hold(nq_layerwise *l, int node, nq_error *err)
{
    size_t values = l->images * nq_node_elements(&l->graph->nodes[node]);
    l->real[node] = malloc(values * sizeof(float));
    l->stored[node] = malloc(values);
    return l->real[node] && l->stored[node]
               ? NQ_OK
               : nq_fail_nomem(err, l->graph->nodes[node].name, values * 5);
}

static void release(nq_layerwise *l, int node)
{
    free(l->real[node]);
    free(l->stored[node]);
    l->real[node] = NULL;
    l->stored[node] = NULL;
}

static void release_read(nq_layerwise *l, int node)
{
    for (int i = 0; i < node; i++)
        if (l->last_reader[i] <= node)
            release(l, i);
}

static nq_status see_range(nq_layerwise *l, int node, nq_error *err)
{
    const nq_node *n = &l->graph->nodes[node];
    nq_range seen = {.low = INFINITY, .high = -INFINITY};
    if (!nq_minmax_widen(l->real[node], l->images * nq_node_elements(n), &seen.low, &seen.high))
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibration: the output of %s is not finite on these samples", n->name);
    l->ranges[node] = (nq_range){.low = seen.low + 0.0f, .high = seen.high + 0.0f};
    return NQ_OK;
}

/* ---- the images ---- */

static nq_status read_sample(void *context, size_t image, int thread, nq_error *err)
{
    const nq_layerwise *l = context;
    return nq_samples_read(l->samples, image, thread,
                           l->real[0] + image * nq_node_elements(&l->graph->nodes[0]), err);
}

static nq_status do_images(nq_layerwise *l, nq_error *err)
{
    nq_status status = nq_pool_run(l->pool, l->images, read_sample, l, err);
    if (status == NQ_OK)
        status = see_range(l, 0, err);
    if (status == NQ_OK)
        status = nq_layerwise_choose(l, 0, -1, l->widths[0].stored, NULL, NULL, l->ranges[0],
                                     &l->model->nodes[0].out, err);
    if (status != NQ_OK)
        return status;
    nq_quantize_values(l->real[0], l->images * nq_node_elements(&l->graph->nodes[0]),
                       l->model->nodes[0].out, false, l->stored[0]);
    return NQ_OK;
}

/* ---- nodes without weights ---- */

/* One image a task: the float network's output, or the quantized one's before its rounding. */
typedef struct {
    nq_layerwise *l;
    int node;
    bool store;     /* the second pass: quantize */
    float *values;  /* f32 [NQ_READER_IMAGES][each] of the first images; NULL: not wanted */
    nq_range *seen; /* [images] */
} joining;

static nq_status join_image(void *context, size_t image, int thread, nq_error *err)
{
    const joining *j = context;
    nq_layerwise *l = j->l;
    const nq_graph *graph = l->graph;
    const nq_node *n = &graph->nodes[j->node];
    size_t each = nq_node_elements(n), total = each;
    const float *real[NQ_NODE_INPUTS], *values[NQ_NODE_INPUTS];
    for (int k = 0; k < n->inputs; k++)
        total += nq_node_elements(&graph->nodes[n->input[k]]);
    float *room = malloc(total * sizeof *room);
    (void)thread;
    if (!room)
        return nq_fail_nomem(err, n->name, total * sizeof *room);
    float *at = room + each;
    for (int k = 0; k < n->inputs; k++) {
        size_t from = nq_node_elements(&graph->nodes[n->input[k]]);
        nq_qparams params = l->model->nodes[n->input[k]].out;
        const uint8_t *q = l->stored[n->input[k]] + image * from;
        real[k] = l->real[n->input[k]] + image * from;
        values[k] = at;
        for (size_t i = 0; i < from; i++)
            at[i] = (float)(q[i] - params.zero_point) * params.scale;
        at += from;
    }
    nq_float_apply(graph, j->node, 1, values, room);
    if (j->store) {
        nq_quantize_values(room, each, l->model->nodes[j->node].out, n->relu,
                           l->stored[j->node] + image * each);
    } else {
        nq_float_apply(graph, j->node, 1, real, l->real[j->node] + image * each);
        j->seen[image] = (nq_range){.low = INFINITY, .high = -INFINITY};
        nq_minmax_widen(room, each, &j->seen[image].low, &j->seen[image].high);
        if (j->values && image < NQ_READER_IMAGES)
            memcpy(j->values + image * each, room, each * sizeof *room);
    }
    free(room);
    return NQ_OK;
}

static nq_status fill_joined(void *context, size_t images, float *values, nq_error *err)
{
    const joining *j = context;
    (void)err;
    memcpy(values, j->values,
           images * nq_node_elements(&j->l->graph->nodes[j->node]) * sizeof *values);
    return NQ_OK;
}

static nq_status choose_joined(joining *j, nq_error *err)
{
    nq_layerwise *l = j->l;
    return nq_layerwise_choose(
        l, j->node, nq_layerwise_reader(l, j->node), l->widths[j->node].stored, fill_joined, j,
        nq_range_merge(j->seen, l->images), &l->model->nodes[j->node].out, err);
}

static nq_status do_join(nq_layerwise *l, int node, nq_error *err)
{
    const nq_node *n = &l->graph->nodes[node];
    size_t values = NQ_READER_IMAGES * nq_node_elements(n);
    joining j = {.l = l, .node = node};
    j.seen = malloc(l->images * sizeof *j.seen);
    j.values = malloc(values * sizeof *j.values);
    nq_status status = j.seen && j.values ? nq_pool_run(l->pool, l->images, join_image, &j, err)
                                          : nq_fail_nomem(err, n->name, values * sizeof *j.values);
    if (status == NQ_OK)
        status = see_range(l, node, err);
    if (status == NQ_OK && nq_node_observed(n))
        status = choose_joined(&j, err);
    else if (status == NQ_OK)
        l->model->nodes[node].out = l->model->nodes[n->input[0]].out;
    j.store = true;
    if (status == NQ_OK)
        status = nq_pool_run(l->pool, l->images, join_image, &j, err);
    free(j.seen);
    free(j.values);
    return status;
}

/* ---- the loop ---- */

static nq_status walk(nq_layerwise *l, nq_progress progress, void *context, nq_error *err)
{
    nq_status status = NQ_OK;
    for (int i = 0; i < l->graph->count && status == NQ_OK; i++) {
        const nq_node *n = &l->graph->nodes[i];
        if (progress)
            status = progress(context, "quantize", (size_t)i, (size_t)l->graph->count, err);
        if (status == NQ_OK)
            status = hold(l, i, err);
        if (status != NQ_OK)
            break;
        if (n->op == NQ_OP_INPUT)
            status = do_images(l, err);
        else if (nq_node_has_weight(n))
            status = nq_layerwise_do_layer(l, i, err);
        else
            status = do_join(l, i, err);
        release_read(l, i);
    }
    return status;
}

static nq_status create(nq_layerwise *l, const int *weight_bits, nq_error *err)
{
    size_t count = (size_t)l->graph->count;
    l->widths = calloc(count, sizeof *l->widths);
    l->last_reader = calloc(count, sizeof *l->last_reader);
    l->real = calloc(count, sizeof *l->real);
    l->stored = calloc(count, sizeof *l->stored);
    if (!l->widths || !l->last_reader || !l->real || !l->stored)
        return nq_fail_nomem(err, "a network's tensors", count * sizeof *l->real);
    if (l->images == 0)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: the source holds no sample");
    for (int i = 0; i < l->graph->count; i++)
        for (int k = 0; k < l->graph->nodes[i].inputs; k++)
            l->last_reader[l->graph->nodes[i].input[k]] = i;
    l->last_reader[count - 1] = l->graph->count;
    nq_status status = nq_widths_decide(l->graph, l->spec, weight_bits, l->widths, err);
    return status == NQ_OK
               ? nq_layer_runner_create(l->graph, nq_pool_threads(l->pool), &l->runner, err)
               : status;
}

static void destroy(nq_layerwise *l)
{
    for (int i = 0; l->real && l->stored && i < l->graph->count; i++)
        release(l, i);
    nq_layer_runner_free(l->runner);
    free(l->widths);
    free(l->last_reader);
    free(l->real);
    free(l->stored);
}

nq_status nq_layerwise_quantize(const nq_graph *graph, nq_samples *samples, const nq_spec *spec,
                                const int *weight_bits, nq_pool *pool, nq_progress progress,
                                void *context, nq_range *ranges, nq_qmodel *model, nq_error *err)
{
    nq_layerwise l = {.graph = graph,
                      .samples = samples,
                      .spec = spec,
                      .pool = pool,
                      .images = nq_samples_count(samples),
                      .ranges = ranges,
                      .model = model};
    nq_status status = nq_qmodel_create(graph->arch, graph->classes, model, err);
    if (status != NQ_OK)
        return status;
    status = create(&l, weight_bits, err);
    if (status == NQ_OK)
        status = walk(&l, progress, context, err);
    if (status == NQ_OK)
        status = nq_qmodel_check(model, err);
    destroy(&l);
    if (status != NQ_OK)
        nq_qmodel_free(model);
    return status;
}
