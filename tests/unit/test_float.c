/* The float network against a reference of plain loops in double precision, node by node; its
 * independence of threads; the placing of buffers. */
#include "tests/unit/nq_test.h"

#include "common/arena.h"
#include "tests/unit/float_reference.h"
#include "worker/float/float_net.h"
#include <pthread.h>

#define BATCH REFERENCE_BATCH

typedef struct {
    const nq_graph *graph;
    reference expected;
    int seen;
} comparison;

static nq_status compare(void *context, int node, const float *values, nq_error *err)
{
    comparison *c = context;
    const nq_node *n = &c->graph->nodes[node];
    (void)err;
    assert_int_equal(node, c->seen);
    c->seen++;
    for (size_t k = 0; k < BATCH * nq_node_elements(n); k++) {
        double want = c->expected.values[node][k];
        if (!(fabs((double)values[k] - want) <= 2e-5 * (1.0 + fabs(want))))
            fail_msg("%s: value %zu is %.9g, wanted %.9g", n->name, k, (double)values[k], want);
    }
    return NQ_OK;
}

static void every_node_matches_the_reference(void **unused)
{
    (void)unused;
    nq_error err = {0};
    uint32_t state = 3;
    nq_graph g = small_every_kind();
    nq_float_net *net = NULL;
    nq_float_run *run = NULL;
    size_t image = nq_node_elements(&g.nodes[0]);
    float *images = small_values(BATCH * image, 2.0f, &state);
    double *doubles = reference_images(&g, images);

    assert_ok(nq_float_net_create(&g, BATCH, &net, &err), &err);
    assert_int_equal(nq_float_net_batch(net), BATCH);
    assert_ok(nq_float_run_create(net, &run, &err), &err);
    comparison c = {.graph = &g, .expected = reference_run(&g, doubles)};
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0)
            memcpy(nq_float_run_input(run), images, BATCH * image * sizeof *images);
        c.seen = 0;
        assert_ok(nq_float_run_forward(run, compare, &c, &err), &err);
        assert_int_equal(c.seen, g.count);
        assert_memory_equal(nq_float_run_input(run), images, BATCH * image * sizeof *images);
    }
    c.seen = g.count - 1;
    compare(&c, g.count - 1, nq_float_run_output(run), &err);

    reference_free(&c.expected);
    free(doubles);
    free(images);
    nq_float_run_free(run);
    nq_float_net_free(net);
    nq_graph_free(&g);
}

typedef struct {
    const nq_float_net *net;
    const float *images;
    size_t input, output;
    float *results; /* [8][output] */
} threaded;

static void *score_all(void *context)
{
    threaded *t = context;
    nq_error err = {0};
    nq_float_run *run = NULL;
    if (nq_float_run_create(t->net, &run, &err) != NQ_OK)
        return NULL;
    for (size_t i = 0; i < 8; i++) {
        memcpy(nq_float_run_input(run), t->images + i * t->input, t->input * sizeof(float));
        if (nq_float_run_forward(run, NULL, NULL, &err) == NQ_OK)
            memcpy(t->results + i * t->output, nq_float_run_output(run), t->output * sizeof(float));
    }
    nq_float_run_free(run);
    return t;
}

static void threads_at_once_compute_the_same_bits(void **unused)
{
    (void)unused;
    nq_error err = {0};
    uint32_t state = 5;
    nq_graph g = small_every_kind();
    nq_float_net *net = NULL;
    size_t input = BATCH * nq_node_elements(&g.nodes[0]), output = BATCH * 11;
    float *images = small_values(8 * input, 1.0f, &state);
    threaded t[4];
    pthread_t id[4];

    assert_ok(nq_float_net_create(&g, BATCH, &net, &err), &err);
    for (int i = 0; i < 4; i++) {
        t[i] = (threaded){net, images, input, output, calloc(8 * output, sizeof(float))};
        assert_int_equal(pthread_create(&id[i], NULL, score_all, &t[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *ended = NULL;
        pthread_join(id[i], &ended);
        assert_ptr_equal(ended, &t[i]);
        assert_memory_equal(t[i].results, t[0].results, 8 * output * sizeof(float));
    }
    assert_true(t[0].results[0] != 0.0f);
    for (int i = 0; i < 4; i++)
        free(t[i].results);
    free(images);
    nq_float_net_free(net);
    nq_graph_free(&g);
}

static nq_status stop_at_four(void *context, int node, const float *values, nq_error *err)
{
    (void)values;
    *(int *)context = node;
    return node == 4 ? nq_fail(err, NQ_ERR_CANCELLED, "enough") : NQ_OK;
}

static void a_hook_stops_the_pass(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = small_every_kind();
    nq_float_net *net = NULL;
    nq_float_run *run = NULL;
    int last = -1;

    assert_ok(nq_float_net_create(&g, 1, &net, &err), &err);
    assert_ok(nq_float_run_create(net, &run, &err), &err);
    assert_refused(nq_float_run_forward(run, stop_at_four, &last, &err), NQ_ERR_CANCELLED, &err,
                   "enough");
    assert_int_equal(last, 4);
    nq_float_run_free(run);
    nq_float_net_free(net);
    nq_graph_free(&g);
}

static void a_graph_without_weights_is_refused_by_name(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = small_every_kind();
    nq_float_net *net = NULL;
    free(g.nodes[3].weight);
    g.nodes[3].weight = NULL;
    assert_refused(nq_float_net_create(&g, 1, &net, &err), NQ_ERR_INTERNAL, &err, "wide");
    assert_null(net);
    nq_graph_free(&g);
}

static void buffers_are_reused(void **unused)
{
    (void)unused;
    nq_error err = {0};
    uint32_t state = 9;
    nq_graph g = small_graph(16, 16, 16);
    for (int i = 0; i < 20; i++)
        small_conv(&g, NQ_OP_CONV, "conv", i, (small_layer){.channels = 16}, &state);
    nq_float_net *net = NULL;
    assert_ok(nq_float_net_create(&g, 2, &net, &err), &err);
    assert_int_equal(nq_float_net_run_bytes(net), 3 * 2 * 16 * 16 * 16 * sizeof(float));
    nq_float_net_free(net);
    nq_graph_free(&g);
}

static void living_spans_never_overlap(void **unused)
{
    (void)unused;
    uint32_t state = 1;
    for (int round = 0; round < 300; round++) {
        nq_span spans[40];
        size_t most = 0;
        for (int i = 0; i < 40; i++) {
            int length = (int)(4.0f * (small_random(&state) + 1.0f));
            spans[i] = (nq_span){.first = i,
                                 .last = i + length,
                                 .bytes = (size_t)(500.0f * (small_random(&state) + 1.0f))};
        }
        size_t total = nq_arena_assign(spans, 40);
        for (int i = 0; i < 40; i++) {
            assert_int_equal(spans[i].offset % NQ_ARENA_ALIGN, 0);
            assert_true(spans[i].offset + spans[i].bytes <= total);
            most += spans[i].bytes;
            for (int j = 0; j < i; j++)
                if (spans[j].last >= spans[i].first)
                    assert_true(spans[i].offset + spans[i].bytes <= spans[j].offset ||
                                spans[j].offset + spans[j].bytes <= spans[i].offset);
        }
        assert_true(total < most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_matches_the_reference),
        cmocka_unit_test(threads_at_once_compute_the_same_bits),
        cmocka_unit_test(a_hook_stops_the_pass),
        cmocka_unit_test(a_graph_without_weights_is_refused_by_name),
        cmocka_unit_test(buffers_are_reused),
        cmocka_unit_test(living_spans_never_overlap),
    };
    return cmocka_run_group_tests_name("float", tests, NULL, NULL);
}
