/* Descriptor 3 of a worker, in pieces: the first byte of the input says how large. */
#include "server/progress.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_progress_state state = {0};
    size_t piece = size ? data[0] % 64u + 1 : 1;
    double now = 0;
    for (size_t at = 1; at < size; at += piece, now += 0.05) {
        size_t n = size - at < piece ? size - at : piece;
        nq_progress_feed(&state, (const char *)data + at, n, now);
        if (state.used > NQ_PROGRESS_LINE || state.done < 0 || state.total < 0)
            abort();
    }
    json_t *json = nq_progress_to_json(&state);
    if (!json)
        abort();
    json_decref(json);
    return 0;
}
