/* result.json of a worker, and the labels of an output.txt that diff reads. */
#include "server/diff.h"
#include "server/result.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_ending ending;
    nq_error err = {0};
    if (nq_result_parse((const char *)data, size, 12, PRINT, &ending, &err) == NQ_OK) {
        if (ending.state != NQ_STATE_DONE && ending.state != NQ_STATE_FAILED)
            abort();
        if (ending.state == NQ_STATE_FAILED && !*ending.reason)
            abort();
        for (size_t i = 0; i < ending.artifact_count; i++)
            if (!nq_artifact_name_valid(ending.artifacts[i].name) ||
                strchr(ending.artifacts[i].name, '/') || ending.artifacts[i].bytes < 0)
                abort();
    }
    free(ending.artifacts);
    int32_t *labels;
    size_t count;
    if (nq_diff_parse((const char *)data, size, "output.txt", &labels, &count, &err) == NQ_OK)
        free(labels);
    return 0;
}
