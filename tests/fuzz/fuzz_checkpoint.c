/* The checkpoint reader, and the check of what it read against an architecture. */
#include "worker/model/checkpoint.h"
#include "worker/model/graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_checkpoint checkpoint;
    nq_graph graph;
    nq_error err = {0};
    nq_status status = nq_checkpoint_parse(data, size, "fuzz.pth", &checkpoint, &err);
    if (status != NQ_OK) {
        if (err.status != status || err.text[0] == '\0')
            abort(); /* a refusal without a sentence */
        return 0;
    }
    for (size_t i = 0; i < checkpoint.count; i++) {
        const nq_tensor *tensor = &checkpoint.tensors[i];
        size_t bytes = tensor->count * nq_dtype_size(tensor->dtype);
        uint8_t *copy = malloc(bytes ? bytes : 1);
        if (copy)
            memcpy(copy, tensor->data, bytes);
        free(copy);
    }
    if (nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &graph, &err) == NQ_OK) {
        nq_graph_fold(&graph, &err);
        nq_graph_free(&graph);
    }
    nq_checkpoint_free(&checkpoint);
    return 0;
}
