/* Any bytes as the start of a model.safetensors whose architecture netqctl wants to know. */
#include "client/quantized.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *arch = NULL;
    nq_error err = {0};
    nq_status status = nq_quantized_arch(data, size, "input", &arch, &err);
    if ((status == NQ_OK) != (arch != NULL) || (status != NQ_OK && !*err.text))
        abort();
    free(arch);
    return 0;
}
