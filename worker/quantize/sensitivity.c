#include "worker/quantize/sensitivity.h"

#include "worker/float/divergence.h"
#include "worker/quantize/quantize.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THOUSANDTHS 1000

const int nq_sensitivity_bits[NQ_SENSITIVITY_WIDTHS] = {2, 3, 4, 5, 6, 8};

typedef struct {
    const nq_graph *graph;
    const nq_float_net *net;
    nq_samples *samples;
    const nq_spec *spec;
    nq_pool *pool;
    size_t batch, count, slices; /* samples of a slice, all samples, slices of them */
    int classes;
    nq_float_run **runs;   /* [slices]: each has computed the nodes before the layer on trial */
    nq_float_run **trials; /* [threads] */
    int threads;
    float *logits; /* f32 [count][classes] of the float network */
    double *kl;    /* [NQ_SENSITIVITY_WIDTHS][count], of the layer on trial */
    double *work;  /* [graph->count + 1]: multiplications of the nodes from each on */
    pthread_mutex_t lock;
    double done, total; /* work */
    nq_progress progress;
    void *context;
    /* the layer on trial */
    int node;
    int first; /* of the widths that are tried */
    float *weight[NQ_SENSITIVITY_WIDTHS];
    nq_float_layer *layer[NQ_SENSITIVITY_WIDTHS];
} measuring;

static size_t images_of(const measuring *m, size_t slice)
{
    size_t left = m->count - slice * m->batch;
    return left < m->batch ? left : m->batch;
}

static nq_status tell(measuring *m, double work, nq_error *err)
{
    nq_status status = NQ_OK;
    pthread_mutex_lock(&m->lock);
    m->done += work;
    if (m->progress)
        status = m->progress(m->context, "sensitivity",
                             (size_t)(THOUSANDTHS * m->done / m->total + 1e-6), THOUSANDTHS, err);
    pthread_mutex_unlock(&m->lock);
    return status;
}

/* ---- the float network ---- */

/* The images of a slice into its run, and its logits, computed in the thread's. */
static nq_status begin_slice(void *context, size_t slice, int thread, nq_error *err)
{
    measuring *m = context;
    nq_float_run *run = m->runs[slice], *trial = m->trials[thread];
    size_t first = slice * m->batch, images = images_of(m, slice);
    nq_status status = nq_samples_read_slice(m->samples, first, images, m->batch, thread,
                                             nq_float_run_input(run), err);
    if (status != NQ_OK)
        return status;
    nq_float_run_copy(trial, run, 1);
    status = nq_float_run_nodes(trial, 1, m->graph->count, NULL, err);
    if (status != NQ_OK)
        return status;
    const float *logits = nq_float_run_output(trial);
    size_t values = images * (size_t)m->classes;
    for (size_t i = 0; i < values; i++)
        if (!isfinite(logits[i]))
            return nq_fail(err, NQ_ERR_INPUT,
                           "calibration: the output of %s is not finite on these samples",
                           m->graph->nodes[m->graph->count - 1].name);
    memcpy(m->logits + first * (size_t)m->classes, logits, values * sizeof *logits);
    return tell(m, m->work[0], err);
}

static nq_status pass_node(void *context, size_t slice, int thread, nq_error *err)
{
    measuring *m = context;
    (void)thread;
    nq_status status = nq_float_run_nodes(m->runs[slice], m->node, m->node + 1, NULL, err);
    return status == NQ_OK ? tell(m, m->work[m->node] - m->work[m->node + 1], err) : status;
}

/* ---- a layer on trial ---- */

static nq_status round_at(void *context, size_t item, int thread, nq_error *err)
{
    measuring *m = context;
    const nq_node *n = &m->graph->nodes[m->node];
    int width = m->first + (int)item, bits = nq_sensitivity_bits[width];
    int scales = nq_weight_scale_count(m->spec, n->channels);
    size_t weights = nq_node_weights(m->graph, n), each = weights / (size_t)scales;
    float *scale = malloc((size_t)scales * sizeof *scale);
    int8_t *q = malloc(each);
    float *w = m->weight[width] = malloc(weights * sizeof *w);
    (void)thread;
    if (scale && q && w) {
        nq_weight_scales(m->spec, n->weight, scales, each, bits, scale);
        for (size_t c = 0; c < (size_t)scales; c++) {
            nq_weight_round_nearest(n->weight + c * each, each, scale[c], bits, q);
            for (size_t i = 0; i < each; i++)
                w[c * each + i] = (float)q[i] * scale[c];
        }
    }
    free(scale);
    free(q);
    return scale && q && w ? NQ_OK : nq_fail_nomem(err, n->name, weights * sizeof *w);
}

/* One slice at one width, from the layer to the end. */
static nq_status try_slice(void *context, size_t item, int thread, nq_error *err)
{
    measuring *m = context;
    int width = m->first + (int)(item / m->slices);
    size_t slice = item % m->slices, first = slice * m->batch;
    nq_float_run *trial = m->trials[thread];
    nq_float_run_copy(trial, m->runs[slice], m->node);
    nq_status status = nq_float_run_nodes(trial, m->node, m->graph->count, m->layer[width], err);
    for (size_t i = 0; i < images_of(m, slice) && status == NQ_OK; i++) {
        double kl =
            nq_kl_divergence_float(m->logits + (first + i) * (size_t)m->classes,
                                   nq_float_run_output(trial) + i * (size_t)m->classes, m->classes);
        m->kl[(size_t)width * m->count + first + i] = kl;
        if (!isfinite(kl))
            status = nq_fail(err, NQ_ERR_INPUT,
                             "weights.bits: with %s rounded to %d bits the output is not finite",
                             m->graph->nodes[m->node].name, nq_sensitivity_bits[width]);
    }
    return status == NQ_OK ? tell(m, m->work[m->node], err) : status;
}

static void drop_layers(measuring *m)
{
    for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++) {
        free(m->weight[k]);
        m->weight[k] = NULL;
        nq_float_net_layer_free(m->net, m->layer[k]);
        m->layer[k] = NULL;
    }
}

static nq_status try_layer(measuring *m, nq_sensitivity *measured, nq_error *err)
{
    size_t widths = (size_t)(NQ_SENSITIVITY_WIDTHS - m->first);
    nq_status status = nq_pool_run(m->pool, widths, round_at, m, err);
    for (int k = m->first; k < NQ_SENSITIVITY_WIDTHS && status == NQ_OK; k++) {
        status = nq_float_net_layer_with(m->net, m->node, m->weight[k], &m->layer[k], err);
        free(m->weight[k]);
        m->weight[k] = NULL;
    }
    if (status == NQ_OK)
        status = nq_pool_run(m->pool, widths * m->slices, try_slice, m, err);
    for (int k = m->first; k < NQ_SENSITIVITY_WIDTHS && status == NQ_OK; k++) {
        double sum = 0;
        for (size_t i = 0; i < m->count; i++)
            sum += m->kl[(size_t)k * m->count + i];
        measured->kl[k] = sum / (double)m->count;
    }
    drop_layers(m);
    return status;
}

/* ---- the whole ---- */

static int first_width(const nq_width *width)
{
    return width->kept ? NQ_SENSITIVITY_WIDTHS - 1 : 0;
}

static void count_work(measuring *m, const nq_width *widths)
{
    const nq_graph *graph = m->graph;
    for (int i = graph->count - 1; i >= 0; i--) {
        const nq_node *n = &graph->nodes[i];
        double own = (double)nq_node_elements(n);
        if (nq_node_has_weight(n))
            own += (double)nq_node_weights(graph, n) * (double)n->height * (double)n->width;
        m->work[i] = m->work[i + 1] + own;
    }
    m->total = 2 * m->work[0];
    for (int i = 0; i < graph->count; i++)
        if (nq_node_has_weight(&graph->nodes[i]))
            m->total += (NQ_SENSITIVITY_WIDTHS - first_width(&widths[i])) * m->work[i];
    m->total *= (double)m->slices;
}

static nq_status create(measuring *m, nq_error *err)
{
    m->runs = calloc(m->slices, sizeof *m->runs);
    m->trials = calloc((size_t)m->threads, sizeof *m->trials);
    m->logits = malloc(m->count * (size_t)m->classes * sizeof *m->logits);
    m->kl = malloc(NQ_SENSITIVITY_WIDTHS * m->count * sizeof *m->kl);
    m->work = calloc((size_t)m->graph->count + 1, sizeof *m->work);
    if (!m->runs || !m->trials || !m->logits || !m->kl || !m->work)
        return nq_fail_nomem(err, "sensitivities",
                             m->count * (size_t)m->classes * sizeof *m->logits);
    nq_status status = NQ_OK;
    for (size_t s = 0; s < m->slices && status == NQ_OK; s++)
        status = nq_float_run_create(m->net, &m->runs[s], err);
    for (int t = 0; t < m->threads && status == NQ_OK; t++)
        status = nq_float_run_create(m->net, &m->trials[t], err);
    return status;
}

static void destroy(measuring *m)
{
    for (size_t s = 0; m->runs && s < m->slices; s++)
        nq_float_run_free(m->runs[s]);
    for (int t = 0; m->trials && t < m->threads; t++)
        nq_float_run_free(m->trials[t]);
    free(m->runs);
    free(m->trials);
    free(m->logits);
    free(m->kl);
    free(m->work);
    pthread_mutex_destroy(&m->lock);
}

static nq_status walk(measuring *m, const nq_width *widths, nq_sensitivity *measured, nq_error *err)
{
    nq_status status = nq_pool_run(m->pool, m->slices, begin_slice, m, err);
    for (int i = 0; i < m->graph->count && status == NQ_OK; i++) {
        for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++)
            measured[i].kl[k] = NAN;
        m->node = i;
        m->first = first_width(&widths[i]);
        if (nq_node_has_weight(&m->graph->nodes[i]))
            status = try_layer(m, &measured[i], err);
        if (status == NQ_OK)
            status = nq_pool_run(m->pool, m->slices, pass_node, m, err);
    }
    return status;
}

nq_status nq_sensitivity_measure(const nq_graph *graph, const nq_float_net *net,
                                 nq_samples *samples, const nq_spec *spec, const nq_width *widths,
                                 nq_pool *pool, nq_progress progress, void *context,
                                 nq_sensitivity *measured, nq_error *err)
{
    measuring m = {.graph = graph,
                   .net = net,
                   .samples = samples,
                   .spec = spec,
                   .pool = pool,
                   .batch = (size_t)nq_float_net_batch(net),
                   .count = nq_samples_count(samples),
                   .classes = graph->nodes[graph->count - 1].channels,
                   .threads = nq_pool_threads(pool),
                   .lock = PTHREAD_MUTEX_INITIALIZER,
                   .progress = progress,
                   .context = context};
    if (m.count == 0)
        return nq_fail(err, NQ_ERR_INPUT, "calibration: the source holds no sample");
    m.count = m.count < NQ_SENSITIVITY_SAMPLES ? m.count : NQ_SENSITIVITY_SAMPLES;
    m.slices = (m.count + m.batch - 1) / m.batch;
    nq_status status = create(&m, err);
    if (status == NQ_OK) {
        count_work(&m, widths);
        status = walk(&m, widths, measured, err);
    }
    destroy(&m);
    return status;
}
