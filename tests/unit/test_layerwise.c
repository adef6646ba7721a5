/* Layer by layer: what it gains, and that neither threads nor equalization change what they must
 * not. */
#include "tests/unit/demo_graph.h"

#include "common/random.h"
#include "worker/output/model_file.h"
#include "worker/quantize/channel_moments.h"
#include "worker/quantize/equalize_activations.h"
#include "worker/quantize/layer_report.h"
#include "worker/quantize/layerwise.h"
#include "worker/quantize/quantize.h"
#include <math.h>

static nq_spec spec_of(const char *settings)
{
    nq_error err = {0};
    nq_spec spec;
    json_error_t bad;
    json_t *written = json_loads(settings, 0, &bad);
    assert_non_null(written);
    assert_ok(nq_spec_resolve(written, &spec, &err), &err);
    json_decref(written);
    return spec;
}

static nq_samples *samples_of(const nq_spec *spec)
{
    nq_error err = {0};
    nq_samples *samples;
    assert_ok(nq_samples_open(spec, NULL, NULL, &samples, &err), &err);
    return samples;
}

static nq_pool *pool_of(int threads)
{
    nq_error err = {0};
    nq_pool *pool;
    assert_ok(nq_pool_create(threads, &pool, &err), &err);
    return pool;
}

/* MobileNetV2 without a checkpoint: random weights that keep the variance. */
static nq_graph random_graph(const char *arch)
{
    nq_error err = {0};
    nq_graph graph;
    nq_random r;
    assert_ok(nq_graph_build(arch, 10, &graph, &err), &err);
    nq_random_init(&r, 3, 0);
    for (int i = 0; i < graph.count; i++) {
        nq_node *n = &graph.nodes[i];
        if (!nq_node_has_weight(n))
            continue;
        size_t count = nq_node_weights(&graph, n), each = count / (size_t)n->channels;
        n->weight = malloc(count * sizeof *n->weight);
        n->bias = malloc((size_t)n->channels * sizeof *n->bias);
        for (size_t k = 0; k < count; k++)
            n->weight[k] = (float)(nq_random_normal(&r) * sqrt(2.0 / (double)each) *
                                   exp(0.5 * nq_random_normal(&r)));
        for (int c = 0; c < n->channels; c++)
            n->bias[c] = (float)(0.3 * nq_random_normal(&r));
    }
    return graph;
}

/* Output of the float network on one Gaussian image. */
static float *logits_of(const nq_graph *graph)
{
    nq_error err = {0};
    nq_float_net *net;
    nq_float_run *run;
    nq_random r;
    float *logits = malloc((size_t)graph->classes * sizeof *logits);
    assert_ok(nq_float_net_create(graph, 1, &net, &err), &err);
    assert_ok(nq_float_run_create(net, &run, &err), &err);
    nq_random_init(&r, 9, 0);
    for (size_t i = 0; i < nq_node_elements(&graph->nodes[0]); i++)
        nq_float_run_input(run)[i] = (float)nq_random_normal(&r);
    assert_ok(nq_float_run_forward(run, NULL, NULL, &err), &err);
    memcpy(logits, nq_float_run_output(run), (size_t)graph->classes * sizeof *logits);
    nq_float_run_free(run);
    nq_float_net_free(net);
    return logits;
}

/* Over all depthwise convolutions, the mean of log(largest / smallest fourth moment) of what they
 * read. */
static double unevenness(const nq_graph *graph, nq_samples *samples, nq_pool *pool)
{
    nq_error err = {0};
    nq_channel_moments **moments;
    double sum = 0;
    int readers = 0;
    assert_ok(nq_channel_moments_collect(graph, samples, 4, pool, &moments, &err), &err);
    for (int i = 0; i < graph->count; i++) {
        const nq_node *n = &graph->nodes[i];
        if (n->op != NQ_OP_CONV || n->groups == 1)
            continue;
        double low = INFINITY, high = 0;
        for (int c = 0; c < n->channels; c++) {
            double fourth = moments[n->input[0]][c].power[3];
            low = fourth > 0 ? fmin(low, fourth) : low;
            high = fmax(high, fourth);
        }
        sum += log(high / low);
        readers++;
    }
    free(moments);
    return sum / readers;
}

static void check_equalization(nq_graph *graph)
{
    nq_error err = {0};
    nq_spec spec = spec_of("{\"model\":\"m\",\"calibrate\":{\"samples\":4}}");
    nq_samples *samples = samples_of(&spec);
    nq_pool *pool = pool_of(2);
    float *before = logits_of(graph), scale = 0;
    double uneven = unevenness(graph, samples, pool);
    assert_ok(nq_equalize_activations(graph, samples, 0.5, pool, &err), &err);
    float *after = logits_of(graph);
    for (int i = 0; i < graph->classes; i++)
        scale = fmaxf(scale, fabsf(before[i]));
    for (int i = 0; i < graph->classes; i++)
        assert_true(fabsf(after[i] - before[i]) < 1e-3f * scale);
    assert_true(unevenness(graph, samples, pool) < 0.6 * uneven);
    free(before);
    free(after);
    nq_samples_free(samples);
    nq_pool_free(pool);
    nq_graph_free(graph);
}

static void equalization_keeps_the_function(void **state)
{
    (void)state;
    nq_graph demo = demo_graph(), mobilenet = random_graph("mobilenet_v2");
    check_equalization(&demo);
    check_equalization(&mobilenet);
}

static const char *const schemes[] = {
    "{\"model\":\"m\",\"preset\":\"gptq\",\"calibrate\":{\"source\":\"gaussian\",\"samples\":12},"
    "\"weights\":{\"bits\":4},"
    "\"activations\":{\"bits\":4}}",
    "{\"model\":\"m\",\"preset\":\"w6a6\",\"calibrate\":{\"samples\":12},"
    "\"repair\":{\"correct_bias\":true},\"activations\":{\"shortcut_bits\":6}}",
    "{\"model\":\"m\",\"preset\":\"w4a8\",\"calibrate\":{\"samples\":12},\"activations\":"
    "{\"range\":\"mse\"},\"weights\":{\"rounding\":\"squant\"},\"repair\":{\"correct_stats\":true}"
    "}",
};

/* A scheme carried out by so many threads. */
static nq_qmodel quantized_by(const nq_graph *graph, const nq_spec *spec, int threads)
{
    nq_error err = {0};
    nq_samples *samples = samples_of(spec);
    nq_pool *pool = pool_of(threads);
    nq_range *ranges = calloc((size_t)graph->count, sizeof *ranges);
    nq_qmodel model;
    assert_ok(
        nq_layerwise_quantize(graph, samples, spec, NULL, pool, NULL, NULL, ranges, &model, &err),
        &err);
    for (int i = 0; i < graph->count; i++)
        assert_true(ranges[i].low <= ranges[i].high && isfinite(ranges[i].high));
    free(ranges);
    nq_samples_free(samples);
    nq_pool_free(pool);
    return model;
}

/* Its model.safetensors. */
static uint8_t *model_of(const nq_graph *graph, const nq_spec *spec, int threads, size_t *size)
{
    nq_error err = {0};
    uint8_t *bytes;
    nq_qmodel model = quantized_by(graph, spec, threads);
    assert_ok(nq_model_file_encode(&model, &bytes, size, &err), &err);
    nq_qmodel_free(&model);
    return bytes;
}

static void threads_change_nothing(void **state)
{
    (void)state;
    nq_graph graph = demo_graph();
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        nq_spec spec = spec_of(schemes[i]);
        assert_true(nq_layerwise_wanted(&spec));
        size_t size = 0;
        uint8_t *first = model_of(&graph, &spec, 1, &size);
        for (int threads = 2; threads <= 3; threads++) {
            size_t other = 0;
            uint8_t *again = model_of(&graph, &spec, threads, &other);
            assert_int_equal(size, other);
            assert_memory_equal(first, again, size);
            free(again);
        }
        free(first);
    }
    nq_graph_free(&graph);
}

/* Signal to noise of the logits of a model that either way makes, on samples that it was not made
 * from. */
static double quality(const nq_graph *graph, const char *settings)
{
    nq_error err = {0};
    nq_spec spec = spec_of(settings);
    nq_samples *samples = samples_of(&spec);
    spec.calibrate.seed += 1;
    nq_samples *others = samples_of(&spec);
    nq_pool *pool = pool_of(2);
    nq_float_net *net;
    nq_qmodel model;
    nq_range *ranges = calloc((size_t)graph->count, sizeof *ranges);
    nq_layer_report *reports = calloc((size_t)graph->count, sizeof *reports);
    assert_ok(nq_float_net_create(graph, 8, &net, &err), &err);
    if (nq_layerwise_wanted(&spec)) {
        assert_ok(nq_layerwise_quantize(graph, samples, &spec, NULL, pool, NULL, NULL, ranges,
                                        &model, &err),
                  &err);
    } else {
        assert_ok(nq_ranges_observe(net, graph, samples, pool, NULL, NULL, ranges, &err), &err);
        assert_ok(nq_quantize(graph, ranges, NULL, NULL, &spec, NULL, &model, &err), &err);
    }
    assert_ok(nq_layers_report(graph, net, ranges, others, &model, pool, NULL, NULL, reports, &err),
              &err);
    double db = reports[graph->count - 1].output_db;
    nq_qmodel_free(&model);
    nq_float_net_free(net);
    nq_samples_free(samples);
    nq_samples_free(others);
    nq_pool_free(pool);
    free(ranges);
    free(reports);
    return db;
}

static void each_part_gains(void **state)
{
    (void)state;
    nq_graph graph = demo_graph();
    double plain = quality(&graph, "{\"model\":\"m\",\"preset\":\"w4a4\",\"calibrate\":"
                                   "{\"samples\":32}}");
    double corrected = quality(&graph, "{\"model\":\"m\",\"preset\":\"w4a4\",\"calibrate\":"
                                       "{\"samples\":32},\"repair\":{\"correct_stats\":true}}");
    double full = quality(
        &graph, "{\"model\":\"m\",\"preset\":\"gptq\",\"calibrate\":"
                "{\"source\":\"gaussian\",\"samples\":32},\"weights\":{\"bits\":4},\"activations\":"
                "{\"bits\":4}}");
    printf("# plain %.1f dB, statistics corrected %.1f dB, second order %.1f dB\n", plain,
           corrected, full);
    assert_true(corrected > plain + 1);
    assert_true(full > corrected + 0.5);
    nq_graph_free(&graph);
}

#define AT_8_BIT(range)                                                                            \
    "{\"model\":\"m\",\"calibrate\":{\"samples\":8},\"activations\":{\"qmax\":255,\"range\":"      \
    "\"" range "\"},\"repair\":{\"correct_stats\":true}}"

/* No layer's error decides there, and no logit is clipped. */
static void at_8_bit_the_squared_error_decides(void **state)
{
    (void)state;
    nq_graph graph = demo_graph();
    nq_spec output = spec_of(AT_8_BIT("output")), mse = spec_of(AT_8_BIT("mse")),
            whole = spec_of(AT_8_BIT("minmax"));
    nq_qmodel chosen = quantized_by(&graph, &output, 2), squared = quantized_by(&graph, &mse, 2),
              spanned = quantized_by(&graph, &whole, 2);
    int last = graph.count - 1, narrower = 0;
    for (int i = 0; i < last; i++) {
        assert_true(chosen.nodes[i].out.scale == squared.nodes[i].out.scale);
        assert_int_equal(chosen.nodes[i].out.zero_point, squared.nodes[i].out.zero_point);
        narrower += chosen.nodes[i].out.scale < spanned.nodes[i].out.scale;
    }
    assert_true(narrower > 0);
    assert_true(chosen.nodes[last].out.scale > 0.95f * spanned.nodes[last].out.scale);
    nq_qmodel_free(&chosen);
    nq_qmodel_free(&squared);
    nq_qmodel_free(&spanned);
    nq_graph_free(&graph);
}

/* A gain of its own for every class would rank them anew. */
static void logits_have_one_gain(void **state)
{
    (void)state;
    nq_graph graph = demo_graph();
    nq_spec spec = spec_of("{\"model\":\"m\",\"preset\":\"w4a4\",\"calibrate\":{\"samples\":8},"
                           "\"repair\":{\"correct_stats\":true}}");
    nq_qmodel model = quantized_by(&graph, &spec, 2);
    const nq_node *last = &graph.nodes[graph.count - 1];
    const nq_qnode *out = &model.nodes[graph.count - 1];
    size_t each = nq_node_weights(&graph, last) / (size_t)last->channels;
    float first = 0;
    for (size_t c = 0; c < (size_t)last->channels; c++) {
        float gain = out->weight_scale[c] /
                     nq_weight_scale_minmax(last->weight + c * each, each, out->weight_bits);
        first = c ? first : gain;
        assert_float_equal(gain, first, 1e-5);
    }
    assert_true(fabsf(first - 1) > 1e-3f);
    nq_graph_free(&graph);
    nq_qmodel_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equalization_keeps_the_function),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(each_part_gains),
        cmocka_unit_test(at_8_bit_the_squared_error_decides),
        cmocka_unit_test(logits_have_one_gain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
