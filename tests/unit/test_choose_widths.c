/* weights.bits auto on the demo network: what is chosen fits, and the report says why. */
#include "tests/unit/demo_graph.h"

#include "worker/choose_widths.h"
#include "worker/output/mixed_precision.h"
#include "worker/output/model_file.h"
#include "worker/quantize/layerwise.h"
#include "worker/quantize/quantize.h"

#include <math.h>

typedef struct {
    nq_graph graph;
    nq_spec spec;
    nq_samples *samples;
    nq_float_net *net;
    nq_pool *pool;
    nq_progress_report report;
    int *bits;
} setup;

static void setup_create(setup *s, const char *settings)
{
    nq_error err = {0};
    json_error_t bad;
    json_t *written = json_loads(settings, 0, &bad);
    *s = (setup){.graph = demo_graph()};
    assert_ok(nq_spec_resolve(written, &s->spec, &err), &err);
    json_decref(written);
    assert_ok(nq_samples_open(&s->spec, NULL, NULL, &s->samples, &err), &err);
    assert_ok(nq_float_net_create(&s->graph, 1, &s->net, &err), &err);
    assert_ok(nq_pool_create(2, &s->pool, &err), &err);
    s->bits = calloc((size_t)s->graph.count, sizeof *s->bits);
    nq_progress_open(&s->report);
}

static void setup_free(setup *s)
{
    nq_pool_free(s->pool);
    nq_float_net_free(s->net);
    nq_samples_free(s->samples);
    nq_graph_free(&s->graph);
    free(s->bits);
}

static nq_status choose(setup *s, uint64_t budget, json_t **mixed, nq_error *err)
{
    s->spec.weights.size_budget = budget;
    *mixed = NULL;
    return nq_choose_widths(&s->graph, s->net, s->samples, &s->spec, s->pool, &s->report, s->bits,
                            mixed, err);
}

/* Bytes of the file that quantization makes with the bits chosen. */
static size_t size_made(setup *s)
{
    nq_error err = {0};
    nq_range *ranges = calloc((size_t)s->graph.count, sizeof *ranges);
    nq_qmodel model, again;
    uint8_t *bytes;
    size_t size = 0;
    if (nq_layerwise_wanted(&s->spec)) {
        assert_ok(nq_layerwise_quantize(&s->graph, s->samples, &s->spec, s->bits, s->pool, NULL,
                                        NULL, ranges, &model, &err),
                  &err);
    } else {
        assert_ok(
            nq_ranges_observe(s->net, &s->graph, s->samples, s->pool, NULL, NULL, ranges, &err),
            &err);
        assert_ok(nq_quantize(&s->graph, ranges, NULL, NULL, &s->spec, s->bits, &model, &err),
                  &err);
    }
    assert_ok(nq_model_file_encode(&model, &bytes, &size, &err), &err);
    assert_ok(nq_model_file_decode(bytes, size, "again", &again, &err), &err);
    for (int i = 0; i < s->graph.count; i++)
        if (nq_node_has_weight(&s->graph.nodes[i])) {
            assert_int_equal(again.nodes[i].weight_bits, s->bits[i]);
            assert_memory_equal(again.nodes[i].weight, model.nodes[i].weight,
                                nq_node_weights(&s->graph, &s->graph.nodes[i]));
        }
    nq_qmodel_free(&model);
    nq_qmodel_free(&again);
    free(bytes);
    free(ranges);
    return size;
}

static double number(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

/* Sum of what the report says of each layer at the bits it got. */
static double sum_of(const setup *s, const json_t *mixed)
{
    const json_t *layers = json_object_get(mixed, "layers");
    double sum = 0;
    size_t at = 0;
    for (int i = 0; i < s->graph.count; i++) {
        if (!nq_node_has_weight(&s->graph.nodes[i]))
            continue;
        const json_t *layer = json_array_get(layers, at++);
        assert_string_equal(json_string_value(json_object_get(layer, "name")),
                            s->graph.nodes[i].name);
        assert_true(number(layer, "bits") == s->bits[i]);
        assert_true(number(layer, "weights") ==
                    (double)nq_node_weights(&s->graph, &s->graph.nodes[i]));
        for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++)
            if (nq_sensitivity_bits[k] == s->bits[i])
                sum += json_number_value(json_array_get(json_object_get(layer, "kl"), (size_t)k));
    }
    assert_int_equal(json_array_size(layers), at);
    return sum;
}

static const char *const schemes[] = {
    "{\"model\":\"m\",\"preset\":\"w4a4\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":1},"
    "\"calibrate\":{\"samples\":2}}",
    "{\"model\":\"m\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":1},\"calibrate\":"
    "{\"samples\":2}}",
    "{\"model\":\"m\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":1,\"rounding\":\"squant\"},"
    "\"repair\":{\"correct_stats\":true},\"calibrate\":{\"samples\":2}}",
    "{\"model\":\"m\",\"preset\":\"gptq\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":1,"
    "\"granularity\":\"per_tensor\"},\"activations\":{\"bits\":5},\"calibrate\":{\"source\":"
    "\"gaussian\",\"samples\":2}}",
};

static void what_is_chosen_fits(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        setup s;
        nq_error err = {0};
        json_t *mixed;
        setup_create(&s, schemes[i]);
        double least = INFINITY;
        for (uint64_t budget = 180000; budget <= 420000; budget += 80000) {
            assert_ok(choose(&s, budget, &mixed, &err), &err);
            size_t made = size_made(&s);
            assert_true(made <= budget);
            assert_true(number(mixed, "size") == (double)made);
            assert_true(number(mixed, "budget") == (double)budget);
            assert_true(number(mixed, "kl") == sum_of(&s, mixed));
            assert_true(number(mixed, "kl") <= least);
            least = number(mixed, "kl");
            json_decref(mixed);
        }
        for (size_t k = 0; k < s.spec.keep_count; k++)
            assert_int_equal(s.bits[nq_graph_find(&s.graph, k ? "fc" : "conv1.0")], 8);
        setup_free(&s);
    }
}

/* The sentence of a budget that is too small names one that works, to the byte. */
static void the_smallest_budget_is_named(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        setup s;
        nq_error err = {0};
        json_t *mixed;
        setup_create(&s, schemes[i]);
        assert_refused(choose(&s, 1000, &mixed, &err), NQ_ERR_INPUT, &err,
                       "weights.size_budget_mb: 0.001 MB hold no quantized model of this network; "
                       "the smallest budget that works is 0.");
        double named = strtod(strstr(err.text, "works is ") + 9, NULL);
        uint64_t smallest = (uint64_t)round(named * 1e6);
        assert_null(mixed);
        assert_refused(choose(&s, smallest - 1, &mixed, &err), NQ_ERR_INPUT, &err, "smallest");
        assert_ok(choose(&s, smallest, &mixed, &err), &err);
        assert_true(number(mixed, "size") == (double)smallest);
        assert_int_equal(size_made(&s), smallest);
        json_decref(mixed);
        setup_free(&s);
    }
}

static void the_frontier_is_reported_and_drawn(void **unused)
{
    (void)unused;
    setup s;
    nq_error err = {0};
    json_t *mixed;
    setup_create(&s, schemes[0]);
    assert_ok(choose(&s, 250000, &mixed, &err), &err);
    const json_t *frontier = json_object_get(mixed, "frontier"), *point;
    size_t at, count = json_array_size(frontier);
    bool chosen = false;
    assert_true(count >= 20 && count <= 203 && number(mixed, "frontier_points") >= count);
    json_array_foreach(frontier, at, point)
    {
        const json_t *next = json_array_get(frontier, at + 1);
        chosen |= number(point, "size") == number(mixed, "size") &&
                  number(point, "kl") == number(mixed, "kl");
        if (next)
            assert_true(number(point, "size") < number(next, "size") &&
                        number(point, "kl") > number(next, "kl"));
    }
    assert_true(chosen);
    assert_int_equal(json_array_size(json_object_get(mixed, "uniform")), NQ_SENSITIVITY_WIDTHS);

    char *folder = nq_test_folder(), *path = nq_path_join(folder, NQ_FRONTIER_SVG);
    uint8_t *svg;
    size_t size;
    assert_ok(nq_frontier_write(path, mixed, "<demo>", &err), &err);
    assert_ok(nq_file_read(path, 1 << 22, &svg, &size, &err), &err);
    assert_non_null(strstr((char *)svg, "&lt;demo&gt;: size against summed sensitivity"));
    assert_non_null(strstr((char *)svg, "of 0.250000 MB</text>"));
    assert_non_null(strstr((char *)svg, ">stage3.0.branch2.3</title>"));
    assert_null(strstr((char *)svg, "nan"));
    assert_null(strstr((char *)svg, "inf\""));
    free(svg);
    nq_dir_remove(folder, &err);
    free(folder);
    free(path);
    json_decref(mixed);
    setup_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_chosen_fits),
        cmocka_unit_test(the_smallest_budget_is_named),
        cmocka_unit_test(the_frontier_is_reported_and_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
