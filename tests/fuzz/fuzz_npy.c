/* Any bytes as the head of a .npy file, in files of several lengths. */
#include "worker/calibrate/npy_header.h"
#include "worker/calibrate/source.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t sample = NQ_SAMPLE_FLOATS * sizeof(float);
    for (uint64_t samples = 0; samples < 4; samples++) {
        nq_npy_header header;
        nq_error err = {0};
        uint64_t length = size + samples * sample;
        if (nq_npy_header_parse(data, size, length, "fuzz.npy", &header, &err) != NQ_OK)
            continue;
        if (header.samples == 0 || header.offset + header.samples * sample != length)
            abort();
    }
    return 0;
}
