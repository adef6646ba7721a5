#include "worker/quantize/ranges.h"
#include "worker/quantize/minmax.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One thread's network and what it has seen. */
typedef struct {
    nq_float_run *run;
    nq_range *ranges; /* [graph->count] */
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
} observation;

/* What the hook needs to know of the slice under way. */
typedef struct {
    const nq_graph *graph;
    nq_range *ranges;
    size_t images; /* that are samples; the rest fill the slice */
} slice;

static nq_status observe_node(void *context, int node, const float *values, nq_error *err)
{
    const slice *s = context;
    const nq_node *n = &s->graph->nodes[node];
    nq_range *r = &s->ranges[node];
    if (!nq_minmax_widen(values, s->images * nq_node_elements(n), &r->low, &r->high))
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibration: the output of %s is not finite on these samples", n->name);
    return NQ_OK;
}

static nq_status report(observation *o, size_t images, nq_error *err)
{
    nq_status status = NQ_OK;
    pthread_mutex_lock(&o->lock);
    o->done += images;
    if (o->progress)
        status = o->progress(o->context, "calibrate", o->done, o->total, err);
    pthread_mutex_unlock(&o->lock);
    return status;
}

static nq_status observe_slice(void *context, size_t item, int thread, nq_error *err)
{
    observation *o = context;
    thread_room *room = &o->rooms[thread];
    size_t first = item * (size_t)o->batch;
    size_t images = o->total - first < (size_t)o->batch ? o->total - first : (size_t)o->batch;
    size_t image = nq_node_elements(&o->graph->nodes[0]);
    float *input = nq_float_run_input(room->run);
    for (size_t i = 0; i < images; i++) {
        nq_status status = nq_samples_read(o->samples, first + i, thread, input + i * image, err);
        if (status != NQ_OK)
            return status;
    }
    memset(input + images * image, 0, ((size_t)o->batch - images) * image * sizeof *input);
    slice s = {.graph = o->graph, .ranges = room->ranges, .images = images};
    nq_status status = nq_float_run_forward(room->run, observe_node, &s, err);
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
    }
    return NQ_OK;
}

static void rooms_free(observation *o)
{
    for (int t = 0; o->rooms && t < o->threads; t++) {
        nq_float_run_free(o->rooms[t].run);
        free(o->rooms[t].ranges);
    }
    free(o->rooms);
}

/* Minimum and maximum do not ask in which order; adding 0 makes -0 and 0 one value. */
static void merge(const observation *o, nq_range *ranges)
{
    for (int i = 0; i < o->graph->count; i++) {
        nq_range all = o->rooms[0].ranges[i];
        for (int t = 1; t < o->threads; t++) {
            all.low = fminf(all.low, o->rooms[t].ranges[i].low);
            all.high = fmaxf(all.high, o->rooms[t].ranges[i].high);
        }
        ranges[i] = (nq_range){.low = all.low + 0.0f, .high = all.high + 0.0f};
    }
}

nq_status nq_ranges_observe(const nq_float_net *net, const nq_graph *graph, nq_samples *samples,
                            nq_pool *pool, nq_progress progress, void *context, nq_range *ranges,
                            nq_error *err)
{
    observation o = {.graph = graph,
                     .samples = samples,
                     .total = nq_samples_count(samples),
                     .batch = nq_float_net_batch(net),
                     .threads = nq_pool_threads(pool),
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .progress = progress,
                     .context = context};
    if (o.total == 0)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: the source holds no sample");
    if (o.threads > NQ_SAMPLES_THREADS)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: %d threads are more than %d", o.threads,
                       NQ_SAMPLES_THREADS);
    nq_status status = rooms_create(&o, net, err);
    size_t slices = (o.total + (size_t)o.batch - 1) / (size_t)o.batch;
    if (status == NQ_OK)
        status = nq_pool_run(pool, slices, observe_slice, &o, err);
    if (status == NQ_OK)
        merge(&o, ranges);
    rooms_free(&o);
    pthread_mutex_destroy(&o.lock);
    return status;
}
