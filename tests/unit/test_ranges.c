/* Min-max over calibration samples: what is seen, whoever computes it, and what stops it. */
#include "tests/unit/nq_test.h"

#include "tests/unit/small_graph.h"
#include "worker/quantize/minmax.h"
#include "worker/quantize/ranges.h"
#include <math.h>
#include <stdatomic.h>

#define SAMPLES 11
#define BATCH   4 /* the last slice holds three samples and one image of zeros */

static void minmax_sees_every_place(void **unused)
{
    (void)unused;
    float x[67];
    uint32_t state = 2;
    for (size_t n = 1; n <= 67; n++)
        for (size_t at = 0; at < n; at++) {
            for (size_t i = 0; i < n; i++)
                x[i] = small_random(&state);
            float low = 0.5f, high = -0.5f;
            x[at] = 7.0f;
            assert_true(nq_minmax_widen(x, n, &low, &high));
            assert_true(high == 7.0f);
            x[at] = -8.0f;
            assert_true(nq_minmax_widen(x, n, &low, &high));
            assert_true(low == -8.0f && high == 7.0f);
            x[at] = at % 3 == 0 ? NAN : at % 3 == 1 ? INFINITY : -INFINITY;
            assert_false(nq_minmax_widen(x, n, &low, &high));
        }
    float low = 3.0f, high = 4.0f;
    assert_true(nq_minmax_widen(x, 0, &low, &high));
    assert_true(low == 3.0f && high == 4.0f);
}

/* The largest of each 7x7 window of noise is positive; of an image of zeros it is not. */
static nq_graph noise_graph(void)
{
    uint32_t state = 4;
    nq_graph g = small_graph(224, 224, 3);
    int pool = small_node(&g, NQ_OP_MAXPOOL, "pool", 0, -1);
    small_window(&g, pool, 7, 7, 0);
    int conv = small_conv(&g, NQ_OP_CONV, "conv", pool,
                          (small_layer){.channels = 8, .kernel = 3, .stride = 2, .pad = 1}, &state);
    int relu = small_conv(&g, NQ_OP_CONV, "relu", conv, (small_layer){.channels = 6, .relu = true},
                          &state);
    int mean = small_node(&g, NQ_OP_AVGPOOL, "mean", relu, -1);
    g.nodes[mean].height = g.nodes[mean].width = 1;
    small_conv(&g, NQ_OP_LINEAR, "fc", mean, (small_layer){.channels = 5}, &state);
    return g;
}

typedef struct {
    nq_graph graph;
    nq_float_net *net;
    nq_samples *samples;
} setup;

static setup setup_of(nq_graph graph)
{
    setup s = {.graph = graph};
    nq_error err = {0};
    nq_spec *spec = calloc(1, sizeof *spec);
    spec->calibrate.source = NQ_CALIBRATE_GAUSSIAN;
    spec->calibrate.samples = SAMPLES;
    spec->calibrate.seed = 5;
    assert_ok(nq_samples_open(spec, NULL, NULL, &s.samples, &err), &err);
    free(spec);
    return s;
}

/* Apart from setup_of(): a net keeps the address of its graph. */
static void setup_net(setup *s)
{
    nq_error err = {0};
    assert_ok(nq_float_net_create(&s->graph, BATCH, &s->net, &err), &err);
}

static void setup_free(setup *s)
{
    nq_float_net_free(s->net);
    nq_samples_free(s->samples);
    nq_graph_free(&s->graph);
}

static nq_status observe(setup *s, int threads, nq_progress progress, void *context,
                         nq_range *ranges, nq_error *err)
{
    nq_pool *pool = NULL;
    assert_ok(nq_pool_create(threads, &pool, err), err);
    nq_status status =
        nq_ranges_observe(s->net, &s->graph, s->samples, pool, progress, context, ranges, err);
    nq_pool_free(pool);
    return status;
}

typedef struct {
    const nq_graph *graph;
    size_t images;
    nq_range *ranges;
} plain;

static nq_status widen_plainly(void *context, int node, const float *values, nq_error *err)
{
    plain *p = context;
    nq_range *r = &p->ranges[node];
    (void)err;
    for (size_t i = 0; i < p->images * nq_node_elements(&p->graph->nodes[node]); i++) {
        r->low = fminf(r->low, values[i]);
        r->high = fmaxf(r->high, values[i]);
    }
    return NQ_OK;
}

static void expected_ranges(setup *s, nq_range *ranges)
{
    nq_error err = {0};
    nq_float_run *run = NULL;
    size_t image = nq_node_elements(&s->graph.nodes[0]);
    for (int i = 0; i < s->graph.count; i++)
        ranges[i] = (nq_range){INFINITY, -INFINITY};
    assert_ok(nq_float_run_create(s->net, &run, &err), &err);
    for (size_t first = 0; first < SAMPLES; first += BATCH) {
        plain p = {&s->graph, SAMPLES - first < BATCH ? SAMPLES - first : BATCH, ranges};
        for (size_t i = 0; i < p.images; i++)
            assert_ok(nq_samples_read(s->samples, first + i, 0, nq_float_run_input(run) + i * image,
                                      &err),
                      &err);
        assert_ok(nq_float_run_forward(run, widen_plainly, &p, &err), &err);
    }
    nq_float_run_free(run);
}

static void ranges_hold_the_samples_and_no_filling(void **unused)
{
    (void)unused;
    nq_error err = {0};
    setup s = setup_of(noise_graph());
    nq_range want[SMALL_GRAPH_NODES], got[SMALL_GRAPH_NODES];
    setup_net(&s);
    expected_ranges(&s, want);
    for (int threads = 1; threads <= 4; threads++) {
        memset(got, 0xff, sizeof got);
        assert_ok(observe(&s, threads, NULL, NULL, got, &err), &err);
        for (int i = 0; i < s.graph.count; i++)
            if (got[i].low != want[i].low || got[i].high != want[i].high)
                fail_msg("%d threads, %s: %a..%a, wanted %a..%a", threads, s.graph.nodes[i].name,
                         (double)got[i].low, (double)got[i].high, (double)want[i].low,
                         (double)want[i].high);
    }
    assert_true(got[0].low < -4.0f && got[0].high > 4.0f);
    assert_true(got[1].low > 0.0f);
    assert_true(got[3].low == 0.0f && !signbit(got[3].low));
    setup_free(&s);
}

typedef struct {
    atomic_int inside;
    int calls;
    size_t last;
    size_t stop_at;
    bool wrong; /* cmocka's asserts work in the main thread only */
} watcher;

static nq_status watch(void *context, const char *stage, size_t done, size_t total, nq_error *err)
{
    watcher *w = context;
    bool alone = atomic_fetch_add(&w->inside, 1) == 0;
    bool right =
        strcmp(stage, "calibrate") == 0 && total == SAMPLES && done > w->last && done <= total;
    w->wrong = w->wrong || !alone || !right;
    w->last = done;
    w->calls++;
    atomic_fetch_sub(&w->inside, 1);
    return w->stop_at && done >= w->stop_at ? nq_fail(err, NQ_ERR_CANCELLED, "no more") : NQ_OK;
}

static void progress_counts_samples_and_may_stop(void **unused)
{
    (void)unused;
    nq_error err = {0};
    setup s = setup_of(noise_graph());
    nq_range ranges[SMALL_GRAPH_NODES];
    watcher all = {0}, stopped = {.stop_at = 1};
    setup_net(&s);
    assert_ok(observe(&s, 2, watch, &all, ranges, &err), &err);
    assert_int_equal(all.calls, (SAMPLES + BATCH - 1) / BATCH);
    assert_int_equal(all.last, SAMPLES);
    assert_false(all.wrong);
    assert_refused(observe(&s, 1, watch, &stopped, ranges, &err), NQ_ERR_CANCELLED, &err,
                   "no more");
    assert_int_equal(stopped.calls, 1);
    setup_free(&s);
}

static void values_that_are_not_finite_name_their_layer(void **unused)
{
    (void)unused;
    nq_error err = {0};
    setup s = setup_of(noise_graph());
    nq_range ranges[SMALL_GRAPH_NODES];
    s.graph.nodes[2].bias[3] = 3e38f;
    for (int i = 0; i < 27; i++)
        s.graph.nodes[2].weight[3 * 27 + i] = 2e38f;
    setup_net(&s);
    assert_refused(observe(&s, 2, NULL, NULL, ranges, &err), NQ_ERR_INPUT, &err, "output of conv ");
    setup_free(&s);
}

/* A second look at the same samples: every value in one bin, the same counts on any number of
 * threads. */
static void histograms_count_every_value(void **state)
{
    (void)state;
    nq_error err = {0};
    setup s = setup_of(noise_graph());
    setup_net(&s);
    size_t nodes = (size_t)s.graph.count, bins = nodes * NQ_HISTOGRAM_BINS;
    nq_range *ranges = calloc(nodes, sizeof *ranges);
    uint64_t *counts[2];
    assert_ok(observe(&s, 2, NULL, NULL, ranges, &err), &err);
    for (int t = 0; t < 2; t++) {
        nq_pool *pool = NULL;
        counts[t] = malloc(bins * sizeof(uint64_t));
        assert_ok(nq_pool_create(1 + 2 * t, &pool, &err), &err);
        assert_ok(nq_histograms_observe(s.net, &s.graph, s.samples, pool, NULL, NULL, ranges,
                                        counts[t], &err),
                  &err);
        nq_pool_free(pool);
    }
    assert_memory_equal(counts[0], counts[1], bins * sizeof(uint64_t));
    for (size_t i = 0; i < nodes; i++) {
        const uint64_t *h = counts[0] + i * NQ_HISTOGRAM_BINS;
        uint64_t sum = 0;
        for (int b = 0; b < NQ_HISTOGRAM_BINS; b++)
            sum += h[b];
        assert_int_equal(sum, SAMPLES * nq_node_elements(&s.graph.nodes[i]));
        assert_true(h[0] > 0 && h[NQ_HISTOGRAM_BINS - 1] > 0);
    }
    free(counts[0]), free(counts[1]), free(ranges);
    setup_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histograms_count_every_value),
        cmocka_unit_test(minmax_sees_every_place),
        cmocka_unit_test(ranges_hold_the_samples_and_no_filling),
        cmocka_unit_test(progress_counts_samples_and_may_stop),
        cmocka_unit_test(values_that_are_not_finite_name_their_layer),
    };
    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
