/* A layer's sensitivity against plain loops in double precision; its independence of threads. */
#include "tests/unit/demo_graph.h"

#include "tests/unit/float_reference.h"
#include "worker/quantize/sensitivity.h"

/* On images, with tensors that are read again after the layers on trial. */
static nq_graph shortcut_graph(void)
{
    uint32_t state = 11;
    nq_graph g = small_graph(224, 224, 3);
    int stem = small_conv(
        &g, NQ_OP_CONV, "stem", 0,
        (small_layer){.channels = 6, .kernel = 7, .stride = 16, .pad = 3, .relu = true}, &state);
    int deep = small_conv(&g, NQ_OP_CONV, "deep", stem,
                          (small_layer){.channels = 6, .kernel = 3, .pad = 1, .groups = 6}, &state);
    int sum = small_node(&g, NQ_OP_ADD, "sum", deep, stem);
    g.nodes[sum].relu = true;
    int wide =
        small_conv(&g, NQ_OP_CONV, "wide", sum, (small_layer){.channels = 10, .stride = 2}, &state);
    int mean = small_node(&g, NQ_OP_AVGPOOL, "mean", wide, -1);
    g.nodes[mean].height = g.nodes[mean].width = 1;
    small_conv(&g, NQ_OP_LINEAR, "fc", mean, (small_layer){.channels = 5}, &state);
    return g;
}

static nq_spec spec_of(nq_granularity granularity, int samples)
{
    nq_spec spec = {0};
    spec.weights.granularity = granularity;
    spec.activations.bits = spec.activations.shortcut_bits = 8;
    spec.calibrate.source = NQ_CALIBRATE_GAUSSIAN;
    spec.calibrate.samples = samples;
    spec.calibrate.seed = 5;
    snprintf(spec.keep_8bit[spec.keep_count++], NQ_SPEC_NAME, "deep");
    return spec;
}

static nq_sensitivity *measure(const nq_graph *graph, const nq_spec *spec, int batch, int threads)
{
    nq_error err = {0};
    nq_sensitivity *measured = calloc((size_t)graph->count, sizeof *measured);
    nq_width *widths = calloc((size_t)graph->count, sizeof *widths);
    nq_float_net *net;
    nq_samples *samples;
    nq_pool *pool;
    assert_ok(nq_widths_decide(graph, spec, NULL, widths, &err), &err);
    assert_ok(nq_float_net_create(graph, batch, &net, &err), &err);
    assert_ok(nq_samples_open(spec, NULL, NULL, &samples, &err), &err);
    assert_ok(nq_pool_create(threads, &pool, &err), &err);
    assert_ok(
        nq_sensitivity_measure(graph, net, samples, spec, widths, pool, NULL, NULL, measured, &err),
        &err);
    nq_pool_free(pool);
    nq_samples_free(samples);
    nq_float_net_free(net);
    free(widths);
    return measured;
}

/* Weights at so many bits, as docs/methods.md has it, written anew. The largest weight is a tie at
 * every width, so that float32 decides and PyTorch's order of operations is kept. */
static void round_weights(const nq_graph *g, nq_node *n, bool per_channel, int bits)
{
    size_t count = nq_node_weights(g, n), each = per_channel ? count / (size_t)n->channels : count;
    for (size_t first = 0; first < count; first += each) {
        float most = 0, end = powf(2, (float)bits - 1);
        for (size_t i = first; i < first + each; i++)
            most = fmaxf(most, fabsf(n->weight[i]));
        float scale = most / (end - 0.5f), inverse = 1.0f / scale;
        for (size_t i = first; i < first + each; i++)
            n->weight[i] = fminf(fmaxf(rintf(n->weight[i] * inverse), -end), end - 1) * scale;
    }
}

/* Mean KL of the reference's last node between two runs. */
static double divergence(const nq_graph *g, const reference *p, const reference *q)
{
    int last = g->count - 1, classes = g->nodes[last].channels;
    double sum = 0;
    for (int image = 0; image < REFERENCE_BATCH; image++) {
        const double *a = p->values[last] + image * classes, *b = q->values[last] + image * classes;
        double a_sum = 0, b_sum = 0;
        for (int c = 0; c < classes; c++) {
            a_sum += exp(a[c]);
            b_sum += exp(b[c]);
        }
        for (int c = 0; c < classes; c++)
            sum += exp(a[c]) / a_sum * log(exp(a[c]) / a_sum / (exp(b[c]) / b_sum));
    }
    return sum / REFERENCE_BATCH;
}

static void each_layer_alone_matches_the_reference(void **unused)
{
    (void)unused;
    for (int per_channel = 0; per_channel < 2; per_channel++) {
        nq_error err = {0};
        nq_graph g = shortcut_graph();
        nq_spec spec = spec_of(per_channel ? NQ_PER_CHANNEL : NQ_PER_TENSOR, REFERENCE_BATCH);
        nq_sensitivity *measured = measure(&g, &spec, 2, 2); /* the last slice is half full */
        nq_samples *samples;
        float *images = malloc(REFERENCE_BATCH * nq_node_elements(&g.nodes[0]) * sizeof *images);
        assert_ok(nq_samples_open(&spec, NULL, NULL, &samples, &err), &err);
        assert_ok(
            nq_samples_read_slice(samples, 0, REFERENCE_BATCH, REFERENCE_BATCH, 0, images, &err),
            &err);
        double *doubles = reference_images(&g, images);
        reference plain = reference_run(&g, doubles);
        int compared = 0;
        for (int i = 0; i < g.count; i++)
            for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++) {
                nq_node *n = &g.nodes[i];
                double got = measured[i].kl[k];
                if (!nq_node_has_weight(n) || (strcmp(n->name, "deep") == 0 && k < 5)) {
                    assert_true(isnan(got));
                    continue;
                }
                size_t bytes = nq_node_weights(&g, n) * sizeof *n->weight;
                float *saved = malloc(bytes);
                memcpy(saved, n->weight, bytes);
                round_weights(&g, n, per_channel, nq_sensitivity_bits[k]);
                reference rounded = reference_run(&g, doubles);
                double want = divergence(&g, &plain, &rounded);
                if (!(fabs(got - want) <= 1e-3 * want + 1e-9))
                    fail_msg("%s at %d bits: %.9g, wanted %.9g", n->name, nq_sensitivity_bits[k],
                             got, want);
                reference_free(&rounded);
                memcpy(n->weight, saved, bytes);
                free(saved);
                compared += want > 1e-6;
            }
        assert_true(compared >= 15);
        reference_free(&plain);
        free(doubles);
        free(images);
        free(measured);
        nq_samples_free(samples);
        nq_graph_free(&g);
    }
}

static void threads_and_later_samples_change_nothing(void **unused)
{
    (void)unused;
    nq_graph g = shortcut_graph();
    nq_spec spec = spec_of(NQ_PER_CHANNEL, NQ_SENSITIVITY_SAMPLES);
    nq_sensitivity *one = measure(&g, &spec, 8, 1);
    for (int threads = 2; threads <= 3; threads++) {
        spec.calibrate.samples = NQ_SENSITIVITY_SAMPLES + 5 * threads;
        nq_sensitivity *more = measure(&g, &spec, 8, threads);
        for (int i = 0; i < g.count; i++)
            assert_memory_equal(&one[i], &more[i], sizeof *one);
        free(more);
    }
    free(one);
    nq_graph_free(&g);
}

static void fewer_bits_matter_more_in_a_trained_network(void **unused)
{
    (void)unused;
    nq_graph g = demo_graph();
    nq_spec spec = spec_of(NQ_PER_CHANNEL, 8);
    spec.keep_count = 0;
    nq_sensitivity *measured = measure(&g, &spec, 4, 2);
    double sum[NQ_SENSITIVITY_WIDTHS] = {0};
    for (int i = 0; i < g.count; i++)
        for (int k = 0; k < NQ_SENSITIVITY_WIDTHS && nq_node_has_weight(&g.nodes[i]); k++) {
            assert_true(measured[i].kl[k] >= 0);
            sum[k] += measured[i].kl[k];
        }
    assert_true(sum[0] > 10 * sum[2] && sum[2] > 10 * sum[5] && sum[5] > 0);
    free(measured);
    nq_graph_free(&g);
}

static void samples_that_overflow_are_refused(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = shortcut_graph();
    nq_spec spec = spec_of(NQ_PER_CHANNEL, 3);
    nq_width widths[SMALL_GRAPH_NODES];
    nq_sensitivity measured[SMALL_GRAPH_NODES];
    nq_float_net *net;
    nq_samples *samples;
    nq_pool *pool;
    g.nodes[g.count - 1].bias[2] = INFINITY;
    assert_ok(nq_widths_decide(&g, &spec, NULL, widths, &err), &err);
    assert_ok(nq_float_net_create(&g, 2, &net, &err), &err);
    assert_ok(nq_samples_open(&spec, NULL, NULL, &samples, &err), &err);
    assert_ok(nq_pool_create(2, &pool, &err), &err);
    assert_refused(
        nq_sensitivity_measure(&g, net, samples, &spec, widths, pool, NULL, NULL, measured, &err),
        NQ_ERR_INPUT, &err, "the output of fc is not finite");
    nq_pool_free(pool);
    nq_samples_free(samples);
    nq_float_net_free(net);
    nq_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_alone_matches_the_reference),
        cmocka_unit_test(threads_and_later_samples_change_nothing),
        cmocka_unit_test(fewer_bits_matter_more_in_a_trained_network),
        cmocka_unit_test(samples_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
