/* The per-layer report on the demo network. */
#include "tests/unit/demo_graph.h"

#include "worker/output/layers.h"
#include "worker/quantize/layer_report.h"
#include "worker/quantize/quantize.h"

#include <math.h>

typedef struct {
    nq_graph graph;
    nq_float_net *net;
    nq_samples *samples;
    nq_spec *spec;
    nq_range *ranges;
} setup;

static void setup_create(setup *s)
{
    nq_error err = {0};
    *s = (setup){.spec = calloc(1, sizeof *s->spec)};
    s->graph = demo_graph();
    s->spec->weights.granularity = NQ_PER_CHANNEL;
    s->spec->activations.bits = s->spec->activations.shortcut_bits = 8;
    s->spec->activations.qmax = 255;
    s->spec->calibrate.source = NQ_CALIBRATE_GAUSSIAN;
    s->spec->calibrate.samples = 11;
    s->spec->calibrate.seed = 3;
    assert_ok(nq_samples_open(s->spec, NULL, NULL, &s->samples, &err), &err);
    assert_ok(nq_float_net_create(&s->graph, 4, &s->net, &err), &err);
    s->ranges = calloc((size_t)s->graph.count, sizeof *s->ranges);
    nq_pool *pool;
    assert_ok(nq_pool_create(2, &pool, &err), &err);
    assert_ok(nq_ranges_observe(s->net, &s->graph, s->samples, pool, NULL, NULL, s->ranges, &err),
              &err);
    nq_pool_free(pool);
}

static void setup_free(setup *s)
{
    nq_float_net_free(s->net);
    nq_samples_free(s->samples);
    nq_graph_free(&s->graph);
    free(s->ranges);
    free(s->spec);
}

/* The report at so many weight bits; the JSON too, where wanted. */
static nq_layer_report *report(setup *s, int bits, int threads, json_t **json)
{
    nq_error err = {0};
    nq_qmodel model;
    nq_pool *pool;
    nq_layer_report *reports = calloc((size_t)s->graph.count, sizeof *reports);
    s->spec->weights.bits = bits;
    assert_ok(nq_pool_create(threads, &pool, &err), &err);
    assert_ok(nq_quantize(&s->graph, s->ranges, NULL, NULL, s->spec, NULL, &model, &err), &err);
    assert_ok(nq_layers_report(&s->graph, s->net, s->ranges, s->samples, &model, pool, NULL, NULL,
                               reports, &err),
              &err);
    if (json)
        *json = nq_layers_to_json(&s->graph, &model, reports);
    nq_qmodel_free(&model);
    nq_pool_free(pool);
    return reports;
}

static void fewer_bits_lose_more(void **state)
{
    (void)state;
    setup s;
    setup_create(&s);
    nq_layer_report *eight = report(&s, 8, 1, NULL), *four = report(&s, 4, 2, NULL);
    for (int i = 0; i < s.graph.count; i++) {
        const nq_node *n = &s.graph.nodes[i];
        assert_true(eight[i].clipped >= 0 && eight[i].clipped < 0.01);
        assert_true(eight[i].output_db > 10);
        if (!nq_node_has_weight(n))
            continue;
        /* A bit is worth about 6 dB. */
        double each = (eight[i].weight_db - four[i].weight_db) / 4;
        assert_true(each > 4.5 && each < 8);
        assert_true(eight[i].output_db > four[i].output_db);
        assert_int_equal(eight[i].weight_bytes, nq_node_weights(&s.graph, n));
        assert_true(four[i].weight_bytes < eight[i].weight_bytes);
    }
    /* The input: uniform rounding noise of step^2 / 12 against unit variance. */
    double step = (double)(eight[0].high - eight[0].low) / 255;
    assert_true(fabs(eight[0].output_db - 10 * log10(12 / (step * step))) < 0.1);
    free(eight), free(four);
    setup_free(&s);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    setup s;
    setup_create(&s);
    json_t *one, *three;
    nq_layer_report *a = report(&s, 4, 1, &one), *b = report(&s, 4, 3, &three);
    assert_true(json_equal(one, three));
    for (int i = 0; i < s.graph.count; i++)
        assert_true(a[i].output_db == b[i].output_db && a[i].clipped == b[i].clipped);
    assert_string_equal(json_string_value(json_object_get(json_array_get(one, 0), "name")),
                        "quant");
    json_decref(one), json_decref(three);
    free(a), free(b);
    setup_free(&s);
}

/* Ranges cut to a tenth must show as clipped values. */
static void clipping_is_counted(void **state)
{
    (void)state;
    setup s;
    setup_create(&s);
    for (int i = 0; i < s.graph.count; i++) {
        s.ranges[i].low /= 10;
        s.ranges[i].high /= 10;
    }
    nq_layer_report *r = report(&s, 8, 2, NULL);
    assert_true(r[0].clipped > 0.5 &&
                r[0].clipped < 0.8); /* |x| > about 0.45 of a normal variable */
    assert_true(r[0].output_db < 6);
    free(r);
    setup_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_bits_lose_more),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(clipping_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
