#include "worker/quantize/ranges.h"
#include "worker/quantize/minmax.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One thread's network and what it has seen. */
typedef struct {
    nq_float_run *run;
    nq_range *ranges;     /* [graph->count] */
    uint64_t *histograms; /* [graph->count][NQ_HISTOGRAM_BINS], in the second pass */
} thread_room;

typedef struct {
    const nq_graph *graph;
    nq_samples *samples;
    size_t total;
    int batch;
    thread_room *rooms; /* [threads] */
    int threads;
    pthread_mutex_t lock; /* of done and progress */
    size_t done;
    nq_progress progress;
    void *context;
    const char *stage;
    const nq_range *bounds; /* of the second pass; NULL in the first */
} observation;

/* What the hook needs to know of the slice under way. */
typedef struct {
    const nq_graph *graph;
    thread_room *room;
    const nq_range *bounds;
    size_t images; /* that are samples; the rest fill the slice */
} slice;

static nq_status observe_node(void *context, int node, const float *values, nq_error *err)
{
    const slice *s = context;
    const nq_node *n = &s->graph->nodes[node];
    nq_range *r = &s->room->ranges[node];
    if (!nq_minmax_widen(values, s->images * nq_node_elements(n), &r->low, &r->high))
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibration: the output of %s is not finite on these samples", n->name);
    return NQ_OK;
}

/* Four counters a bin would be faster where neighbours repeat (zeros after ReLU); simple is fast
 * enough. */
void nq_histogram_add(const float *values, size_t n, nq_range bounds, uint64_t *histogram)
{
    float width = bounds.high - bounds.low;
    float inverse = width > 0.0f ? (float)NQ_HISTOGRAM_BINS / width : 0.0f;
    for (size_t i = 0; i < n; i++) {
        int bin = (int)((values[i] - bounds.low) * inverse);
        bin = bin < 0 ? 0 : bin >= NQ_HISTOGRAM_BINS ? NQ_HISTOGRAM_BINS - 1 : bin;
        histogram[bin]++;
    }
}

static nq_status count_node(void *context, int node, const float *values, nq_error *err)
{
    const slice *s = context;
    size_t each = nq_node_elements(&s->graph->nodes[node]);
    (void)err;
    nq_histogram_add(values, s->images * each, s->bounds[node],
                     s->room->histograms + (size_t)node * NQ_HISTOGRAM_BINS);
    return NQ_OK;
}

static nq_status report(observation *o, size_t images, nq_error *err)
{
    nq_status status = NQ_OK;
    pthread_mutex_lock(&o->lock);
    o->done += images;
    if (o->progress)
        status = o->progress(o->context, o->stage, o->done, o->total, err);
    pthread_mutex_unlock(&o->lock);
    return status;
}

static nq_status observe_slice(void *context, size_t item, int thread, nq_error *err)
{
    observation *o = context;
    thread_room *room = &o->rooms[thread];
    size_t first = item * (size_t)o->batch;
    size_t images = o->total - first < (size_t)o->batch ? o->total - first : (size_t)o->batch;
    nq_status status = nq_samples_read_slice(o->samples, first, images, (size_t)o->batch, thread,
                                             nq_float_run_input(room->run), err);
    if (status != NQ_OK)
        return status;
    slice s = {.graph = o->graph, .room = room, .bounds = o->bounds, .images = images};
    status = nq_float_run_forward(room->run, o->bounds ? count_node : observe_node, &s, err);
    return status == NQ_OK ? report(o, images, err) : status;
}

static nq_status rooms_create(observation *o, const nq_float_net *net, nq_error *err)
{
    size_t count = (size_t)o->graph->count;
    o->rooms = calloc((size_t)o->threads, sizeof *o->rooms);
    if (!o->rooms)
        return nq_fail_nomem(err, "calibration threads", (size_t)o->threads * sizeof *o->rooms);
    for (int t = 0; t < o->threads; t++) {
        nq_status status = nq_float_run_create(net, &o->rooms[t].run, err);
        if (status != NQ_OK)
            return status;
        o->rooms[t].ranges = malloc(count * sizeof(nq_range));
        if (!o->rooms[t].ranges)
            return nq_fail_nomem(err, "activation ranges", count * sizeof(nq_range));
        for (size_t i = 0; i < count; i++)
            o->rooms[t].ranges[i] = (nq_range){.low = INFINITY, .high = -INFINITY};
        if (!o->bounds)
            continue;
        o->rooms[t].histograms = calloc(count * NQ_HISTOGRAM_BINS, sizeof(uint64_t));
        if (!o->rooms[t].histograms)
            return nq_fail_nomem(err, "histograms", count * NQ_HISTOGRAM_BINS * sizeof(uint64_t));
    }
    return NQ_OK;
}

static void rooms_free(observation *o)
{
    for (int t = 0; o->rooms && t < o->threads; t++) {
        nq_float_run_free(o->rooms[t].run);
        free(o->rooms[t].ranges);
        free(o->rooms[t].histograms);
    }
    free(o->rooms);
}

nq_range nq_range_merge(const nq_range *ranges, size_t n)
{
    nq_range all = {.low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        all.low = fminf(all.low, ranges[i].low);
        all.high = fmaxf(all.high, ranges[i].high);
    }
    return (nq_range){.low = all.low + 0.0f, .high = all.high + 0.0f};
}

/* Minimum and maximum do not ask in which order. */
static void merge(const observation *o, nq_range *ranges)
{
    memcpy(ranges, o->rooms[0].ranges, (size_t)o->graph->count * sizeof *ranges);
    for (int i = 0; i < o->graph->count; i++)
        for (int t = 0; t < o->threads; t++)
            ranges[i] = nq_range_merge((nq_range[]){ranges[i], o->rooms[t].ranges[i]}, 2);
}

static void merge_histograms(const observation *o, uint64_t *histograms)
{
    size_t bins = (size_t)o->graph->count * NQ_HISTOGRAM_BINS;
    memset(histograms, 0, bins * sizeof *histograms);
    for (int t = 0; t < o->threads; t++)
        for (size_t i = 0; i < bins; i++)
            histograms[i] += o->rooms[t].histograms[i];
}

/* One pass over all samples; afterwards the rooms hold what the threads saw. */
static nq_status observe(observation *o, const nq_float_net *net, nq_pool *pool, nq_error *err)
{
    o->total = nq_samples_count(o->samples);
    o->batch = nq_float_net_batch(net);
    o->threads = nq_pool_threads(pool);
    if (o->total == 0)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: the source holds no sample");
    if (o->threads > NQ_SAMPLES_THREADS)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: %d threads are more than %d", o->threads,
                       NQ_SAMPLES_THREADS);
    nq_status status = rooms_create(o, net, err);
    size_t slices = (o->total + (size_t)o->batch - 1) / (size_t)o->batch;
    return status == NQ_OK ? nq_pool_run(pool, slices, observe_slice, o, err) : status;
}

nq_status nq_ranges_observe(const nq_float_net *net, const nq_graph *graph, nq_samples *samples,
                            nq_pool *pool, nq_progress progress, void *context, nq_range *ranges,
                            nq_error *err)
{
    observation o = {.graph = graph,
                     .samples = samples,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .progress = progress,
                     .context = context,
                     .stage = "calibrate"};
    nq_status status = observe(&o, net, pool, err);
    if (status == NQ_OK)
        merge(&o, ranges);
    rooms_free(&o);
    pthread_mutex_destroy(&o.lock);
    return status;
}

nq_status nq_histograms_observe(const nq_float_net *net, const nq_graph *graph, nq_samples *samples,
                                nq_pool *pool, nq_progress progress, void *context,
                                const nq_range *ranges, uint64_t *histograms, nq_error *err)
{
    observation o = {.graph = graph,
                     .samples = samples,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .progress = progress,
                     .context = context,
                     .stage = "histogram",
                     .bounds = ranges};
    nq_status status = observe(&o, net, pool, err);
    if (status == NQ_OK)
        merge_histograms(&o, histograms);
    rooms_free(&o);
    pthread_mutex_destroy(&o.lock);
    return status;
}
