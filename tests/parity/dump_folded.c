/*
 * dump_folded ARCH CHECKPOINT: reads the checkpoint, folds it, and writes to stdout a line a node
 *
 *     node NAME CHANNELS HEIGHT WIDTH OBSERVED WEIGHTS BIASES
 *
 * each followed by WEIGHTS and BIASES raw float32, weights in [O][KH][KW][I/groups].
 */
#include "common/file.h"
#include "worker/model/checkpoint.h"
#include "worker/model/graph.h"

#include <stdio.h>
#include <stdlib.h>

static void dump_node(const nq_graph *graph, const nq_node *node)
{
    bool weighted = nq_node_has_weight(node);
    size_t weights = weighted ? nq_node_weights(graph, node) : 0;
    size_t biases = weighted && node->bias ? (size_t)node->channels : 0;
    printf("node %s %d %d %d %d %zu %zu\n", node->name, node->channels, node->height, node->width,
           nq_node_observed(node), weights, biases);
    fwrite(node->weight, sizeof *node->weight, weights, stdout);
    fwrite(node->bias, sizeof *node->bias, biases, stdout);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: dump_folded ARCH CHECKPOINT\n");
        return 2;
    }
    nq_error err = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    nq_checkpoint checkpoint = {0};
    nq_graph graph = {0};
    nq_status status = nq_file_read(argv[2], (size_t)1 << 31, &data, &size, &err);
    if (status == NQ_OK)
        status = nq_checkpoint_parse(data, size, argv[2], &checkpoint, &err);
    if (status == NQ_OK)
        status = nq_graph_load(argv[1], &checkpoint, &graph, &err);
    if (status == NQ_OK)
        status = nq_graph_fold(&graph, &err);
    for (int i = 0; i < graph.count && status == NQ_OK; i++)
        dump_node(&graph, &graph.nodes[i]);
    nq_graph_free(&graph);
    nq_checkpoint_free(&checkpoint);
    free(data);
    if (status != NQ_OK)
        fprintf(stderr, "%s\n", err.text);
    return status == NQ_OK ? 0 : 1;
}
