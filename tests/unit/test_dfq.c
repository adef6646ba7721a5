/* Data-free quantization: moments and ranges from batch norms against sums by brute force,
 * equalization, absorption and bias correction on networks small enough to follow by hand. */
#include "tests/unit/demo_graph.h"
#include "tests/unit/small_graph.h"

#include "worker/float/float_net.h"
#include "worker/quantize/absorb_bias.h"
#include "worker/quantize/bn_ranges.h"
#include "worker/quantize/correct_bias.h"
#include "worker/quantize/equalize.h"
#include "worker/quantize/equalize_bn.h"

#include <math.h>

#define assert_near(a, b, most) assert_true(fabs((double)(a) - (double)(b)) <= (most))

static void set_norm(nq_node *n, uint32_t *state)
{
    size_t channels = (size_t)n->channels;
    n->norm.gamma = small_values(channels, 1, state);
    n->norm.beta = small_values(channels, 1, state);
}

static void assert_alike(nq_normal a, nq_normal b)
{
    assert_true(a.mean == b.mean && a.sd == b.sd && a.clipped == b.clipped);
}

static void normals_are_those_of_libm(void **state)
{
    (void)state;
    for (double z = -9; z <= 9; z += 0.01) {
        assert_near(nq_normal_cdf(z), erfc(-z * M_SQRT1_2) / 2, 1e-13);
        assert_near(nq_normal_density(z), exp(-z * z / 2) / sqrt(2 * M_PI), 1e-13);
    }
    for (double x = -40; x <= 0; x += 0.01)
        assert_near(nq_portable_exp(x) / exp(x), 1, 1e-13);
}

/* Moments of max(x, 0) by the trapezoid rule, 12 deviations around the mean. */
static void moments_are_integrals(void **state)
{
    (void)state;
    static const nq_normal cases[] = {{0, 1, true},    {1.5, 0.5, true}, {-2, 1, true},
                                      {-0.3, 2, true}, {3, 0.1, true},   {-1, 3, false},
                                      {5, 1e-9, true}, {-5, 0.1, true}};
    enum { STEPS = 200000 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_normal n = cases[i];
        double mean = 0, square = 0, step = 24.0 / STEPS;
        for (int k = 0; k <= STEPS; k++) {
            double z = -12 + k * step, x = n.mean + z * n.sd;
            double weight = exp(-z * z / 2) / sqrt(2 * M_PI) * step;
            x = n.clipped && x < 0 ? 0 : x;
            mean += weight * x;
            square += weight * x * x;
        }
        assert_near(nq_normal_mean(n), mean, 1e-6);
        assert_near(nq_normal_variance(n), square - mean * mean, 1e-5);
    }
    assert_true(nq_normal_mean((nq_normal){-1, 0, true}) == 0);
    assert_true(nq_normal_mean((nq_normal){2, 0, true}) == 2);
    assert_true(nq_normal_variance((nq_normal){2, 0, true}) == 0);
}

/* conv a (relu), conv b; add (relu); cat(add, a); shuffle; slice; pool; linear. */
static nq_graph joined_graph(void)
{
    uint32_t seed = 5;
    nq_graph g = small_graph(4, 4, 3);
    int a = small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 4, .relu = true}, &seed);
    int b = small_conv(&g, NQ_OP_CONV, "b", 0, (small_layer){.channels = 4}, &seed);
    set_norm(&g.nodes[a], &seed);
    set_norm(&g.nodes[b], &seed);
    int add = small_node(&g, NQ_OP_ADD, "add", a, b);
    g.nodes[add].relu = true;
    int cat = small_node(&g, NQ_OP_CAT, "cat", add, b);
    g.nodes[cat].channels = 8;
    int shuffle = small_node(&g, NQ_OP_SHUFFLE, "shuffle", cat, -1);
    g.nodes[shuffle].groups = 2;
    int slice = small_node(&g, NQ_OP_SLICE, "slice", shuffle, -1);
    g.nodes[slice].first = 3;
    g.nodes[slice].channels = 2;
    int pool = small_node(&g, NQ_OP_AVGPOOL, "pool", slice, -1);
    g.nodes[pool].height = g.nodes[pool].width = 1;
    small_conv(&g, NQ_OP_LINEAR, "fc", pool, (small_layer){.channels = 3}, &seed);
    return g;
}

static void moments_go_through_the_graph(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_graph g = joined_graph();
    nq_bn_moments m;
    assert_ok(nq_bn_moments_derive(&g, &m, &err), &err);
    const nq_node *a = &g.nodes[1], *b = &g.nodes[2], *fc = &g.nodes[g.count - 1];
    nq_normal sum[4];
    for (int c = 0; c < 4; c++) {
        nq_normal x = {(double)a->norm.beta[c], fabs((double)a->norm.gamma[c]), true};
        nq_normal y = {(double)b->norm.beta[c], fabs((double)b->norm.gamma[c]), false};
        assert_alike(m.channel[1][c], x);
        assert_alike(m.channel[2][c], y);
        sum[c] = (nq_normal){nq_normal_mean(x) + y.mean, sqrt(nq_normal_variance(x) + y.sd * y.sd),
                             true};
        assert_near(m.channel[3][c].mean, sum[c].mean, 1e-12);
        assert_near(m.channel[3][c].sd, sum[c].sd, 1e-12);
        assert_true(m.channel[3][c].clipped);
    }
    /* cat: add 0 1 2 3, b 0 1 2 3; shuffled in two groups: add0 b0 add1 b1 add2 ...; cut out: 3, 4
     */
    assert_alike(m.channel[5][1], m.channel[2][0]);
    assert_alike(m.channel[5][6], m.channel[3][3]);
    assert_alike(m.channel[6][0], m.channel[2][1]);
    assert_alike(m.channel[6][1], m.channel[3][2]);
    for (int c = 0; c < 2; c++)
        assert_alike(m.channel[7][c], m.channel[6][c]);
    for (int c = 0; c < 3; c++) {
        double mean = (double)fc->bias[c], variance = 0;
        for (int i = 0; i < 2; i++) {
            double w = (double)fc->weight[2 * c + i];
            mean += w * nq_normal_mean(m.channel[6][i]);
            variance += w * w * nq_normal_variance(m.channel[6][i]);
        }
        assert_near(m.channel[8][c].mean, mean, 1e-12);
        assert_near(m.channel[8][c].sd, sqrt(variance), 1e-12);
    }
    nq_bn_moments_free(&m);

    free(g.nodes[2].norm.gamma);
    g.nodes[2].norm.gamma = NULL;
    assert_refused(nq_bn_moments_derive(&g, &m, &err), NQ_ERR_INPUT, &err,
                   "convolution b has no batch norm");
    assert_null(m.channel);
    nq_graph_free(&g);
}

static void ranges_hold_six_deviations(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_graph g = joined_graph();
    nq_bn_moments m;
    nq_range ranges[16], pixels = {-2.118f, 2.64f};
    uint64_t *histograms = calloc((size_t)g.count * NQ_HISTOGRAM_BINS, sizeof *histograms);
    assert_ok(nq_bn_moments_derive(&g, &m, &err), &err);
    assert_ok(nq_bn_ranges(&g, &m, pixels, ranges, histograms, &err), &err);
    assert_true(ranges[0].low == pixels.low && ranges[0].high == pixels.high);
    double low = INFINITY, high = -INFINITY, narrow = -INFINITY;
    for (int c = 0; c < 4; c++) {
        nq_normal n = m.channel[2][c];
        low = fmin(low, n.mean - 6 * n.sd);
        high = fmax(high, n.mean + 6 * n.sd);
        narrow = fmax(narrow, n.mean + 4.5 * n.sd);
    }
    assert_near(ranges[2].low, low, 1e-5);
    assert_near(ranges[2].high, high, 1e-5);
    assert_near(nq_bn_range(&g, &m, 2, ranges[2], 6).high, narrow, 1e-5);
    assert_true(ranges[1].low == 0 && ranges[3].low == 0);
    /* The concatenation holds both: what is behind a ReLU and what is not. */
    assert_true(ranges[4].low == ranges[2].low);
    assert_true(ranges[4].high == fmaxf(ranges[2].high, ranges[3].high));
    const nq_node *fc = &g.nodes[8];
    low = INFINITY, high = -INFINITY;
    for (int c = 0; c < 3; c++) {
        double w0 = (double)fc->weight[2 * c], w1 = (double)fc->weight[2 * c + 1];
        nq_normal plain = m.channel[7][0];
        double e = nq_normal_mean(m.channel[7][1]), bias = (double)fc->bias[c];
        high = fmax(high, bias + w0 * plain.mean + fabs(w0) * plain.sd + 2 * fmax(w1, 0) * e);
        low = fmin(low, bias + w0 * plain.mean - fabs(w0) * plain.sd + fmin(w1, 0) * e);
    }
    assert_near(ranges[8].low, low, 1e-5);
    assert_near(ranges[8].high, high, 1e-5);
    nq_range whole = ranges[8], still = nq_bn_range(&g, &m, 8, whole, 4);
    assert_memory_equal(&still, &whole, sizeof whole);
    /* All of the mass is somewhere; half of a channel lies below its mean. */
    for (int i = 1; i < g.count; i++) {
        double all = 0;
        for (int bin = 0; bin < NQ_HISTOGRAM_BINS; bin++)
            all += (double)histograms[(size_t)i * NQ_HISTOGRAM_BINS + (size_t)bin];
        assert_near(all / 0x1p40, 1, 1e-6);
    }
    free(histograms);
    nq_bn_moments_free(&m);
    nq_graph_free(&g);
}

/* What a laplace-tailed channel has in each half, and what ReLU heaps up at zero. */
static void histograms_of_one_channel(void **state)
{
    (void)state;
    nq_error err = {0};
    uint32_t seed = 1;
    nq_graph g = small_graph(2, 2, 1);
    nq_range ranges[2], pixels = {-1, 1};
    uint64_t *h = calloc(2 * NQ_HISTOGRAM_BINS, sizeof *h), *of_conv = h + NQ_HISTOGRAM_BINS;
    nq_bn_moments m;
    small_conv(&g, NQ_OP_CONV, "c", 0, (small_layer){.channels = 1, .relu = true}, &seed);
    g.nodes[1].norm.gamma = small_values(1, 1, &seed);
    g.nodes[1].norm.beta = small_values(1, 1, &seed);
    g.nodes[1].norm.gamma[0] = 2, g.nodes[1].norm.beta[0] = 1;
    assert_ok(nq_bn_moments_derive(&g, &m, &err), &err);
    assert_ok(nq_bn_ranges(&g, &m, pixels, ranges, h, &err), &err);
    assert_true(ranges[1].low == 0 && ranges[1].high == 13);
    assert_near((double)of_conv[0] / 0x1p40, exp(-M_SQRT1_2) / 2, 3e-3);
    double below = 0;
    for (int bin = 0; bin < NQ_HISTOGRAM_BINS * 5 / 13; bin++)
        below += (double)of_conv[bin] / 0x1p40;
    assert_near(below, 1 - exp(-2 * M_SQRT2) / 2, 1e-3);
    free(h);
    nq_bn_moments_free(&m);
    nq_graph_free(&g);
}

/* conv 3 to 2, relu, conv 2 to 2, each 1x1. */
static nq_graph pair_graph(uint32_t *seed)
{
    nq_graph g = small_graph(3, 3, 3);
    int a = small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 2, .relu = true}, seed);
    set_norm(&g.nodes[a], seed);
    int b = small_conv(&g, NQ_OP_CONV, "b", a, (small_layer){.channels = 2}, seed);
    set_norm(&g.nodes[b], seed);
    return g;
}

static void a_pair_equalized_by_hand(void **state)
{
    (void)state;
    nq_error err = {0};
    uint32_t seed = 3;
    nq_graph g = pair_graph(&seed);
    /* Row ranges 8 and 1, column ranges 2 and 4: scales 2 and 1/2. */
    const float first[6] = {1, -8, 2, 0.5f, 1, 0.25f}, second[4] = {2, -1, 0.5f, 4};
    memcpy(g.nodes[1].weight, first, sizeof first);
    memcpy(g.nodes[2].weight, second, sizeof second);
    float bias[2] = {g.nodes[1].bias[0], g.nodes[1].bias[1]}, gamma = g.nodes[1].norm.gamma[0],
          beta = g.nodes[1].norm.beta[1], last = g.nodes[2].norm.beta[0];
    assert_ok(nq_equalize_weights(&g, &err), &err);
    const float want[6] = {0.5f, -4, 1, 1, 2, 0.5f}, want_second[4] = {4, -0.5f, 1, 2};
    for (int i = 0; i < 6; i++)
        assert_near(g.nodes[1].weight[i], want[i], 1e-6);
    for (int i = 0; i < 4; i++)
        assert_near(g.nodes[2].weight[i], want_second[i], 1e-6);
    assert_near(g.nodes[1].bias[0], bias[0] / 2, 1e-6);
    assert_near(g.nodes[1].bias[1], bias[1] * 2, 1e-6);
    assert_near(g.nodes[1].norm.gamma[0], gamma / 2, 1e-6);
    assert_near(g.nodes[1].norm.beta[1], beta * 2, 1e-6);
    assert_true(g.nodes[2].norm.beta[0] == last);
    nq_graph_free(&g);
}

/* Pointwise, depthwise, pointwise: the cube roots of AIMET's closed form. A dead channel stays. */
static void a_triple_becomes_alike(void **state)
{
    (void)state;
    nq_error err = {0};
    uint32_t seed = 9;
    nq_graph g = small_graph(5, 5, 4);
    small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 3, .relu = true}, &seed);
    small_conv(&g, NQ_OP_CONV, "d", 1,
               (small_layer){.channels = 3, .kernel = 3, .pad = 1, .groups = 3, .relu = true},
               &seed);
    small_conv(&g, NQ_OP_CONV, "b", 2, (small_layer){.channels = 5}, &seed);
    double range[3][3] = {{0}};
    for (int round = 0; round < 2; round++)
        for (int c = 0; c < 3; c++) {
            double now[3] = {0};
            for (int i = 0; i < 4; i++)
                now[0] = fmax(now[0], fabs((double)g.nodes[1].weight[c * 4 + i]));
            for (int t = 0; t < 9; t++)
                now[1] = fmax(now[1], fabs((double)g.nodes[2].weight[c * 9 + t]));
            for (int o = 0; o < 5; o++)
                now[2] = fmax(now[2], fabs((double)g.nodes[3].weight[o * 3 + c]));
            if (round == 0) {
                memcpy(range[c], now, sizeof now);
                for (int i = 0; c == 1 && i < 4; i++)
                    g.nodes[1].weight[4 + i] = 0;
                if (c == 2)
                    assert_ok(nq_equalize_weights(&g, &err), &err);
            } else if (c == 1) {
                assert_true(now[0] == 0);
                assert_near(now[1], sqrt(range[c][1] * range[c][2]), 1e-4);
            } else {
                double root = cbrt(range[c][0] * range[c][1] * range[c][2]);
                for (int k = 0; k < 3; k++)
                    assert_near(now[k], root, 1e-4);
            }
        }
    nq_graph_free(&g);
}

/* A tensor with two readers, or an addition as its reader, keeps its scale. */
static void only_single_readers_are_equalized(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_graph g = joined_graph(), copy;
    assert_ok(nq_graph_copy(&g, &copy, &err), &err);
    assert_ok(nq_equalize_weights(&g, &err), &err);
    for (int i = 1; i <= 2; i++)
        assert_memory_equal(g.nodes[i].weight, copy.nodes[i].weight, 12 * sizeof(float));
    nq_graph_free(&g);
    nq_graph_free(&copy);
}

static void biases_absorbed_by_hand(void **state)
{
    (void)state;
    uint32_t seed = 3;
    nq_graph g = pair_graph(&seed);
    const float second[4] = {2, -1, 0.5f, 4};
    memcpy(g.nodes[2].weight, second, sizeof second);
    /* Channel 0 lies above zero by 5 - 3 = 2, channel 1 does not. */
    g.nodes[1].norm.beta[0] = 5, g.nodes[1].norm.gamma[0] = -1;
    g.nodes[1].norm.beta[1] = 5, g.nodes[1].norm.gamma[1] = 2;
    g.nodes[1].bias[0] = 4, g.nodes[1].bias[1] = 3;
    g.nodes[2].bias[0] = 0.25f, g.nodes[2].bias[1] = -1;
    nq_absorb_bias(&g);
    assert_true(g.nodes[1].bias[0] == 2 && g.nodes[1].bias[1] == 3);
    assert_true(g.nodes[1].norm.beta[0] == 3 && g.nodes[1].norm.beta[1] == 5);
    assert_true(g.nodes[2].bias[0] == 4.25f && g.nodes[2].bias[1] == 0);
    /* A reader that pads would need another padding. */
    g.nodes[1].norm.beta[0] = 50;
    g.nodes[2].pad_h = g.nodes[2].pad_w = 1;
    nq_absorb_bias(&g);
    assert_true(g.nodes[1].norm.beta[0] == 50 && g.nodes[1].bias[0] == 2);
    nq_graph_free(&g);
}

/* The expected output of the corrected integer layer is the float layer's, for dense and grouped
 * layers and either granularity. */
static void corrected_means_are_the_float_ones(void **state)
{
    (void)state;
    nq_error err = {0};
    uint32_t seed = 17;
    for (int groups = 1; groups <= 4; groups++) {
        if (groups == 3)
            continue;
        nq_graph g = small_graph(5, 5, 3);
        small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 4, .relu = true}, &seed);
        small_conv(&g, NQ_OP_CONV, "b", 1,
                   (small_layer){.channels = 8, .kernel = 3, .groups = groups}, &seed);
        set_norm(&g.nodes[1], &seed);
        set_norm(&g.nodes[2], &seed);
        enum { WEIGHTS = 8 * 9 * 4 };
        int inputs = 4 / groups;
        int8_t q[WEIGHTS], first[12];
        float scales[8], one[1] = {0.07f}, *bias = calloc(8, sizeof *bias), zero[4] = {0};
        memcpy(bias, g.nodes[2].bias, 8 * sizeof *bias);
        for (int i = 0; i < 8 * 9 * inputs; i++)
            q[i] = (int8_t)(8 * small_random(&seed));
        for (int i = 0; i < 12; i++)
            first[i] = (int8_t)(8 * small_random(&seed));
        for (int i = 0; i < 8; i++)
            scales[i] = 0.05f + 0.01f * (float)i;
        nq_qnode nodes[3] = {
            {.bias = NULL},
            {.weight = first, .scales = 1, .weight_scale = one, .bias = zero},
            {.weight = q, .scales = groups == 2 ? 1 : 8, .weight_scale = scales, .bias = bias}};
        nq_qmodel model = {.nodes = nodes};
        nq_bn_moments m;
        assert_ok(nq_bn_moments_derive(&g, &m, &err), &err);
        assert_ok(nq_correct_bias(&g, &m, &model, &err), &err);
        for (int o = 0; o < 8; o++) {
            double real = (double)g.nodes[2].bias[o], ours = (double)bias[o];
            for (int t = 0; t < 9; t++)
                for (int i = 0; i < inputs; i++) {
                    int at = (o * 9 + t) * inputs + i;
                    double e = nq_normal_mean(m.channel[1][o / (8 / groups) * inputs + i]);
                    real += e * (double)g.nodes[2].weight[at];
                    ours += e * q[at] * (double)scales[groups == 2 ? 0 : o];
                }
            assert_near(real, ours, 1e-5);
        }
        /* Images have mean 0: nothing to correct. */
        for (int c = 0; c < 4; c++)
            assert_true(zero[c] == 0);
        nq_bn_moments_free(&m);
        free(bias);
        nq_graph_free(&g);
    }
}

/* By batch norms: a depthwise reader wants its channels alike, three deviations up. */
static void channels_alike_by_batch_norms(void **state)
{
    (void)state;
    nq_error err = {0};
    uint32_t seed = 2;
    nq_graph g = small_graph(5, 5, 4);
    small_conv(&g, NQ_OP_CONV, "a", 0, (small_layer){.channels = 3, .relu = true}, &seed);
    small_conv(&g, NQ_OP_CONV, "d", 1,
               (small_layer){.channels = 3, .kernel = 3, .pad = 1, .groups = 3}, &seed);
    small_conv(&g, NQ_OP_CONV, "b", 2, (small_layer){.channels = 5, .kernel = 3, .pad = 1}, &seed);
    for (int i = 1; i <= 3; i++)
        set_norm(&g.nodes[i], &seed);
    for (int c = 0; c < 3; c++) {
        g.nodes[1].norm.beta[c] = (float)c - 1;
        g.nodes[1].norm.gamma[c] = c == 1 ? -0.5f : 1.5f;
    }
    assert_ok(nq_equalize_by_bn(&g, 0, &err), &err);
    double reach[3];
    for (int c = 0; c < 3; c++)
        reach[c] = (double)g.nodes[1].norm.beta[c] + 3 * fabs((double)g.nodes[1].norm.gamma[c]);
    assert_near(reach[1] / reach[0], 1, 1e-5);
    assert_near(reach[2] / reach[0], 1, 1e-5);
    nq_graph_free(&g);
}

/* The float network's result on one image of noise, [classes]; the caller frees it. */
static float *results(const nq_graph *g)
{
    nq_error err = {0};
    nq_float_net *net;
    nq_float_run *run;
    uint32_t seed = 8;
    size_t image = nq_node_elements(&g->nodes[0]), bytes = (size_t)g->classes * sizeof(float);
    assert_ok(nq_float_net_create(g, 1, &net, &err), &err);
    assert_ok(nq_float_run_create(net, &run, &err), &err);
    for (size_t i = 0; i < image; i++)
        nq_float_run_input(run)[i] = 2 * small_random(&seed);
    assert_ok(nq_float_run_forward(run, NULL, NULL, &err), &err);
    float *out = malloc(bytes);
    memcpy(out, nq_float_run_output(run), bytes);
    nq_float_run_free(run);
    nq_float_net_free(net);
    return out;
}

static nq_status equalize_fully_by_bn(nq_graph *g, nq_error *err)
{
    return nq_equalize_by_bn(g, 1, err);
}

/* Whatever is equalized, the float network computes what it did, on a whole ShuffleNetV2. */
static void the_float_network_stays(void **state)
{
    (void)state;
    static nq_status (*const ways[])(nq_graph * g, nq_error * err) = {nq_equalize_weights,
                                                                      equalize_fully_by_bn};
    nq_error err = {0};
    nq_graph g = demo_graph();
    float *before = results(&g);
    for (size_t way = 0; way < 2; way++) {
        nq_graph copy;
        int changed = 0;
        assert_ok(nq_graph_copy(&g, &copy, &err), &err);
        assert_ok(ways[way](&copy, &err), &err);
        for (int i = 0; i < g.count; i++)
            changed += nq_node_has_weight(&g.nodes[i]) &&
                       memcmp(g.nodes[i].weight, copy.nodes[i].weight,
                              nq_node_weights(&g, &g.nodes[i]) * sizeof(float)) != 0;
        assert_true(changed > 20);
        float *after = results(&copy);
        for (int k = 0; k < g.classes; k++)
            assert_near(after[k], before[k], 1e-4 * (1 + fabs((double)before[k])));
        free(after);
        nq_graph_free(&copy);
    }
    free(before);
    nq_graph_free(&g);
}

/* Where all that ReLU sees lies above what is absorbed, absorbing changes nothing either. */
static void absorbing_changes_nothing_above(void **state)
{
    (void)state;
    uint32_t seed = 3;
    nq_graph g = pair_graph(&seed);
    for (int c = 0; c < 2; c++) {
        g.nodes[1].bias[c] = 9;
        g.nodes[1].norm.beta[c] = 9;
    }
    float *before = results(&g);
    nq_absorb_bias(&g);
    assert_true(g.nodes[1].bias[0] < 9 && g.nodes[1].bias[1] < 9);
    float *after = results(&g);
    assert_near(after[0], before[0], 1e-5);
    free(before);
    free(after);
    nq_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normals_are_those_of_libm),
        cmocka_unit_test(moments_are_integrals),
        cmocka_unit_test(moments_go_through_the_graph),
        cmocka_unit_test(ranges_hold_six_deviations),
        cmocka_unit_test(histograms_of_one_channel),
        cmocka_unit_test(a_pair_equalized_by_hand),
        cmocka_unit_test(a_triple_becomes_alike),
        cmocka_unit_test(only_single_readers_are_equalized),
        cmocka_unit_test(biases_absorbed_by_hand),
        cmocka_unit_test(corrected_means_are_the_float_ones),
        cmocka_unit_test(channels_alike_by_batch_norms),
        cmocka_unit_test(the_float_network_stays),
        cmocka_unit_test(absorbing_changes_nothing_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
