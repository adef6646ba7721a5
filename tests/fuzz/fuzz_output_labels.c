/* output.txt read back: the float job's labels come from a file. */
#include "worker/output/labels.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_error err = {0};
    int32_t *labels;
    uint32_t count;
    nq_labels_parse((const char *)data, size, "fuzz", &labels, &count, &err);
    free(labels);
    return 0;
}
