/* Gradients: finite differences of the plain reference in double precision, node by node; the batch
 * norm in training mode; that threads do not matter; what is refused. The comparison with PyTorch
 * is tests/parity/check_gradients.py. */
#include "tests/unit/float_reference.h"

#include "worker/float/grad_net.h"
#include "worker/float/layers.h"
#include <pthread.h>

#define STEP 1e-6

/* The loss: every kept value times a number of its own, and half its square. */
static float factor_of(int node, size_t k)
{
    uint32_t state = (uint32_t)node * 7919u + (uint32_t)k * 104729u;
    small_random(&state);
    return 0.1f * small_random(&state);
}

static double reference_loss(const nq_graph *g, const double *images)
{
    reference r = reference_run(g, images);
    double loss = 0;
    for (int i = 0; i < g->count; i++)
        for (size_t k = 0; k < REFERENCE_BATCH * nq_node_elements(&g->nodes[i]); k++) {
            double v = reference_kept(&g->nodes[i], k, r.before[i][k]);
            loss += (double)factor_of(i, k) * v + 0.005 * v * v;
        }
    reference_free(&r);
    return loss;
}

static nq_status add_loss(void *context, int node, const float *values, float *gradient,
                          nq_error *err)
{
    const nq_graph *g = context;
    const nq_node *n = &g->nodes[node];
    (void)err;
    for (size_t k = 0; k < REFERENCE_BATCH * nq_node_elements(n); k++) {
        size_t c = k % (size_t)n->channels;
        bool lost = n->norm.gamma && n->norm.gamma[c] == 0.0f;
        gradient[k] += lost ? 0.0f : factor_of(node, k) + 0.01f * values[k];
    }
    return NQ_OK;
}

static nq_status compare_kept(void *context, int node, const float *values, nq_error *err)
{
    void **both = context;
    const nq_graph *g = both[0];
    const reference *r = both[1];
    const nq_node *n = &g->nodes[node];
    (void)err;
    for (size_t k = 0; k < REFERENCE_BATCH * nq_node_elements(n); k++) {
        double want = reference_kept(n, k, r->before[node][k]);
        if (!(fabs((double)values[k] - want) <= 2e-4 * (1.0 + fabs(want))))
            fail_msg("%s: value %zu is %.9g, wanted %.9g", n->name, k, (double)values[k], want);
    }
    return NQ_OK;
}

/* The derivative along the change that `move` makes, once forth and once back. */
static void assert_slope(const char *what, double before, double after, double step, double want)
{
    double slope = (after - before) / (2 * step);
    if (!(fabs(slope - want) <= 1e-4 * (fabs(want) + 0.05)))
        fail_msg("%s: slope %.9g, gradient %.9g", what, slope, want);
}

static void check_input_gradient(const nq_graph *g, const double *images, const float *gradient)
{
    size_t count = REFERENCE_BATCH * nq_node_elements(&g->nodes[0]);
    double *moved = malloc(count * sizeof *moved);
    uint32_t state = 77;
    for (int trial = 0; trial < 6; trial++) {
        double want = 0, ends[2];
        uint32_t begin = state;
        for (int side = 0; side < 2; side++) {
            state = begin;
            want = 0;
            for (size_t k = 0; k < count; k++) {
                double direction = (double)small_random(&state);
                moved[k] = images[k] + (side ? STEP : -STEP) * direction;
                want += direction * (double)gradient[k];
            }
            ends[side] = reference_loss(g, moved);
        }
        assert_slope("the images", ends[0], ends[1], STEP, want);
    }
    free(moved);
}

/* A folded weight that moves by STEP moves the unfolded one by STEP / scale. Floats are too coarse
 * for a step of 1e-6: the step is what the float really moved by. */
static void check_weight_gradient(const nq_graph *g, int node, const double *images,
                                  const float *weight, const float *bias)
{
    nq_node *n = &g->nodes[node];
    size_t count = nq_node_weights(g, n), row = count / (size_t)n->channels;
    for (size_t k = 5 % count; k < count; k += count / 3 + 1) {
        size_t c = k / row;
        double scale = n->norm.gamma
                           ? (double)(n->norm.gamma[c] * nq_batch_norm_inverse(&n->norm, (int)c))
                           : 1.0;
        if (scale == 0.0)
            continue;
        float was = n->weight[k];
        n->weight[k] = was - 1e-5f;
        double low = (double)n->weight[k], before = reference_loss(g, images);
        n->weight[k] = was + 1e-5f;
        double step = ((double)n->weight[k] - low) / 2, after = reference_loss(g, images);
        n->weight[k] = was;
        double slope = (after - before) / (2 * step), want = (double)weight[k] / scale;
        if (!(fabs(slope - want) <= 1e-3 * (fabs(want) + 0.05)))
            fail_msg("%s: weight %zu: slope %.9g, gradient %.9g", n->name, k, slope, want);
    }
    assert_true((bias != NULL) == (n->bias && !n->norm.gamma));
    for (int c = 0; bias && c < n->channels; c += 7) {
        float was = n->bias[c];
        n->bias[c] = was - 1e-5f;
        double low = (double)n->bias[c], before = reference_loss(g, images);
        n->bias[c] = was + 1e-5f;
        double step = ((double)n->bias[c] - low) / 2, after = reference_loss(g, images);
        n->bias[c] = was;
        double slope = (after - before) / (2 * step);
        if (!(fabs(slope - (double)bias[c]) <= 1e-3 * (fabs((double)bias[c]) + 0.05)))
            fail_msg("%s: bias %d: slope %.9g, gradient %.9g", n->name, c, slope, (double)bias[c]);
    }
}

static void check_graph(nq_graph *g)
{
    nq_error err = {0};
    uint32_t state = 3;
    nq_grad_net *net = NULL;
    nq_grad_run *run = NULL;
    size_t count = REFERENCE_BATCH * nq_node_elements(&g->nodes[0]);
    float *images = small_values(count, 2.0f, &state);
    double *doubles = reference_images(g, images);
    reference r = reference_run(g, doubles);
    void *both[] = {g, &r};

    assert_ok(nq_grad_net_create(g, REFERENCE_BATCH, (nq_grad_wanted){true, true}, &net, &err),
              &err);
    assert_ok(nq_grad_run_create(net, &run, &err), &err);
    memcpy(nq_grad_run_input(run), images, count * sizeof *images);
    for (int pass = 0; pass < 2; pass++) {
        assert_ok(nq_grad_run_forward(run, compare_kept, both, &err), &err);
        assert_ok(nq_grad_run_backward(run, add_loss, g, &err), &err);
        assert_memory_equal(nq_grad_run_input(run), images, count * sizeof *images);
    }
    check_input_gradient(g, doubles, nq_grad_run_input_gradient(run));
    for (int i = 0; i < g->count; i++) {
        const float *bias, *weight = nq_grad_run_weight_gradient(run, i, &bias);
        assert_true((weight != NULL) == nq_node_has_weight(&g->nodes[i]));
        if (weight)
            check_weight_gradient(g, i, doubles, weight, bias);
    }
    reference_free(&r);
    free(doubles);
    free(images);
    nq_grad_run_free(run);
    nq_grad_net_free(net);
}

static void gradients_are_the_slopes(void **unused)
{
    (void)unused;
    nq_graph g = small_every_kind();
    check_graph(&g);
    nq_graph_free(&g);
}

static void batch_norms_come_out_of_the_convolutions_again(void **unused)
{
    (void)unused;
    nq_graph g = reference_normed_graph();
    check_graph(&g);
    nq_graph_free(&g);
}

/* First layers as the architectures have them, whose gradient takes another way where the stride
 * divides the image: odd and even kernels, strides and pads. */
static void first_layers_have_gradients(void **unused)
{
    (void)unused;
    const small_layer layers[] = {{.channels = 16, .kernel = 7, .stride = 2, .pad = 3},
                                  {.channels = 9, .kernel = 3, .stride = 2, .pad = 1, .relu = true},
                                  {.channels = 5, .kernel = 5, .stride = 4},
                                  {.channels = 6, .kernel = 6, .stride = 3, .pad = 1},
                                  {.channels = 6, .kernel = 8, .stride = 2, .pad = 4}};
    uint32_t state = 31;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        nq_graph g = small_graph(24, 12, i % 2 ? 3 : 1 + (int)i);
        small_conv(&g, NQ_OP_CONV, "stem", 0, layers[i], &state);
        check_graph(&g);
        nq_graph_free(&g);
    }
}

/* Without the weights' gradients, and without the images', the rest is the same. */
static void what_nobody_wants_is_left_out(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = reference_normed_graph();
    uint32_t state = 4;
    int fc = nq_graph_find(&g, "fc"), deep = nq_graph_find(&g, "deep");
    size_t count = REFERENCE_BATCH * nq_node_elements(&g.nodes[0]);
    float *images = small_values(count, 2.0f, &state);
    nq_grad_wanted wanted[] = {{true, true}, {true, false}, {false, true}};
    nq_grad_net *net[3];
    nq_grad_run *run[3];
    const float *bias;
    for (int i = 0; i < 3; i++) {
        assert_ok(nq_grad_net_create(&g, REFERENCE_BATCH, wanted[i], &net[i], &err), &err);
        assert_ok(nq_grad_run_create(net[i], &run[i], &err), &err);
        memcpy(nq_grad_run_input(run[i]), images, count * sizeof *images);
        assert_ok(nq_grad_run_forward(run[i], NULL, NULL, &err), &err);
        assert_ok(nq_grad_run_backward(run[i], add_loss, &g, &err), &err);
    }
    assert_memory_equal(nq_grad_run_input_gradient(run[0]), nq_grad_run_input_gradient(run[1]),
                        count * sizeof(float));
    assert_null(nq_grad_run_input_gradient(run[2]));
    assert_null(nq_grad_run_weight_gradient(run[1], fc, &bias));
    assert_null(bias);
    assert_memory_equal(nq_grad_run_weight_gradient(run[0], deep, &bias),
                        nq_grad_run_weight_gradient(run[2], deep, &bias),
                        nq_node_weights(&g, &g.nodes[deep]) * sizeof(float));
    assert_true(nq_grad_net_run_bytes(net[1]) < nq_grad_net_run_bytes(net[0]));
    for (int i = 0; i < 3; i++) {
        nq_grad_run_free(run[i]);
        nq_grad_net_free(net[i]);
    }
    free(images);
    nq_graph_free(&g);
}

typedef struct {
    const nq_graph *graph;
    const nq_grad_net *net;
    const float *images;
    float *gradient;
} threaded;

static void *go_back(void *context)
{
    threaded *t = context;
    nq_error err = {0};
    nq_grad_run *run = NULL;
    size_t bytes = REFERENCE_BATCH * nq_node_elements(&t->graph->nodes[0]) * sizeof(float);
    if (nq_grad_run_create(t->net, &run, &err) != NQ_OK)
        return NULL;
    memcpy(nq_grad_run_input(run), t->images, bytes);
    if (nq_grad_run_forward(run, NULL, NULL, &err) == NQ_OK &&
        nq_grad_run_backward(run, add_loss, (void *)(uintptr_t)t->graph, &err) == NQ_OK)
        memcpy(t->gradient, nq_grad_run_input_gradient(run), bytes);
    nq_grad_run_free(run);
    return t;
}

static void threads_at_once_compute_the_same_bits(void **unused)
{
    (void)unused;
    nq_error err = {0};
    uint32_t state = 5;
    nq_graph g = reference_normed_graph();
    nq_grad_net *net = NULL;
    size_t count = REFERENCE_BATCH * nq_node_elements(&g.nodes[0]);
    float *images = small_values(count, 1.0f, &state);
    threaded t[4];
    pthread_t id[4];

    assert_ok(nq_grad_net_create(&g, REFERENCE_BATCH, (nq_grad_wanted){true, false}, &net, &err),
              &err);
    for (int i = 0; i < 4; i++) {
        t[i] = (threaded){&g, net, images, calloc(count, sizeof(float))};
        assert_int_equal(pthread_create(&id[i], NULL, go_back, &t[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *ended = NULL;
        pthread_join(id[i], &ended);
        assert_ptr_equal(ended, &t[i]);
        assert_memory_equal(t[i].gradient, t[0].gradient, count * sizeof(float));
    }
    assert_true(t[0].gradient[0] != 0.0f);
    for (int i = 0; i < 4; i++)
        free(t[i].gradient);
    free(images);
    nq_grad_net_free(net);
    nq_graph_free(&g);
}

static nq_status stop_at_four(void *context, int node, const float *values, float *gradient,
                              nq_error *err)
{
    (void)values;
    (void)gradient;
    *(int *)context = node;
    return node == 4 ? nq_fail(err, NQ_ERR_CANCELLED, "enough") : NQ_OK;
}

static void a_hook_stops_the_way_back(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = small_every_kind();
    nq_grad_net *net = NULL;
    nq_grad_run *run = NULL;
    int last = -1;
    assert_ok(nq_grad_net_create(&g, 1, (nq_grad_wanted){true, false}, &net, &err), &err);
    assert_ok(nq_grad_run_create(net, &run, &err), &err);
    assert_ok(nq_grad_run_forward(run, NULL, NULL, &err), &err);
    assert_refused(nq_grad_run_backward(run, stop_at_four, &last, &err), NQ_ERR_CANCELLED, &err,
                   "enough");
    assert_int_equal(last, 4);
    nq_grad_run_free(run);
    nq_grad_net_free(net);
    nq_graph_free(&g);
}

static void a_changed_graph_is_refused_by_name(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = reference_normed_graph();
    nq_grad_net *net = NULL;
    int wide = nq_graph_find(&g, "wide");
    g.nodes[wide].bias[2] += 0.5f;
    assert_refused(nq_grad_net_create(&g, 1, (nq_grad_wanted){true, false}, &net, &err),
                   NQ_ERR_INTERNAL, &err, "layer wide: its bias is not what folding wide.bn gives");
    g.nodes[wide].bias[2] -= 0.5f;
    free(g.nodes[wide].weight);
    g.nodes[wide].weight = NULL;
    assert_refused(nq_grad_net_create(&g, 1, (nq_grad_wanted){true, false}, &net, &err),
                   NQ_ERR_INTERNAL, &err, "layer wide has no weights loaded");
    assert_null(net);
    nq_graph_free(&g);
}

/* ---- batch norm in training mode: out and its slopes against double precision ---- */

#define PIXELS   37
#define CHANNELS 70 /* more than the kernel looks at together */

static double norm_loss(const double *in, const float *gamma, const float *beta, double *out)
{
    double loss = 0;
    for (int c = 0; c < CHANNELS; c++) {
        double mean = 0, square = 0;
        for (int p = 0; p < PIXELS; p++)
            mean += in[p * CHANNELS + c] / PIXELS;
        for (int p = 0; p < PIXELS; p++)
            square += pow(in[p * CHANNELS + c] - mean, 2) / PIXELS;
        for (int p = 0; p < PIXELS; p++) {
            int k = p * CHANNELS + c;
            out[k] = (in[k] - mean) / sqrt(square + 1e-3) * (double)gamma[c] + (double)beta[c];
            loss += (double)factor_of(1, (size_t)k) * out[k];
        }
    }
    return loss;
}

static void batch_norm_in_training_mode(void **unused)
{
    (void)unused;
    uint32_t state = 8;
    float *in = small_values(PIXELS * CHANNELS, 3.0f, &state);
    float *gamma = small_values(CHANNELS, 1.0f, &state),
          *beta = small_values(CHANNELS, 1.0f, &state);
    float out[PIXELS * CHANNELS], gradient[PIXELS * CHANNELS], mean[CHANNELS], inverse[CHANNELS];
    float gradient_gamma[CHANNELS], gradient_beta[CHANNELS];
    double exact[PIXELS * CHANNELS], moved[PIXELS * CHANNELS], other[PIXELS * CHANNELS];
    for (int k = 0; k < PIXELS * CHANNELS; k++) {
        moved[k] = (double)in[k];
        gradient[k] = factor_of(1, (size_t)k);
    }
    norm_loss(moved, gamma, beta, exact);
    nq_layer_norm(in, CHANNELS, PIXELS, gamma, beta, 1e-3f, mean, inverse, out);
    nq_layer_norm_gradient(in, CHANNELS, PIXELS, gamma, mean, inverse, gradient, gradient_gamma,
                           gradient_beta);
    for (int k = 0; k < PIXELS * CHANNELS; k++)
        assert_true(fabs((double)out[k] - exact[k]) < 1e-5);
    for (int k = 3; k < PIXELS * CHANNELS; k += 41) {
        moved[k] = (double)in[k] - STEP;
        double before = norm_loss(moved, gamma, beta, other);
        moved[k] = (double)in[k] + STEP;
        double after = norm_loss(moved, gamma, beta, other);
        moved[k] = (double)in[k];
        assert_slope("the input", before, after, STEP, (double)gradient[k]);
    }
    for (int c = 0; c < CHANNELS; c++) {
        double to_gamma = 0, to_beta = 0;
        for (int k = c; k < PIXELS * CHANNELS; k += CHANNELS) {
            to_beta += (double)factor_of(1, (size_t)k);
            to_gamma +=
                (double)factor_of(1, (size_t)k) * (exact[k] - (double)beta[c]) / (double)gamma[c];
        }
        assert_true(fabs(to_beta - (double)gradient_beta[c]) < 1e-5);
        assert_true(fabs(to_gamma - (double)gradient_gamma[c]) < 1e-5);
    }
    free(in);
    free(gamma);
    free(beta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_slopes),
        cmocka_unit_test(batch_norms_come_out_of_the_convolutions_again),
        cmocka_unit_test(first_layers_have_gradients),
        cmocka_unit_test(what_nobody_wants_is_left_out),
        cmocka_unit_test(threads_at_once_compute_the_same_bits),
        cmocka_unit_test(a_hook_stops_the_way_back),
        cmocka_unit_test(a_changed_graph_is_refused_by_name),
        cmocka_unit_test(batch_norm_in_training_mode),
    };
    return cmocka_run_group_tests_name("grad", tests, NULL, NULL);
}
