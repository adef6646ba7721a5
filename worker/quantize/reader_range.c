#include "worker/quantize/reader_range.h"

#include "worker/quantize/minmax.h"
#include "worker/quantize/quantize.h"
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
    float *target;    /* the reader's float output, f32 [images][out_each], before bias and ReLU */
    double *variance; /* of the target behind the ReLU, [channels] */
    double *sums;     /* [slices][channels][2]: of the difference and of its square */
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
    memcpy(in, x, n * sizeof *in);
    if (params) {
        float inverse = 1.0f / params->scale, low = (float)-params->zero_point,
              high = (float)(params->qmax - params->zero_point);
        for (size_t i = 0; i < n; i++) {
            float q = nearbyintf(x[i] * inverse);
            in[i] = (q < low ? low : q > high ? high : q) * params->scale;
        }
    }
    memset(in + n, 0, (NQ_RUNNER_SLICE * s->sample->each - n) * sizeof *in);
    *out = nq_layer_runner_out(s->runner, thread);
    return nq_layer_runner_run(s->runner, thread, s->reader, false, err);
}

static nq_status target_slice(void *context, size_t slice, int thread, nq_error *err)
{
    const search *s = context;
    float *out = NULL;
    nq_status status = read_slice(s, slice, thread, s->sample->real, NULL, &out, err);
    if (status == NQ_OK)
        memcpy(s->target + slice * NQ_RUNNER_SLICE * s->out_each, out,
               slice_images(s, slice) * s->out_each * sizeof *out);
    return status;
}

/* With bias and ReLU. */
static float finished(const search *s, size_t c, float y)
{
    y += s->node->bias ? s->node->bias[c] : 0.0f;
    return s->node->relu && y < 0.0f ? 0.0f : y;
}

static void measure_target(search *s)
{
    size_t n = s->sample->images * s->out_each;
    double positions = (double)(n / s->channels);
    for (size_t c = 0; c < s->channels; c++) {
        double sum = 0, squares = 0;
        for (size_t i = c; i < n; i += s->channels) {
            double y = (double)finished(s, c, s->target[i]);
            sum += y;
            squares += y * y;
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
    const float *target = s->target + slice * NQ_RUNNER_SLICE * s->out_each;
    size_t n = slice_images(s, slice) * s->out_each;
    memset(sums, 0, s->channels * 2 * sizeof *sums);
    for (size_t i = 0; i < n; i += s->channels)
        for (size_t c = 0; c < s->channels; c++) {
            double e = (double)(finished(s, c, out[i + c]) - finished(s, c, target[i + c]));
            sums[2 * c] += e;
            sums[2 * c + 1] += e * e;
        }
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
            sum += s->sums[(i * s->channels + c) * 2];
            squares += s->sums[(i * s->channels + c) * 2 + 1];
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

static double tensor_error(const search *s)
{
    float inverse = 1.0f / s->params.scale, low = (float)-s->params.zero_point,
          high = (float)(s->params.qmax - s->params.zero_point);
    double sum = 0;
    for (size_t i = 0; i < s->sample->images * s->sample->each; i++) {
        float x = s->sample->quantized[i], q = nearbyintf(x * inverse);
        q = q < low ? low : q > high ? high : q;
        double e = (double)(q * s->params.scale - x);
        sum += e * e;
    }
    return sum;
}

static nq_status try_range(search *s, nq_range range, nq_range *best, double *least, nq_error *err)
{
    int end = (1 << s->bits) - 1;
    s->params = nq_affine_params(range.low, range.high, end, end);
    nq_status status = s->node ? nq_pool_run(s->pool, s->slices, compare_slice, s, err) : NQ_OK;
    if (status != NQ_OK)
        return status;
    double error = s->node ? sum_errors(s) : tensor_error(s);
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
                .slices = (sample->images + NQ_RUNNER_SLICE - 1) / NQ_RUNNER_SLICE};
    nq_status status = NQ_OK;
    if (s.node) {
        s.out_each = nq_node_elements(s.node);
        s.channels = (size_t)s.node->channels;
        s.target = malloc(sample->images * s.out_each * sizeof *s.target);
        s.variance = calloc(s.channels, sizeof *s.variance);
        s.sums = calloc(s.slices * s.channels * 2, sizeof *s.sums);
        if (!s.target || !s.variance || !s.sums)
            status = nq_fail_nomem(err, s.node->name, sample->images * s.out_each * sizeof(float));
    }
    if (status == NQ_OK)
        status = find(&s, range, err);
    free(s.target);
    free(s.variance);
    free(s.sums);
    return status;
}
