/* random_model ARCH FILE: writes a model.safetensors of that architecture with random weights, for
 * measurements where no real weights are at hand. */
#include "bench/network.h"
#include "common/file.h"
#include "worker/output/model_file.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    nq_qmodel model;
    nq_error err = {0};
    uint8_t *data = NULL;
    size_t size;
    if (argc != 3) {
        fprintf(stderr, "usage: random_model ARCH FILE\n");
        return 2;
    }
    nq_status status = nq_bench_network(argv[1], &model, &err);
    if (status == NQ_OK)
        status = nq_model_file_encode(&model, &data, &size, &err);
    if (status == NQ_OK)
        status = nq_file_write_atomic(argv[2], data, size, &err);
    if (status != NQ_OK)
        fprintf(stderr, "random_model: %s\n", err.text);
    free(data);
    nq_qmodel_free(&model);
    return status == NQ_OK ? 0 : 1;
}
