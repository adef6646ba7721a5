#include "worker/quantize/reader_range.h"

#include "worker/quantize/minmax.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/value_kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_MAX 4.0 /* variances of the float output */
#define EVEN_OUT  0.05

static const float fractions[] = {1,   .9f,  .8f, .7f,  .62f, .55f, .48f, .42f, .36f,
                                  .3f, .25f, .2f, .16f, .12f, .09f, .07f, .05f};
#define FRACTIONS ((int)(sizeof fractions / sizeof *fractions))

typedef struct {
    nq_layer_runner *runner;
    nq_pool *pool;
    const nq_node *node; /* the reader; NULL: none */
    int reader, bits;
    const nq_range_sample *sample;
    size_t out_each, channels, slices;
    float *target;    /* the reader's float output, f32 [images][out_each] */
    double *variance; /* of the target behind the ReLU, [channels] */
    double *sums;     /* [slices][2][channels]: of the difference and of its square */
    nq_qparams params;
} search;

static size_t slice_images(const search *s, size_t slice)
{
    size_t left = s->sample->images - slice * NQ_RUNNER_SLICE;
    return left < NQ_RUNNER_SLICE ? left : NQ_RUNNER_SLICE;
}

static nq_status read_slice(const search *s, size_t slice, int thread, const float *from,
                            const nq_qparams *params, float **out, nq_error *err)
{
    float *in = nq_layer_runner_in(s->runner, thread);
    size_t n = slice_images(s, slice) * s->sample->each;
    const float *x = from + slice * NQ_RUNNER_SLICE * s->sample->each;
    if (params)
        nq_requantize_values(x, n, *params, in);
    else
        memcpy(in, x, n * sizeof *in);
    memset(in + n, 0, (NQ_RUNNER_SLICE * s->sample->each - n) * sizeof *in);
    *out = nq_layer_runner_out(s->runner, thread);
    return nq_layer_runner_run(s->runner, thread, s->reader, false, err);
}

static nq_status target_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const search *s = context;
    float *out = NULL;
    nq_status status = read_slice(s, slice, thread, s->sample->real, NULL, &out, err);
    size_t n = slice_images(s, slice) * s->out_each;
    if (status != NQ_OK)
        return status;
    nq_scale_channels(out, n / s->channels, s->channels, NULL, s->node->bias, s->node->relu);
    memcpy(s->target + slice * NQ_RUNNER_SLICE * s->out_each, out, n * sizeof *out);
    return NQ_OK;
}

static void measure_target(search *s)
{
    size_t n = s->sample->images * s->out_each;
    double positions = (double)(n / s->channels);
    for (size_t c = 0; c < s->channels; c++) {
        double sum = 0, squares = 0;
        for (size_t i = c; i < n; i += s->channels) {
            sum += (double)s->target[i];
            squares += (double)s->target[i] * (double)s->target[i];
        }
        s->variance[c] = fmax(squares / positions - sum / positions * (sum / positions), 0);
    }
}

static nq_status compare_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const search *s = context;
    float *out = NULL;
    nq_status status = read_slice(s, slice, thread, s->sample->quantized, &s->params, &out, err);
    if (status != NQ_OK)
        return status;
    double *sums = s->sums + slice * s->channels * 2;
    memset(sums, 0, s->channels * 2 * sizeof *sums);
    nq_add_differences(out, s->target + slice * NQ_RUNNER_SLICE * s->out_each,
                       slice_images(s, slice) * s->out_each / s->channels, s->channels,
                       s->node->bias, s->node->relu, sums, sums + s->channels);
    return NQ_OK;
}

static double sum_errors(const search *s)
{
    double positions = (double)(s->sample->images * s->out_each / s->channels);
    double mean_variance = 0, total = 0;
    for (size_t c = 0; c < s->channels; c++)
        mean_variance += s->variance[c] / (double)s->channels;
    for (size_t c = 0; c < s->channels; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < s->slices; i++) {
            sum += s->sums[2 * i * s->channels + c];
            squares += s->sums[(2 * i + 1) * s->channels + c];
        }
        double e = squares / positions;
        if (!s->node->relu)
            e -= sum / positions * (sum / positions);
        e = fmin(e, ERROR_MAX * s->variance[c] + 1e-12);
        double by = s->variance[c] + EVEN_OUT * mean_variance;
        total += by > 0 ? e / by : 0;
    }
    return total / (double)s->channels;
}

/* A tensor that no single layer reads: its own squared error. */
static nq_status tensor_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const search *s = context;
    size_t n = slice_images(s, slice) * s->sample->each;
    const float *x = s->sample->quantized + slice * NQ_RUNNER_SLICE * s->sample->each;
    float *room = malloc(n * sizeof *room);
    (void)thread;
    if (!room)
        return nq_fail_nomem(err, "a tensor", n * sizeof *room);
    double *sums = s->sums + slice * 2;
    sums[0] = sums[1] = 0;
    nq_requantize_values(x, n, s->params, room);
    nq_add_differences(room, x, n, 1, NULL, false, sums, sums + 1);
    free(room);
    return NQ_OK;
}

static double error_of(const search *s)
{
    double squares = 0;
    for (size_t i = 0; !s->node && i < s->slices; i++)
        squares += s->sums[2 * i + 1];
    return s->node ? sum_errors(s) : squares;
}

static nq_status try_range(search *s, nq_range range, nq_range *best, double *least, nq_error *err)
{
    int end = (1 << s->bits) - 1;
    s->params = nq_affine_params(range.low, range.high, end, end);
    nq_status status =
        nq_pool_run(s->pool, s->slices, s->node ? compare_slice : tensor_slice, s, err);
    if (status != NQ_OK)
        return status;
    double error = error_of(s);
    if (error < *least) {
        *least = error;
        *best = range;
    }
    return NQ_OK;
}

/* Moves each end by itself, in and out, by ever smaller steps. */
static nq_status refine(search *s, nq_range seen, nq_range *best, double *least, nq_error *err)
{
    static const float steps[] = {.8f, .9f, .95f};
    nq_status status = NQ_OK;
    for (int k = 0; k < 6; k++)
        for (int move = 0; move < 4 && status == NQ_OK; move++) {
            float by = move % 2 ? 1.0f / steps[k / 2] : steps[k / 2];
            nq_range next = *best;
            if (move < 2)
                next.low = fmaxf(next.low * by, seen.low);
            else
                next.high = fminf(next.high * by, seen.high);
            if (next.low != best->low || next.high != best->high)
                status = try_range(s, next, best, least, err);
        }
    return status;
}

static nq_status find(search *s, nq_range *range, nq_error *err)
{
    nq_range seen = {0};
    double least = INFINITY;
    if (!nq_minmax_widen(s->sample->quantized, s->sample->images * s->sample->each, &seen.low,
                         &seen.high))
        return nq_fail(err, NQ_ERR_INPUT, "the values that %s reads are not finite",
                       s->node ? s->node->name : "a layer");
    *range = seen;
    nq_status status = NQ_OK;
    if (s->node) {
        status = nq_pool_run(s->pool, s->slices, target_slice, s, err);
        measure_target(s);
    }
    for (int i = 0; i < FRACTIONS && status == NQ_OK; i++)
        status = try_range(s, (nq_range){seen.low * fractions[i], seen.high * fractions[i]}, range,
                           &least, err);
    return status == NQ_OK ? refine(s, seen, range, &least, err) : status;
}

nq_status nq_reader_range(nq_layer_runner *runner, const nq_graph *graph, int reader,
                          const nq_range_sample *sample, int bits, nq_pool *pool, nq_range *range,
                          nq_error *err)
{
    search s = {.runner = runner,
                .pool = pool,
                .node = reader >= 0 ? &graph->nodes[reader] : NULL,
                .reader = reader,
                .bits = bits,
                .sample = sample,
                .channels = 1,
                .slices = (sample->images + NQ_RUNNER_SLICE - 1) / NQ_RUNNER_SLICE};
    nq_status status = NQ_OK;
    if (s.node) {
        s.out_each = nq_node_elements(s.node);
        s.channels = (size_t)s.node->channels;
        s.target = malloc(sample->images * s.out_each * sizeof *s.target);
        s.variance = calloc(s.channels, sizeof *s.variance);
    }
    s.sums = calloc(s.slices * s.channels * 2, sizeof *s.sums);
    if (!s.sums || (s.node && (!s.target || !s.variance)))
        status = nq_fail_nomem(err, "a range", sample->images * s.out_each * sizeof(float));
    if (status == NQ_OK)
        status = find(&s, range, err);
    free(s.target);
    free(s.variance);
    free(s.sums);
    return status;
}
