#include "worker/quantize/equalize.h"

#include "worker/quantize/readers.h"

#include <math.h>
#include <stdlib.h>

#define SWEEPS    200
#define STILL     1e-5 /* a scale that moves by less, relatively, does not move */
#define SMALLEST  1e-4
#define LARGEST   1e4
#define NO_WEIGHT 1e-12 /* a channel whose weights are all below is empty */

/* A layer's weights as far as ranges need them, and the scales around it. */
typedef struct {
    int rows, inputs, groups; /* inputs of a group */
    float *largest;           /* [rows][inputs]: |w| over the taps */
    const double *in;         /* scale of each input channel */
    const double *out;        /* scale of each output channel */
} layer;

/* What is equalized: nodes by index. */
typedef struct {
    const nq_graph *graph;
    double **scale; /* [count][channels]; 1 where nothing is scaled */
    layer *layers;  /* [count] */
    int *reader;    /* [count]: the layer to be made alike, or -1 */
    double *room;   /* [most channels of a node] */
} state;

/* What a row of weights would span with out at 1. */
static double row_range(const layer *l, int row)
{
    const float *w = l->largest + (size_t)row * (size_t)l->inputs;
    const double *in = l->in + row / (l->rows / l->groups) * l->inputs;
    double range = 0;
    for (int i = 0; i < l->inputs; i++)
        range = fmax(range, (double)w[i] * in[i]);
    return range;
}

/* range[channels of the input]: what the weights of each would span with in at 1. */
static void column_ranges(const layer *l, double *range)
{
    int per_group = l->rows / l->groups;
    for (int c = 0; c < l->inputs * l->groups; c++)
        range[c] = 0;
    for (int row = 0; row < l->rows; row++) {
        const float *w = l->largest + (size_t)row * (size_t)l->inputs;
        double *of_group = range + row / per_group * l->inputs, inverse = 1 / l->out[row];
        for (int i = 0; i < l->inputs; i++) {
            double reach = (double)w[i] * inverse;
            of_group[i] = of_group[i] > reach ? of_group[i] : reach;
        }
    }
}

/* Equalizes the channels between two layers; returns the largest relative move of a scale. room:
 * [rows of the first]. */
static double settle_pair(const layer *first, const layer *second, double *scale, double *room)
{
    double most = 0;
    column_ranges(second, room);
    for (int c = 0; c < first->rows; c++) {
        double r1 = row_range(first, c), r2 = room[c];
        if (r1 / scale[c] < NO_WEIGHT || r2 * scale[c] < NO_WEIGHT)
            continue;
        double moved = sqrt(r1 / r2);
        moved = moved < SMALLEST ? SMALLEST : moved > LARGEST ? LARGEST : moved;
        most = fmax(most, fabs(moved / scale[c] - 1));
        scale[c] = moved;
    }
    return most;
}

static void measure(const nq_node *node, layer *l)
{
    int taps = node->kernel_h * node->kernel_w;
    const float *w = node->weight;
    for (int row = 0; row < l->rows; row++) {
        float *largest = l->largest + (size_t)row * (size_t)l->inputs;
        for (int i = 0; i < l->inputs; i++)
            largest[i] = 0;
        for (int t = 0; t < taps; t++, w += l->inputs)
            for (int i = 0; i < l->inputs; i++)
                largest[i] = fabsf(w[i]) > largest[i] ? fabsf(w[i]) : largest[i];
    }
}

static nq_status prepare_layer(state *s, int index, nq_error *err)
{
    const nq_node *node = &s->graph->nodes[index];
    layer *l = &s->layers[index];
    int inputs = nq_node_in_channels(s->graph, node, 0) / node->groups;
    size_t bytes = (size_t)node->channels * (size_t)inputs * sizeof *l->largest;
    *l = (layer){.rows = node->channels,
                 .inputs = inputs,
                 .groups = node->groups,
                 .largest = malloc(bytes),
                 .in = s->scale[node->input[0]],
                 .out = s->scale[index]};
    if (!l->largest)
        return nq_fail_nomem(err, node->name, bytes);
    measure(node, l);
    int at = node->op == NQ_OP_CONV ? nq_only_reader(s->graph, index) : -1;
    s->reader[index] = at >= 0 && nq_node_has_weight(&s->graph->nodes[at]) ? at : -1;
    return NQ_OK;
}

static nq_status prepare(state *s, nq_error *err)
{
    size_t count = (size_t)s->graph->count, most = 1;
    for (size_t i = 0; i < count; i++)
        if ((size_t)s->graph->nodes[i].channels > most)
            most = (size_t)s->graph->nodes[i].channels;
    s->room = malloc(most * sizeof *s->room);
    s->scale = calloc(count, sizeof *s->scale);
    s->layers = calloc(count, sizeof *s->layers);
    s->reader = calloc(count, sizeof *s->reader);
    if (!s->scale || !s->layers || !s->reader || !s->room)
        return nq_fail_nomem(err, "equalization", count * sizeof *s->layers);
    for (int i = 0; i < s->graph->count; i++) {
        const nq_node *node = &s->graph->nodes[i];
        s->scale[i] = malloc((size_t)node->channels * sizeof **s->scale);
        s->reader[i] = -1;
        if (!s->scale[i])
            return nq_fail_nomem(err, node->name, (size_t)node->channels * sizeof **s->scale);
        for (int c = 0; c < node->channels; c++)
            s->scale[i][c] = 1;
        nq_status status = nq_node_has_weight(node) ? prepare_layer(s, i, err) : NQ_OK;
        if (status != NQ_OK)
            return status;
    }
    return NQ_OK;
}

static void sweep_until_still(state *s)
{
    double most = INFINITY;
    for (int sweep = 0; sweep < SWEEPS && most > STILL; sweep++) {
        most = 0;
        for (int i = 0; i < s->graph->count; i++)
            if (s->reader[i] >= 0)
                most = fmax(most, settle_pair(&s->layers[i], &s->layers[s->reader[i]], s->scale[i],
                                              s->room));
    }
}

static void scale_layer(const layer *l, nq_node *node)
{
    int taps = node->kernel_h * node->kernel_w, per_group = l->rows / l->groups;
    float *w = node->weight;
    for (int row = 0; row < l->rows; row++) {
        const double *in = l->in + row / per_group * l->inputs;
        for (int t = 0; t < taps; t++, w += l->inputs)
            for (int i = 0; i < l->inputs; i++)
                w[i] = (float)((double)w[i] * (in[i] / l->out[row]));
        if (node->bias)
            node->bias[row] = (float)((double)node->bias[row] / l->out[row]);
        if (node->norm.gamma) {
            node->norm.gamma[row] = (float)((double)node->norm.gamma[row] / l->out[row]);
            node->norm.beta[row] = (float)((double)node->norm.beta[row] / l->out[row]);
        }
    }
}

static void release(state *s)
{
    for (int i = 0; s->scale && i < s->graph->count; i++)
        free(s->scale[i]);
    for (int i = 0; s->layers && i < s->graph->count; i++)
        free(s->layers[i].largest);
    free(s->scale);
    free(s->layers);
    free(s->reader);
    free(s->room);
}

nq_status nq_equalize_weights(nq_graph *graph, nq_error *err)
{
    state s = {.graph = graph};
    nq_status status = prepare(&s, err);
    if (status == NQ_OK) {
        sweep_until_still(&s);
        for (int i = 0; i < graph->count; i++)
            if (nq_node_has_weight(&graph->nodes[i]))
                scale_layer(&s.layers[i], &graph->nodes[i]);
    }
    release(&s);
    return status;
}
