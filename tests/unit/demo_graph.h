/* The demo network, folded, for tests that want a real one. Free it with nq_graph_free(). */
#ifndef NQ_DEMO_GRAPH_H
#define NQ_DEMO_GRAPH_H

#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/model/graph.h"

static inline nq_graph demo_graph(void)
{
    nq_error err = {0};
    uint8_t *data;
    size_t size;
    nq_checkpoint checkpoint;
    nq_graph graph;
    assert_ok(nq_file_read(nq_test_path("tests/data/demo/shufflenet_v2_x0_5.pth"), 1 << 24, &data,
                           &size, &err),
              &err);
    assert_ok(nq_checkpoint_parse(data, size, "demo", &checkpoint, &err), &err);
    assert_ok(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &graph, &err), &err);
    nq_checkpoint_free(&checkpoint);
    free(data);
    assert_ok(nq_graph_fold(&graph, &err), &err);
    return graph;
}

#endif
