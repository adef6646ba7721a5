/* The passes of samples through one layer: what they weigh, and that threads change nothing. */
#include "tests/unit/demo_graph.h"

#include "common/random.h"
#include "worker/quantize/layer_pass.h"
#include <math.h>

enum { IMAGES = 11 }; /* the second slice is not full */

/* One layer with its own weights on trial, fed with random numbers; one position of the first image
 * is a hundred times as large as the rest. */
typedef struct {
    nq_graph graph;
    int node;
    size_t channels, positions; /* of an image's output */
    nq_pool *pool;
    nq_layer_input in;
    float *real;
    uint8_t *stored;
    nq_layer_runner *runner;
    float *out, *weights;
    nq_range span;
    nq_channel_stats *stats;
    uint64_t *counts;
} fixture;

static int first_dense(const nq_graph *graph)
{
    int i = 0;
    while (graph->nodes[i].op != NQ_OP_CONV || !graph->nodes[i].relu || graph->nodes[i].groups > 1)
        i++;
    return i;
}

static void fill_input(fixture *f)
{
    const nq_node *from = &f->graph.nodes[f->graph.nodes[f->node].input[0]];
    size_t each = nq_node_elements(from), middle = each / 2;
    nq_qparams params = {.scale = 0.05f, .zero_point = 128, .qmax = 255};
    nq_random r;
    nq_random_init(&r, 5, 0);
    f->real = malloc(IMAGES * each * sizeof *f->real);
    f->stored = malloc(IMAGES * each);
    for (size_t i = 0; i < IMAGES * each; i++) {
        f->real[i] = (float)nq_random_normal(&r);
        f->stored[i] = (uint8_t)lrintf(fmaxf(0, fminf(255, f->real[i] / 0.05f + 128)));
    }
    for (int c = 0; c < from->channels; c++)
        f->real[middle + (size_t)c] *= 100;
    f->in = (nq_layer_input){.images = IMAGES,
                             .height = from->height,
                             .width = from->width,
                             .channels = from->channels,
                             .real = f->real,
                             .stored = f->stored};
    nq_layer_input_set(&f->in, params, params);
}

static fixture begin(int threads)
{
    nq_error err = {0};
    fixture f = {.graph = demo_graph()};
    f.node = first_dense(&f.graph);
    const nq_node *n = &f.graph.nodes[f.node];
    f.channels = (size_t)n->channels;
    f.positions = (size_t)n->height * (size_t)n->width;
    fill_input(&f);
    assert_ok(nq_pool_create(threads, &f.pool, &err), &err);
    assert_ok(nq_layer_runner_create(&f.graph, threads, &f.runner, &err), &err);
    assert_ok(nq_layer_runner_try(f.runner, f.node, n->weight, &err), &err);
    f.out = malloc(IMAGES * f.positions * f.channels * sizeof *f.out);
    f.weights = malloc(IMAGES * f.positions * sizeof *f.weights);
    f.stats = calloc(f.channels, sizeof *f.stats);
    f.counts = malloc(f.channels * NQ_CHANNEL_BINS * sizeof *f.counts);
    nq_layer_pass pass = {.runner = f.runner,
                          .pool = f.pool,
                          .graph = &f.graph,
                          .node = f.node,
                          .in = &f.in,
                          .weights = f.weights};
    assert_ok(nq_layer_pass_measure(&pass, f.out, &f.span, f.stats, &err), &err);
    assert_ok(nq_layer_pass_count(&pass, f.stats, f.counts, &err), &err);
    return f;
}

static void end(fixture *f)
{
    nq_layer_runner_free(f->runner);
    nq_pool_free(f->pool);
    free(f->real);
    free(f->stored);
    free(f->out);
    free(f->weights);
    free(f->stats);
    free(f->counts);
    nq_graph_free(&f->graph);
}

static void the_mean_behind_relu_is_weighted(void **state)
{
    fixture f = begin(1);
    (void)state;
    double all = 0;
    float least = 1;
    for (size_t i = 0; i < IMAGES * f.positions; i++) {
        assert_true(f.weights[i] > 0 && f.weights[i] <= 1);
        least = fminf(least, f.weights[i]);
        all += (double)f.weights[i];
    }
    assert_true(least < 0.5f);
    for (size_t c = 0; c < f.channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < IMAGES * f.positions; i++)
            sum += (double)f.weights[i] * (double)f.out[i * f.channels + c];
        assert_true(fabs(f.stats[c].relu_z - sum / all) <= 1e-5 * (1 + sum / all));
    }
    end(&f);
}

static void the_histogram_has_the_weighted_mean(void **state)
{
    fixture f = begin(2);
    (void)state;
    uint64_t all = 0;
    for (size_t i = 0; i < IMAGES * f.positions; i++)
        all += (uint64_t)(f.weights[i] * NQ_COUNT_UNIT + 0.5f);
    for (size_t c = 0; c < f.channels; c++) {
        const nq_channel_stats *s = &f.stats[c];
        double width = (double)(s->high - s->low) / NQ_CHANNEL_BINS, mean = 0;
        uint64_t counted = 0;
        for (size_t bin = 0; bin < NQ_CHANNEL_BINS; bin++) {
            uint64_t count = f.counts[c * NQ_CHANNEL_BINS + bin];
            counted += count;
            mean += ((double)s->low + ((double)bin + 0.5) * width) * (double)count / (double)all;
        }
        assert_true(counted == all);
        assert_true(fabs(mean - s->mean_y) <= width);
    }
    end(&f);
}

static void threads_change_nothing(void **state)
{
    fixture one = begin(1), two = begin(2);
    (void)state;
    assert_memory_equal(one.stats, two.stats, one.channels * sizeof *one.stats);
    assert_memory_equal(one.weights, two.weights, IMAGES * one.positions * sizeof *one.weights);
    assert_memory_equal(one.counts, two.counts,
                        one.channels * NQ_CHANNEL_BINS * sizeof *one.counts);
    end(&one);
    end(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_behind_relu_is_weighted),
        cmocka_unit_test(the_histogram_has_the_weighted_mean),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
