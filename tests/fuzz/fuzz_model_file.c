/* model.safetensors: what is decoded must be writable, and come back the same. */
#include "worker/output/model_file.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_qmodel model, again;
    nq_error err = {0};
    if (nq_model_file_decode(data, size, "fuzz", &model, &err) != NQ_OK) {
        if (err.text[0] == '\0')
            abort();
        return 0;
    }
    uint8_t *first, *second;
    size_t first_size, second_size;
    if (nq_model_file_encode(&model, &first, &first_size, &err) != NQ_OK ||
        nq_model_file_decode(first, first_size, "again", &again, &err) != NQ_OK ||
        nq_model_file_encode(&again, &second, &second_size, &err) != NQ_OK ||
        first_size != second_size || memcmp(first, second, first_size) != 0)
        abort();
    free(first);
    free(second);
    nq_qmodel_free(&model);
    nq_qmodel_free(&again);
    return 0;
}
