/* Any bytes as an image file: JPEG, PNG, or something that is refused by its name. */
#include "worker/imagenet/crop.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nq_decoder *decoder; /* one for all inputs, as a worker's thread has it */
    static uint8_t crop[NQ_CROP_BYTES];
    nq_error err = {0};
    if (!decoder && nq_decoder_create(&decoder, &err) != NQ_OK)
        return 0;
    nq_status status = nq_decoder_crop(decoder, data, size, "fuzz.JPEG", crop, &err);
    if (status != NQ_OK && status != NQ_ERR_INPUT && status != NQ_ERR_NOMEM)
        abort();
    return 0;
}
