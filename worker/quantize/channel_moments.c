#include "worker/quantize/channel_moments.h"

#include "worker/float/float_net.h"
#include <stdlib.h>

#define SLICE 8

typedef struct {
    const nq_graph *graph;
    nq_samples *source;
    size_t samples, channels; /* of all nodes */
    const size_t *first;      /* [graph->count]: the node's first channel */
    nq_float_run **runs;      /* [threads] */
    nq_channel_moments *sums; /* [slices][channels] */
} collection;

typedef struct {
    const collection *c;
    nq_channel_moments *sums; /* of the slice */
    size_t images;
} slice;

static nq_status add_node(void *context, int node, const float *values, nq_error *err)
{
    const slice *s = context;
    const nq_node *n = &s->c->graph->nodes[node];
    nq_channel_moments *sums = s->sums + s->c->first[node];
    size_t channels = (size_t)n->channels;
    (void)err;
    for (size_t i = 0; i < s->images * nq_node_elements(n); i += channels)
        for (size_t c = 0; c < channels; c++) {
            double x = (double)values[i + c], square = x * x;
            sums[c].power[0] += x;
            sums[c].power[1] += square;
            sums[c].power[2] += square * x;
            sums[c].power[3] += square * square;
        }
    return NQ_OK;
}

static nq_status add_slice(void *context, size_t item, int thread, nq_error *err)
{
    const collection *c = context;
    size_t first = item * SLICE;
    slice s = {.c = c,
               .sums = c->sums + item * c->channels,
               .images = c->samples - first < SLICE ? c->samples - first : SLICE};
    nq_status status = nq_samples_read_slice(c->source, first, s.images, SLICE, thread,
                                             nq_float_run_input(c->runs[thread]), err);
    return status == NQ_OK ? nq_float_run_forward(c->runs[thread], add_node, &s, err) : status;
}

/* Slice sums to means in the first slice's place, pointers before them. */
static nq_status finish(const collection *c, size_t slices, nq_channel_moments ***moments,
                        nq_error *err)
{
    size_t count = (size_t)c->graph->count;
    size_t bytes = count * sizeof **moments + c->channels * sizeof(nq_channel_moments);
    nq_channel_moments **made = calloc(1, bytes);
    if (!made)
        return nq_fail_nomem(err, "channel moments", bytes);
    nq_channel_moments *all = (void *)(made + count);
    for (size_t i = 0; i < count; i++) {
        const nq_node *n = &c->graph->nodes[i];
        double values = (double)(c->samples * (nq_node_elements(n) / (size_t)n->channels));
        made[i] = all + c->first[i];
        for (size_t channel = 0; channel < (size_t)n->channels; channel++)
            for (int k = 0; k < 4; k++) {
                double sum = 0;
                for (size_t s = 0; s < slices; s++)
                    sum += c->sums[s * c->channels + c->first[i] + channel].power[k];
                made[i][channel].power[k] = sum / values;
            }
    }
    *moments = made;
    return NQ_OK;
}

nq_status nq_channel_moments_collect(const nq_graph *graph, nq_samples *source, size_t samples,
                                     nq_pool *pool, nq_channel_moments ***moments, nq_error *err)
{
    size_t held = nq_samples_count(source), threads = (size_t)nq_pool_threads(pool);
    collection c = {.graph = graph, .source = source, .samples = held < samples ? held : samples};
    size_t slices = (c.samples + SLICE - 1) / SLICE;
    size_t *first = calloc((size_t)graph->count, sizeof *first);
    nq_float_net *net = NULL;
    nq_status status = NQ_OK;
    for (int i = 0; first && i < graph->count; i++) {
        first[i] = c.channels;
        c.channels += (size_t)graph->nodes[i].channels;
    }
    c.first = first;
    c.runs = calloc(threads, sizeof *c.runs);
    c.sums = calloc(slices * c.channels, sizeof *c.sums);
    if (!first || !c.runs || !c.sums)
        status = nq_fail_nomem(err, "channel moments", slices * c.channels * sizeof *c.sums);
    if (status == NQ_OK)
        status = nq_float_net_create(graph, SLICE, &net, err);
    for (size_t t = 0; status == NQ_OK && t < threads; t++)
        status = nq_float_run_create(net, &c.runs[t], err);
    if (status == NQ_OK)
        status = nq_pool_run(pool, slices, add_slice, &c, err);
    if (status == NQ_OK)
        status = finish(&c, slices, moments, err);
    for (size_t t = 0; c.runs && t < threads; t++)
        nq_float_run_free(c.runs[t]);
    nq_float_net_free(net);
    free(first);
    free(c.runs);
    free(c.sums);
    return status;
}
