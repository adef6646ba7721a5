/* Quantization parameters to the bit of PyTorch's observers; who is stored and read in how many
 * bits; the whole step on the architectures. */
#include "tests/unit/nq_test.h"

#include "tests/unit/small_graph.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/widths.h"
#include <math.h>

/* MinMaxObserver(quint8, per_tensor_affine) of PyTorch 1.13.1. */
static const struct {
    float low, high;
    int qmax;
    float scale;
    int zero_point;
} affine[] = {
    {-0x1.0f177ap+1f, 0x1.51eb86p+1f, 127, 0x1.32e74ep-5f, 57},
    {-0x1.0f177ap+1f, 0x1.51eb86p+1f, 255, 0x1.31b334p-6f, 114},
    {-0x1.0f177ap+1f, 0x1.51eb86p+1f, 15, 0x1.44ce66p-2f, 7},
    {0.0f, 6.0f, 127, 0x1.83060cp-5f, 0},
    {-1.0f, 0.0f, 127, 0x1.020408p-7f, 127},
    {-1.0f, 0.0f, 15, 0x1.111112p-4f, 15},
    {0.5f, 3.0f, 255, 0x1.818182p-7f, 0},
    {-3.0f, -1.0f, 127, 0x1.83060cp-6f, 127},
    {0.0f, 0.0f, 127, 0x1p-23f, 0},
    {-0x1.12e0bep-30f, 0x1.12e0bep-30f, 255, 0x1p-23f, 0},
    {-127.0f, 127.0f, 127, 2.0f, 64},
    {-127.0f, 127.0f, 255, 0x1.fdfdfep-1f, 128},
    {-1.0f, 126.0f, 127, 1.0f, 1},
    {-0.5f, 126.5f, 127, 1.0f, 0},
    {-0x1.99999ap-4f, 0x1.333334p-2f, 127, 0x1.9cd34p-9f, 32},
    {-0x1.93e594p+99f, 0x1.93e594p+99f, 127, 0x1.9713bcp+93f, 64},
    {-0x1.93e594p+99f, 0x1.93e594p+99f, 255, 0x1.957b1p+92f, 127},
    {-5.5f, 5.5f, 127, 0x1.62c58cp-4f, 63},
    {-5.5f, 5.5f, 15, 0x1.777778p-1f, 8},
};

static void affine_parameters_are_pytorchs(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof affine / sizeof *affine; i++) {
        nq_qparams p = nq_affine_params(affine[i].low, affine[i].high, affine[i].qmax, 255);
        if (p.scale != affine[i].scale || p.zero_point != affine[i].zero_point)
            fail_msg("row %zu: %a %d", i, (double)p.scale, p.zero_point);
        assert_int_equal(p.qmax, 255);
    }
}

/* A row of PyTorch's own: MinMaxObserver(qint8, per_tensor_symmetric), quantize_per_tensor. */
static const float weights[24] = {
    0x1.053cd6p+1f,  -0x1.472008p+1f, 0x1.ac221ap-2f,  -0x1.22b2b2p-1f, -0x1.cf834cp-2f,
    -0x1.b98b02p-3f, -0x1.028ee8p+1f, -0x1.daff5cp-3f, -0x1.bafd36p-1f, 0x1.a9580cp+1f,
    0x1.ce6936p-3f,  -0x1.69180cp-2f, -0x1.2009dp-2f,  -0x1.560a2cp-1f, -0x1.0e1e58p+0f,
    -0x1.902e22p-2f, 0x1.ed8318p-2f,  -0x1.e88eccp-3f, 0x1.ea5f5ap-1f,  -0x1.9931dcp-3f,
    0x1.8d77fep-6f,  0x1.8bbaeap+0f,  0x1.171812p-1f,  -0x1.02ad58p-1f};
static const int8_t integers[24] = {78,  -98, 16,  -22, -17, -8, -78, -9, -33, 127, 9,  -14,
                                    -11, -26, -40, -15, 18,  -9, 37,  -8, 1,   59,  21, -19};

static void weights_round_as_pytorchs(void **unused)
{
    (void)unused;
    int8_t q[24];
    float scale = nq_weight_scale_minmax(weights, 24, 8);
    assert_true(scale == 0x1.ab031p-6f);
    nq_weight_round_nearest(weights, 24, scale, 8, q);
    assert_memory_equal(q, integers, sizeof q);
    /* 1.5 * scale, nearly: a division would give 2 */
    const float near[] = {0x1.0bd3e6p+1f, 0x1.935128p-6f};
    nq_weight_round_nearest(near, 2, nq_weight_scale_minmax(near, 2, 8), 8, q);
    assert_int_equal(q[1], 1);
    assert_true(nq_weight_scale_minmax((float[]){0.15f, -0x1.333334p-2f}, 2, 8) == 0x1.34679cp-9f);
    assert_true(nq_weight_scale_minmax((float[]){0.0f, 0.0f}, 2, 8) == 0x1p-23f);
    assert_true(nq_weight_scale_minmax((float[]){1e-8f}, 1, 8) == 0x1p-23f);
}

static void narrow_weights_use_their_whole_range(void **unused)
{
    (void)unused;
    for (int bits = 2; bits <= 8; bits++) {
        const float half = (float)(1 << (bits - 1)),
                    w[] = {-half + 0.5f, half - 0.5f, 0.5f, 1.5f, -0.5f};
        int8_t q[5];
        float scale = nq_weight_scale_minmax(w, 5, bits);
        assert_true(scale == 1.0f);
        nq_weight_round_nearest(w, 5, scale, bits, q);
        int low = -(1 << (bits - 1)), high = -low - 1;
        assert_int_equal(q[0], low); /* ties go to the even integer, then the clamp */
        assert_int_equal(q[1], high);
        assert_int_equal(q[2], 0);
        assert_int_equal(q[3], high < 2 ? high : 2);
        assert_int_equal(q[4], 0);
    }
}

static nq_spec spec_of(int weight_bits, int activation_bits, int shortcut_bits)
{
    nq_spec spec = {0};
    spec.weights.bits = weight_bits;
    spec.activations.bits = activation_bits;
    spec.activations.shortcut_bits = shortcut_bits;
    spec.activations.qmax = 255;
    return spec;
}

static void keep(nq_spec *spec, const char *name)
{
    snprintf(spec->keep_8bit[spec->keep_count++], NQ_SPEC_NAME, "%s", name);
}

/* images -> a -> b -> sum(b, a); sum -> c -> pool -> d */
static nq_graph one_shortcut(void)
{
    uint32_t state = 1;
    nq_graph g = small_graph(8, 8, 4);
    small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 4}, &state);
    small_conv(&g, NQ_OP_CONV, "b", 1, (small_layer){.channels = 4}, &state);
    small_conv(&g, NQ_OP_CONV, "b2", 2, (small_layer){.channels = 4}, &state);
    small_node(&g, NQ_OP_ADD, "sum", 3, 1);
    small_conv(&g, NQ_OP_CONV, "c", 4, (small_layer){.channels = 4}, &state);
    int pool = small_node(&g, NQ_OP_AVGPOOL, "pool", 5, -1);
    g.nodes[pool].height = g.nodes[pool].width = 1;
    small_conv(&g, NQ_OP_LINEAR, "d", 6, (small_layer){.channels = 4}, &state);
    return g;
}

static void assert_widths_of(const nq_graph *g, const nq_spec *spec, const int *weight_bits,
                             const char *want)
{
    nq_width widths[SMALL_GRAPH_NODES];
    nq_error err = {0};
    char got[512] = "";
    assert_ok(nq_widths_decide(g, spec, weight_bits, widths, &err), &err);
    for (int i = 0; i < g->count; i++) {
        size_t used = strlen(got);
        const char *name = g->nodes[i].name;
        if (nq_node_has_weight(&g->nodes[i]))
            snprintf(got + used, sizeof got - used, "%s:%d<%d*%d ", name, widths[i].stored,
                     widths[i].read, widths[i].weights);
        else
            snprintf(got + used, sizeof got - used, "%s:%d ", name, widths[i].stored);
    }
    assert_string_equal(got, want);
}

static void assert_widths(const nq_graph *g, const nq_spec *spec, const char *want)
{
    assert_widths_of(g, spec, NULL, want);
}

/* NAME:stored<read*weights */
static void widths_follow_the_readers(void **unused)
{
    (void)unused;
    nq_graph g = one_shortcut();
    nq_spec spec = spec_of(8, 8, 8);
    assert_widths(&g, &spec, "quant:8 a:8<8*8 b:8<8*8 b2:8<8*8 sum:8 c:8<8*8 pool:8 d:8<8*8 ");
    spec = spec_of(4, 4, 8);
    assert_widths(&g, &spec, "quant:8 a:8<8*4 b:4<4*4 b2:8<4*4 sum:8 c:8<4*4 pool:8 d:8<4*4 ");
    spec = spec_of(3, 4, 6);
    assert_widths(&g, &spec, "quant:8 a:6<8*3 b:4<4*3 b2:6<4*3 sum:6 c:6<4*3 pool:6 d:8<4*3 ");
    spec = spec_of(8, 8, 5);
    assert_widths(&g, &spec, "quant:8 a:5<8*8 b:8<8*8 b2:5<8*8 sum:5 c:5<8*8 pool:5 d:8<8*8 ");
    keep(&spec, "last");
    keep(&spec, "c");
    assert_widths(&g, &spec, "quant:8 a:5<8*8 b:8<8*8 b2:5<8*8 sum:8 c:8<8*8 pool:8 d:8<8*8 ");
    spec = spec_of(4, 4, 8);
    keep(&spec, "first");
    keep(&spec, "b2");
    assert_widths(&g, &spec, "quant:8 a:8<8*8 b:8<4*4 b2:8<8*8 sum:8 c:8<4*4 pool:8 d:8<4*4 ");
    nq_graph_free(&g);
}

static void widths_pass_through_slices_and_shuffles(void **unused)
{
    (void)unused;
    uint32_t state = 1;
    nq_graph g = small_graph(8, 8, 4);
    small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 4}, &state);
    small_node(&g, NQ_OP_SHUFFLE, "mix", 1, -1);
    small_node(&g, NQ_OP_SLICE, "part", 2, -1);
    small_conv(&g, NQ_OP_CONV, "b", 3, (small_layer){.channels = 4}, &state);
    small_node(&g, NQ_OP_CAT, "cat", 4, 3);
    small_conv(&g, NQ_OP_CONV, "c", 5, (small_layer){.channels = 4}, &state);
    small_conv(&g, NQ_OP_CONV, "c2", 6, (small_layer){.channels = 4}, &state);
    small_conv(&g, NQ_OP_CONV, "c3", 6, (small_layer){.channels = 4}, &state);
    small_node(&g, NQ_OP_ADD, "sum", 7, 8);
    small_conv(&g, NQ_OP_LINEAR, "d", 9, (small_layer){.channels = 4}, &state);
    small_node(&g, NQ_OP_SLICE, "logits", 10, -1);
    nq_spec spec = spec_of(4, 3, 7);
    assert_widths(&g, &spec,
                  "quant:8 a:7<8*4 mix:7 part:7 b:7<3*4 cat:7 c:7<3*4 c2:7<3*4 c3:7<3*4 sum:7 "
                  "d:8<3*4 logits:8 ");
    keep(&spec, "b");
    assert_widths(&g, &spec,
                  "quant:8 a:8<8*4 mix:8 part:8 b:7<8*8 cat:7 c:7<3*4 c2:7<3*4 c3:7<3*4 sum:7 "
                  "d:8<3*4 logits:8 ");
    nq_graph_free(&g);
}

static void every_layer_may_have_its_own_bits(void **unused)
{
    (void)unused;
    nq_graph g = one_shortcut();
    nq_spec spec = spec_of(0, 4, 6);
    const int bits[] = {0, 2, 3, 4, 0, 5, 0, 8};
    assert_widths_of(&g, &spec, bits,
                     "quant:8 a:6<8*2 b:4<4*3 b2:6<4*4 sum:6 c:6<4*5 pool:6 d:8<4*8 ");
    keep(&spec, "b");
    keep(&spec, "last");
    assert_widths_of(&g, &spec, bits,
                     "quant:8 a:8<8*2 b:4<8*8 b2:6<4*4 sum:6 c:8<4*5 pool:8 d:8<8*8 ");
    nq_graph_free(&g);
}

static void keep_8bit_takes_only_layers(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"conv9", "sum", "quant", "pool", ""};
    nq_graph g = one_shortcut();
    nq_width widths[SMALL_GRAPH_NODES];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nq_spec spec = spec_of(4, 4, 8);
        nq_error err = {0};
        char words[80];
        keep(&spec, "a");
        keep(&spec, wrong[i]);
        snprintf(words, sizeof words, "keep_8bit: \"%s\" is no", wrong[i]);
        assert_refused(nq_widths_decide(&g, &spec, NULL, widths, &err), NQ_ERR_INPUT, &err, words);
    }
    nq_graph_free(&g);
}

/* An architecture with weights and ranges of no meaning. */
typedef struct {
    nq_graph graph;
    nq_range *ranges;
} network;

static network network_of(const char *arch)
{
    network n = {0};
    nq_error err = {0};
    uint32_t state = 11;
    assert_ok(nq_graph_build(arch, 10, &n.graph, &err), &err);
    n.ranges = calloc((size_t)n.graph.count, sizeof *n.ranges);
    for (int i = 0; i < n.graph.count; i++) {
        nq_node *node = &n.graph.nodes[i];
        n.ranges[i] = (nq_range){.low = -1.0f - (float)i, .high = 2.0f + (float)i};
        if (!nq_node_has_weight(node))
            continue;
        node->weight = small_values(nq_node_weights(&n.graph, node), 0.1f, &state);
        node->bias = small_values((size_t)node->channels, 1.0f, &state);
    }
    return n;
}

static void network_free(network *n)
{
    nq_graph_free(&n->graph);
    free(n->ranges);
}

static const nq_qnode *find(const network *n, const nq_qmodel *m, const char *name)
{
    int i = nq_graph_find(&n->graph, name);
    if (i < 0)
        fail_msg("no node %s", name);
    return &m->nodes[i];
}

static void the_baseline_is_eight_bits_without_tables(void **unused)
{
    (void)unused;
    static const char *const archs[] = {"resnet18", "mobilenet_v2", "shufflenet_v2_x1_0"};
    for (int a = 0; a < 3; a++) {
        nq_error err = {0};
        network n = network_of(archs[a]);
        nq_spec spec = spec_of(8, 8, 8);
        nq_qmodel m;
        spec.activations.qmax = 127;
        assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err), &err);
        for (int i = 0; i < n.graph.count; i++) {
            const nq_node *node = &n.graph.nodes[i];
            const nq_range *r = &n.ranges[nq_widths_source(&n.graph, i)];
            nq_qparams want = nq_affine_params(r->low, r->high, 127, 255);
            assert_memory_equal(&m.nodes[i].out, &want, sizeof want);
            assert_false(m.nodes[i].has_table);
            if (!nq_node_has_weight(node))
                continue;
            assert_int_equal(m.nodes[i].weight_bits, 8);
            assert_int_equal(m.nodes[i].scales, 1);
            assert_memory_equal(m.nodes[i].bias, node->bias, node->channels * sizeof(float));
        }
        nq_qmodel_free(&m);
        network_free(&n);
    }
}

static void four_bits_on_resnet18(void **unused)
{
    (void)unused;
    nq_error err = {0};
    network n = network_of("resnet18");
    nq_spec spec = spec_of(4, 4, 8);
    nq_qmodel m;
    spec.weights.granularity = NQ_PER_CHANNEL;
    assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err), &err);
    int narrow = 0, tables = 0;
    for (int i = 0; i < n.graph.count; i++) {
        const nq_qnode *q = &m.nodes[i];
        narrow += q->out.qmax == 15;
        tables += q->has_table;
        if (q->has_table) {
            const nq_range *r = &n.ranges[n.graph.nodes[i].input[0]];
            nq_qparams want = nq_affine_params(r->low, r->high, 15, 15);
            assert_memory_equal(&q->in, &want, sizeof want);
        }
        if (nq_node_has_weight(&n.graph.nodes[i])) {
            assert_int_equal(q->weight_bits, 4);
            assert_int_equal(q->scales, n.graph.nodes[i].channels);
        }
    }
    assert_int_equal(narrow, 8);  /* the first convolution of each of the 8 blocks */
    assert_int_equal(tables, 12); /* those 8, 3 downsamplings, fc */
    assert_int_equal(find(&n, &m, "layer3.1.conv1")->out.qmax, 15);
    assert_int_equal(find(&n, &m, "layer3.1.conv2")->out.qmax, 255);
    assert_int_equal(find(&n, &m, "conv1")->out.qmax, 255);
    assert_true(find(&n, &m, "layer2.0.downsample.0")->has_table);
    assert_true(find(&n, &m, "layer1.0.conv1")->has_table);
    assert_false(find(&n, &m, "layer1.0.conv2")->has_table);
    assert_false(find(&n, &m, "conv1")->has_table);
    nq_qmodel_free(&m);

    int bits[128] = {0};
    for (int i = 0; i < n.graph.count; i++)
        bits[i] = 2 + i % 7;
    assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, bits, &m, &err), &err);
    for (int i = 0; i < n.graph.count; i++)
        if (nq_node_has_weight(&n.graph.nodes[i]))
            assert_int_equal(m.nodes[i].weight_bits, bits[i]);
    nq_qmodel_free(&m);

    keep(&spec, "first");
    keep(&spec, "last");
    keep(&spec, "layer1.0.conv2");
    assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err), &err);
    assert_int_equal(find(&n, &m, "conv1")->weight_bits, 8);
    assert_int_equal(find(&n, &m, "fc")->weight_bits, 8);
    assert_false(find(&n, &m, "fc")->has_table);
    assert_int_equal(find(&n, &m, "layer1.0.conv2")->weight_bits, 8);
    assert_int_equal(find(&n, &m, "layer1.0.conv1")->out.qmax, 255);
    assert_int_equal(find(&n, &m, "layer1.0.conv1")->weight_bits, 4);
    nq_qmodel_free(&m);
    network_free(&n);
}

static void per_channel_weights_have_each_their_scale(void **unused)
{
    (void)unused;
    nq_error err = {0};
    network n = network_of("shufflenet_v2_x0_5");
    nq_spec spec = spec_of(5, 8, 8);
    nq_qmodel m;
    spec.weights.granularity = NQ_PER_CHANNEL;
    assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err), &err);
    int checked = 0;
    for (int i = 0; i < n.graph.count; i++) {
        const nq_node *node = &n.graph.nodes[i];
        if (!nq_node_has_weight(node))
            continue;
        size_t depth = nq_node_weights(&n.graph, node) / (size_t)node->channels;
        for (int c = 0; c < node->channels; c++, checked++) {
            int8_t q[8192];
            const float *w = node->weight + (size_t)c * depth;
            float scale = nq_weight_scale_minmax(w, depth, 5);
            nq_weight_round_nearest(w, depth, scale, 5, q);
            assert_true(m.nodes[i].weight_scale[c] == scale);
            assert_memory_equal(m.nodes[i].weight + (size_t)c * depth, q, depth);
        }
    }
    assert_true(checked > 1000);
    nq_qmodel_free(&m);
    network_free(&n);
}

static void a_missing_bias_stays_missing(void **unused)
{
    (void)unused;
    nq_error err = {0};
    network n = network_of("resnet18");
    nq_spec spec = spec_of(8, 8, 8);
    nq_qmodel m;
    int conv1 = nq_graph_find(&n.graph, "conv1");
    free(n.graph.nodes[conv1].bias);
    n.graph.nodes[conv1].bias = NULL;
    assert_ok(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err), &err);
    assert_null(m.nodes[conv1].bias);
    assert_non_null(find(&n, &m, "fc")->bias);
    nq_qmodel_free(&m);
    network_free(&n);
}

static void ranges_that_are_none_are_refused_by_name(void **unused)
{
    (void)unused;
    static const nq_range wrong[] = {
        {NAN, 1.0f}, {0.0f, NAN}, {-INFINITY, 1.0f}, {2.0f, 1.0f}, {-3e38f, 3e38f}};
    network n = network_of("resnet18");
    nq_spec spec = spec_of(8, 8, 8);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nq_error err = {0};
        nq_qmodel m;
        n.ranges[nq_graph_find(&n.graph, "layer1.0.conv1")] = wrong[i];
        assert_refused(nq_quantize(&n.graph, n.ranges, NULL, NULL, &spec, NULL, &m, &err),
                       NQ_ERR_INPUT, &err, "layer1.0.conv1");
        assert_null(m.nodes);
    }
    network_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affine_parameters_are_pytorchs),
        cmocka_unit_test(weights_round_as_pytorchs),
        cmocka_unit_test(narrow_weights_use_their_whole_range),
        cmocka_unit_test(widths_follow_the_readers),
        cmocka_unit_test(widths_pass_through_slices_and_shuffles),
        cmocka_unit_test(every_layer_may_have_its_own_bits),
        cmocka_unit_test(keep_8bit_takes_only_layers),
        cmocka_unit_test(the_baseline_is_eight_bits_without_tables),
        cmocka_unit_test(four_bits_on_resnet18),
        cmocka_unit_test(per_channel_weights_have_each_their_scale),
        cmocka_unit_test(a_missing_bias_stays_missing),
        cmocka_unit_test(ranges_that_are_none_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
