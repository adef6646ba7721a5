#include "worker/quantize/readers.h"

int nq_only_reader(const nq_graph *graph, int node)
{
    int reader = -1;
    for (int i = node + 1; i < graph->count; i++)
        for (int j = 0; j < graph->nodes[i].inputs; j++) {
            if (graph->nodes[i].input[j] != node)
                continue;
            if (reader >= 0)
                return -1;
            reader = i;
        }
    return reader;
}
