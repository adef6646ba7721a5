/* The figures of common/arch.c, counted again on the graphs. */
#include "tests/unit/nq_test.h"

#include "common/arch.h"
#include "worker/model/graph.h"

static void counted_on_the_graph(void **state)
{
    (void)state;
    assert_true(nq_arch_count >= 4);
    for (size_t a = 0; a < nq_arch_count; a++) {
        const nq_arch *arch = &nq_archs[a];
        nq_error err = {0};
        nq_graph graph;
        uint64_t weights = 0, channels = 0, macs = 0;
        assert_ok(nq_graph_build(arch->name, 1000, &graph, &err), &err);
        for (int i = 0; i < graph.count; i++) {
            const nq_node *node = &graph.nodes[i];
            if (!nq_node_has_weight(node))
                continue;
            weights += nq_node_weights(&graph, node);
            channels += (uint64_t)node->channels;
            macs += nq_node_weights(&graph, node) * (uint64_t)(node->height * node->width);
        }
        const nq_node *last = &graph.nodes[graph.count - 1];
        assert_int_equal(weights, arch->weights);
        assert_int_equal(channels, arch->channels);
        assert_int_equal(macs, arch->macs);
        assert_int_equal(nq_node_weights(&graph, last) / 1000, arch->weights_a_class);
        nq_graph_free(&graph);
    }
}

static void found_by_name(void **state)
{
    (void)state;
    for (size_t a = 0; a < nq_arch_count; a++)
        assert_ptr_equal(nq_arch_find(nq_archs[a].name), &nq_archs[a]);
    assert_null(nq_arch_find("resnet"));
    assert_null(nq_arch_find(""));
}

static void challenge_order_comes_first(void **state)
{
    (void)state;
    assert_int_equal(nq_arch_find("resnet18")->challenge_order, 0);
    assert_int_equal(nq_arch_find("mobilenet_v2")->challenge_order, 1);
    assert_int_equal(nq_arch_find("shufflenet_v2_x1_0")->challenge_order, 2);
    assert_true(nq_arch_find("shufflenet_v2_x0_5")->challenge_order > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_on_the_graph),
        cmocka_unit_test(found_by_name),
        cmocka_unit_test(challenge_order_comes_first),
    };
    return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
