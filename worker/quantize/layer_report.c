#include "worker/quantize/layer_report.h"

#include "worker/integer/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums over one slice's images; kept apart and added in slice order, so that threads do not matter.
 */
typedef struct {
    double signal, noise;
    uint64_t clipped, values;
} node_sums;

/* One thread's networks and the integer tensors of a slice. */
typedef struct {
    nq_float_run *run;
    nq_engine *engine;
    uint8_t **tensors; /* [graph->count], u8 [batch][H][W][C] */
} report_room;

typedef struct {
    const nq_graph *graph;
    const nq_qmodel *model;
    nq_samples *samples;
    size_t total;
    int batch;
    report_room *rooms;
    int threads;
    node_sums *sums; /* [slices][graph->count] */
} comparison;

typedef struct {
    const comparison *c;
    report_room *room;
    node_sums *sums;
    size_t images;
} slice;

static void quantize_input(const float *x, size_t n, nq_qparams p, uint8_t *q)
{
    float inverse = 1.0f / p.scale;
    for (size_t i = 0; i < n; i++) {
        float v = nearbyintf(x[i] * inverse) + (float)p.zero_point;
        q[i] = (uint8_t)(v < 0 ? 0 : v > (float)p.qmax ? (float)p.qmax : v);
    }
}

static void compare(const float *x, const uint8_t *q, size_t n, nq_qparams p, node_sums *sums)
{
    float low = (float)-p.zero_point * p.scale, high = (float)(p.qmax - p.zero_point) * p.scale;
    float half = p.scale / 2;
    for (size_t i = 0; i < n; i++) {
        double real = (double)x[i], error = real - (double)((float)(q[i] - p.zero_point) * p.scale);
        sums->signal += real * real;
        sums->noise += error * error;
        sums->clipped += x[i] < low - half || x[i] > high + half;
    }
    sums->values += n;
}

/* Called with the float network's values of a node: runs the integer one and compares. */
static nq_status compare_node(void *context, int node, const float *values, nq_error *err)
{
    slice *s = context;
    const nq_graph *graph = s->c->graph;
    const nq_node *n = &graph->nodes[node];
    size_t each = nq_node_elements(n);
    nq_qparams p = s->c->model->nodes[node].out;
    uint8_t *out = s->room->tensors[node];
    nq_status status = NQ_OK;
    if (n->op == NQ_OP_INPUT)
        quantize_input(values, s->images * each, p, out);
    for (size_t i = 0; n->op != NQ_OP_INPUT && i < s->images && status == NQ_OK; i++) {
        const uint8_t *inputs[NQ_NODE_INPUTS];
        for (int k = 0; k < n->inputs; k++)
            inputs[k] =
                s->room->tensors[n->input[k]] + i * nq_node_elements(&graph->nodes[n->input[k]]);
        status = nq_engine_run_node(s->room->engine, node, inputs, out + i * each, err);
    }
    if (status == NQ_OK)
        compare(values, out, s->images * each, p, &s->sums[node]);
    return status;
}

static nq_status compare_slice(void *context, size_t item, int thread, nq_error *err)
{
    comparison *c = context;
    report_room *room = &c->rooms[thread];
    size_t first = item * (size_t)c->batch;
    size_t images = c->total - first < (size_t)c->batch ? c->total - first : (size_t)c->batch;
    nq_status status = nq_samples_read_slice(c->samples, first, images, (size_t)c->batch, thread,
                                             nq_float_run_input(room->run), err);
    if (status != NQ_OK)
        return status;
    slice s = {
        .c = c, .room = room, .sums = c->sums + item * (size_t)c->graph->count, .images = images};
    return nq_float_run_forward(room->run, compare_node, &s, err);
}

static nq_status room_create(const comparison *c, const nq_float_net *net, const nq_plan *plan,
                             report_room *room, nq_error *err)
{
    nq_status status = nq_float_run_create(net, &room->run, err);
    if (status == NQ_OK)
        status = nq_engine_create(plan, &room->engine, err);
    room->tensors = calloc((size_t)c->graph->count, sizeof *room->tensors);
    if (status == NQ_OK && !room->tensors)
        status = nq_fail_nomem(err, "a report", (size_t)c->graph->count * sizeof *room->tensors);
    for (int i = 0; status == NQ_OK && i < c->graph->count; i++) {
        size_t bytes = (size_t)c->batch * nq_node_elements(&c->graph->nodes[i]);
        room->tensors[i] = malloc(bytes);
        if (!room->tensors[i])
            status = nq_fail_nomem(err, "a tensor of the report", bytes);
    }
    return status;
}

static void rooms_free(const comparison *c)
{
    for (int t = 0; c->rooms && t < c->threads; t++) {
        report_room *room = &c->rooms[t];
        for (int i = 0; room->tensors && i < c->graph->count; i++)
            free(room->tensors[i]);
        free(room->tensors);
        nq_engine_free(room->engine);
        nq_float_run_free(room->run);
    }
    free(c->rooms);
}

static double decibels(double signal, double noise)
{
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static void report_weights(const nq_graph *graph, const nq_qmodel *model, int node,
                           nq_layer_report *r)
{
    const nq_node *n = &graph->nodes[node];
    const nq_qnode *q = &model->nodes[node];
    size_t each = nq_node_weights(graph, n) / (size_t)n->channels;
    double signal = 0, noise = 0;
    for (size_t c = 0; c < (size_t)n->channels; c++) {
        double scale = (double)q->weight_scale[q->scales > 1 ? c : 0];
        for (size_t i = c * each; i < (c + 1) * each; i++) {
            double w = (double)n->weight[i], error = w - scale * q->weight[i];
            signal += w * w;
            noise += error * error;
        }
    }
    r->weight_db = decibels(signal, noise);
    r->weight_bytes = (size_t)n->channels * ((each * (size_t)q->weight_bits + 7) / 8);
}

/* What the model alone tells of a node. */
static nq_layer_report report_node(const nq_graph *graph, const nq_qmodel *model, int node)
{
    nq_qparams p = model->nodes[node].out;
    nq_layer_report r = {.seen_low = NAN,
                         .seen_high = NAN,
                         .low = (float)-p.zero_point * p.scale,
                         .high = (float)(p.qmax - p.zero_point) * p.scale,
                         .clipped = NAN,
                         .output_db = NAN};
    if (nq_node_has_weight(&graph->nodes[node]))
        report_weights(graph, model, node, &r);
    return r;
}

static void summarise(const comparison *c, const nq_range *ranges, size_t slices,
                      nq_layer_report *reports)
{
    for (int i = 0; i < c->graph->count; i++) {
        node_sums all = {0};
        for (size_t s = 0; s < slices; s++) {
            const node_sums *one = &c->sums[s * (size_t)c->graph->count + (size_t)i];
            all.signal += one->signal;
            all.noise += one->noise;
            all.clipped += one->clipped;
            all.values += one->values;
        }
        reports[i].seen_low = ranges[i].low;
        reports[i].seen_high = ranges[i].high;
        reports[i].clipped = all.values ? (double)all.clipped / (double)all.values : 0;
        reports[i].output_db = decibels(all.signal, all.noise);
    }
}

nq_status nq_layers_report(const nq_graph *graph, const nq_float_net *net, const nq_range *ranges,
                           nq_samples *samples, const nq_qmodel *model, nq_pool *pool,
                           nq_progress progress, void *context, nq_layer_report *reports,
                           nq_error *err)
{
    for (int i = 0; i < graph->count; i++)
        reports[i] = report_node(graph, model, i);
    if (!samples)
        return NQ_OK;
    comparison c = {.graph = graph,
                    .model = model,
                    .samples = samples,
                    .total = nq_samples_count(samples),
                    .batch = nq_float_net_batch(net),
                    .threads = nq_pool_threads(pool)};
    c.total = c.total < NQ_REPORT_SAMPLES ? c.total : NQ_REPORT_SAMPLES;
    size_t slices = (c.total + (size_t)c.batch - 1) / (size_t)c.batch;
    const nq_kernels *kernels = NULL;
    nq_plan *plan = NULL;
    nq_status status = nq_kernels_select(&kernels, err);
    if (status == NQ_OK)
        status = nq_plan_create(model, kernels, &plan, err);
    c.rooms = calloc((size_t)c.threads, sizeof *c.rooms);
    c.sums = calloc(slices * (size_t)graph->count, sizeof *c.sums);
    if (status == NQ_OK && (!c.rooms || !c.sums))
        status = nq_fail_nomem(err, "a report", slices * (size_t)graph->count * sizeof *c.sums);
    for (int t = 0; status == NQ_OK && t < c.threads; t++)
        status = room_create(&c, net, plan, &c.rooms[t], err);
    if (status == NQ_OK && progress)
        status = progress(context, "report", 0, c.total, err);
    if (status == NQ_OK)
        status = nq_pool_run(pool, slices, compare_slice, &c, err);
    if (status == NQ_OK)
        summarise(&c, ranges, slices, reports);
    rooms_free(&c);
    free(c.sums);
    nq_plan_free(plan);
    return status;
}
