/* Ranges of images that are no photographs, completed. */
#include "tests/unit/nq_test.h"

#include "tests/unit/demo_graph.h"
#include "worker/quantize/bn_ranges.h"
#include <math.h>

static void made_images_do_not_say_all(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = demo_graph();
    nq_bn_moments moments = {0};
    size_t count = (size_t)g.count;
    int logits = g.count - 1;
    nq_range *expected = calloc(count, sizeof *expected), *ranges = calloc(count, sizeof *ranges);
    uint64_t *histograms = calloc(count * NQ_HISTOGRAM_BINS, sizeof *histograms);
    nq_range input = {-2.0f, 3.0f};

    assert_ok(nq_bn_moments_derive(&g, &moments, &err), &err);
    assert_ok(nq_bn_ranges(&g, &moments, input, expected, NULL, &err), &err);
    for (size_t i = 0; i < count; i++)
        ranges[i] = (nq_range){-0.25f, 0.5f};
    nq_bn_ranges_complete(&g, &moments, input, ranges, NULL);
    assert_true(ranges[0].low == -2.0f && ranges[0].high == 3.0f);
    assert_int_equal(g.nodes[logits].op, NQ_OP_LINEAR);
    assert_true(ranges[logits].low == expected[logits].low);
    assert_true(ranges[logits].high == expected[logits].high && expected[logits].high > 1.0f);
    for (size_t i = 1; i + 1 < count; i++)
        assert_true(ranges[i].low == -0.25f && ranges[i].high == 0.5f);

    ranges[logits] = (nq_range){-1000.0f, 1000.0f}; /* seen is seen */
    nq_bn_ranges_complete(&g, &moments, input, ranges, histograms);
    assert_true(ranges[logits].low == -1000.0f && ranges[logits].high == 1000.0f);
    for (size_t bin = 0; bin < NQ_HISTOGRAM_BINS; bin++) {
        assert_true(histograms[(size_t)logits * NQ_HISTOGRAM_BINS + bin] > 0);
        assert_true(histograms[(size_t)(logits - 1) * NQ_HISTOGRAM_BINS + bin] == 0);
    }
    nq_bn_moments_free(&moments);
    free(expected);
    free(ranges);
    free(histograms);
    nq_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_images_do_not_say_all),
    };
    return cmocka_run_group_tests_name("bn_ranges", tests, NULL, NULL);
}
