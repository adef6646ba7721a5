#include "worker/quantize/equalize_activations.h"

#include "worker/quantize/channel_moments.h"
#include <math.h>
#include <stdlib.h>

#define FACTOR_MAX 8.0
#define ALIVE      1e-3 /* of the largest channel; below it a channel does not count */

/*
 * Every channel of every tensor is a slot; `slot` names it. Channels that must share one factor
 * have one root. All arrays are indexed by slot unless said.
 */
typedef struct {
    nq_graph *graph;
    const nq_channel_view *view;
    size_t slots;
    size_t *first;  /* [graph->count] */
    size_t *parent; /* union-find */
    bool *fixed;    /* at roots */
    double *wish;   /* at roots: sum of the logarithms that readers want */
    int *wishes;    /* at roots */
    double *shift, *factor;
} equalization;

static size_t root_of(const equalization *e, size_t slot)
{
    while (e->parent[slot] != slot)
        slot = e->parent[slot] = e->parent[e->parent[slot]];
    return slot;
}

static void tie(const equalization *e, size_t a, size_t b)
{
    e->parent[root_of(e, a)] = root_of(e, b);
}

/* The slot of the input (of input number k) that channel c of a weightless node comes from. */
static size_t origin(const equalization *e, const nq_node *n, int k, int c)
{
    switch (n->op) {
    case NQ_OP_SLICE:
        return e->first[n->input[0]] + (size_t)(n->first + c);
    case NQ_OP_SHUFFLE: {
        int each = n->channels / n->groups;
        return e->first[n->input[0]] + (size_t)(c % n->groups * each + c / n->groups);
    }
    case NQ_OP_CAT: {
        int j = 0;
        while (c >= nq_node_in_channels(e->graph, n, j))
            c -= nq_node_in_channels(e->graph, n, j++);
        return e->first[n->input[j]] + (size_t)c;
    }
    default:
        return e->first[n->input[k]] + (size_t)c;
    }
}

static bool weightless(const nq_node *n)
{
    return n->op != NQ_OP_INPUT && !nq_node_has_weight(n);
}

static void tie_channels(equalization *e)
{
    for (int i = 0; i < e->graph->count; i++) {
        const nq_node *n = &e->graph->nodes[i];
        int sides = n->op == NQ_OP_ADD ? n->inputs : 1;
        for (int c = 0; weightless(n) && c < n->channels; c++)
            for (int k = 0; k < sides; k++)
                tie(e, e->first[i] + (size_t)c, origin(e, n, k, c));
    }
    for (int i = 0; i < e->graph->count; i++) {
        const nq_node *n = &e->graph->nodes[i];
        int held = n->op == NQ_OP_LINEAR ? n->input[0] : n->op == NQ_OP_INPUT ? i : -1;
        for (int c = 0; held >= 0 && c < e->graph->nodes[held].channels; c++)
            e->fixed[root_of(e, e->first[held] + (size_t)c)] = true;
        /* The result itself is nobody's to scale. */
        for (int c = 0; i == e->graph->count - 1 && c < n->channels; c++)
            e->fixed[root_of(e, e->first[i] + (size_t)c)] = true;
    }
}

/* Whether all that a tensor reaches is affine up to convolutions without padding. */
static bool may_shift(const nq_graph *graph, int tensor)
{
    bool read = false;
    for (int i = tensor + 1; i < graph->count; i++) {
        const nq_node *n = &graph->nodes[i];
        for (int k = 0; k < n->inputs; k++) {
            if (n->input[k] != tensor)
                continue;
            read = true;
            bool dense = n->op == NQ_OP_CONV && n->groups == 1 && !n->pad_h && !n->pad_w;
            bool passes = (n->op == NQ_OP_ADD && !n->relu) || n->op == NQ_OP_SLICE ||
                          n->op == NQ_OP_SHUFFLE || n->op == NQ_OP_CAT;
            if (!dense && !(passes && may_shift(graph, i)))
                return false;
        }
    }
    return read;
}

static void choose_shifts(equalization *e)
{
    for (int i = 0; i < e->graph->count; i++) {
        const nq_node *n = &e->graph->nodes[i];
        bool own = n->op == NQ_OP_CONV && !n->relu && may_shift(e->graph, i);
        for (int c = 0; c < n->channels; c++) {
            double *shift = &e->shift[e->first[i] + (size_t)c];
            if (own)
                *shift = e->view->mean(e->view->of, i, c);
            else if (n->op == NQ_OP_ADD)
                *shift = e->shift[origin(e, n, 0, c)] + e->shift[origin(e, n, 1, c)];
            else if (weightless(n))
                *shift = e->shift[origin(e, n, 0, c)];
        }
    }
}

static double spread_at(const equalization *e, int node, int c)
{
    double about = e->shift[e->first[node] + (size_t)c];
    return e->view->spread(e->view->of, node, c, about);
}

static void add_wishes(equalization *e, const nq_node *reader, double exponent)
{
    int from = reader->input[0], channels = e->graph->nodes[from].channels, alive = 0;
    double largest = 0, mean = 0, bound = log(FACTOR_MAX);
    for (int c = 0; c < channels; c++)
        largest = fmax(largest, spread_at(e, from, c));
    for (int pass = 0; pass < 2; pass++)
        for (int c = 0; c < channels; c++) {
            size_t slot = e->first[from] + (size_t)c;
            double spread = spread_at(e, from, c);
            if (pass == 0 && spread > ALIVE * largest) {
                mean += log(spread);
                alive++;
            } else if (pass == 1) {
                double wish = (log(spread) - mean / (alive ? alive : 1)) * exponent;
                e->wish[root_of(e, slot)] += fmax(-bound, fmin(bound, wish));
                e->wishes[root_of(e, slot)]++;
            }
        }
}

static void choose_factors(equalization *e, double exponent)
{
    for (int i = 0; i < e->graph->count; i++) {
        const nq_node *n = &e->graph->nodes[i];
        if (n->op == NQ_OP_CONV && e->graph->nodes[n->input[0]].op != NQ_OP_INPUT)
            add_wishes(e, n, n->groups > 1 ? 1 : exponent);
    }
    for (size_t slot = 0; slot < e->slots; slot++) {
        size_t root = root_of(e, slot);
        e->factor[slot] =
            e->fixed[root] || !e->wishes[root] ? 1 : exp(e->wish[root] / e->wishes[root]);
    }
}

/* ---- the graph ---- */

static void change_norm(nq_batch_norm *norm, int c, double shift, double factor)
{
    if (!norm->gamma)
        return;
    norm->beta[c] = (float)(((double)norm->beta[c] - shift) / factor);
    norm->gamma[c] = (float)((double)norm->gamma[c] / factor);
}

/* Channel c of a layer: its inputs' factors and shifts in, its own out. */
static void change_channel(const equalization *e, int node, int c)
{
    nq_node *n = &e->graph->nodes[node];
    int inputs = nq_node_in_channels(e->graph, n, 0) / n->groups;
    int taps = n->op == NQ_OP_CONV ? n->kernel_h * n->kernel_w : 1;
    size_t from = e->first[n->input[0]] +
                  (size_t)(n->groups > 1 ? c / (n->channels / n->groups) * inputs : 0);
    size_t own = e->first[node] + (size_t)c;
    double bias = n->bias ? (double)n->bias[c] : 0;
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < inputs; i++) {
            float *w =
                &n->weight[((size_t)c * (size_t)taps + (size_t)t) * (size_t)inputs + (size_t)i];
            double value = (double)*w;
            bias += value * e->shift[from + (size_t)i];
            *w = (float)(value * e->factor[from + (size_t)i] / e->factor[own]);
        }
    if (n->bias)
        n->bias[c] = (float)((bias - e->shift[own]) / e->factor[own]);
    change_norm(&n->norm, c, e->shift[own], e->factor[own]);
}

static void change_graph(const equalization *e)
{
    for (int i = 0; i < e->graph->count; i++)
        for (int c = 0; nq_node_has_weight(&e->graph->nodes[i]) && c < e->graph->nodes[i].channels;
             c++)
            change_channel(e, i, c);
}

static nq_status allocate(equalization *e, nq_error *err)
{
    size_t count = (size_t)e->graph->count;
    e->first = calloc(count, sizeof *e->first);
    for (size_t i = 0; e->first && i < count; i++) {
        e->first[i] = e->slots;
        e->slots += (size_t)e->graph->nodes[i].channels;
    }
    e->parent = calloc(e->slots, sizeof *e->parent);
    e->fixed = calloc(e->slots, sizeof *e->fixed);
    e->wish = calloc(e->slots, sizeof *e->wish);
    e->wishes = calloc(e->slots, sizeof *e->wishes);
    e->shift = calloc(e->slots, sizeof *e->shift);
    e->factor = calloc(e->slots, sizeof *e->factor);
    if (!e->first || !e->parent || !e->fixed || !e->wish || !e->wishes || !e->shift || !e->factor)
        return nq_fail_nomem(err, "equalization", e->slots * sizeof *e->factor);
    for (size_t i = 0; i < e->slots; i++)
        e->parent[i] = i;
    return NQ_OK;
}

nq_status nq_equalize_channels(nq_graph *graph, const nq_channel_view *view, double exponent,
                               nq_error *err)
{
    equalization e = {.graph = graph, .view = view};
    nq_status status = allocate(&e, err);
    if (status == NQ_OK) {
        tie_channels(&e);
        choose_shifts(&e);
        choose_factors(&e, exponent);
        change_graph(&e);
    }
    free(e.first);
    free(e.parent);
    free(e.fixed);
    free(e.wish);
    free(e.wishes);
    free(e.shift);
    free(e.factor);
    return status;
}

/* ---- what samples say ---- */

static double measured_mean(const void *of, int node, int channel)
{
    nq_channel_moments *const *moments = of;
    return moments[node][channel].power[0];
}

/* The fourth root of the fourth moment about `about`. */
static double measured_spread(const void *of, int node, int channel, double about)
{
    nq_channel_moments *const *moments = of;
    const double *p = moments[node][channel].power;
    double fourth = p[3] - 4 * about * p[2] + 6 * about * about * p[1] -
                    4 * about * about * about * p[0] + about * about * about * about;
    return sqrt(sqrt(fmax(fourth, 1e-30)));
}

nq_status nq_equalize_activations(nq_graph *graph, nq_samples *samples, double exponent,
                                  nq_pool *pool, nq_error *err)
{
    nq_channel_moments **moments = NULL;
    nq_status status =
        nq_channel_moments_collect(graph, samples, NQ_EQUALIZE_SAMPLES, pool, &moments, err);
    nq_channel_view view = {.of = moments, .mean = measured_mean, .spread = measured_spread};
    if (status == NQ_OK)
        status = nq_equalize_channels(graph, &view, exponent, err);
    free(moments);
    return status;
}
