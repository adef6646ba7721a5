#include "worker/calibrate/augment.h"

#include "common/random.h"
#include "worker/calibrate/source.h"
#include <string.h>

#define STREAM ((uint64_t)1 << 48) /* past every sample's own */

/* A coordinate that left the image, mirrored back into it. */
static int inside(int at)
{
    at = at < 0 ? -1 - at : at;
    return at >= NQ_SAMPLE_SIDE ? 2 * NQ_SAMPLE_SIDE - 1 - at : at;
}

static int shift(nq_random *r)
{
    return (int)(nq_random_u32(r) % (2 * NQ_AUGMENT_SHIFT + 1)) - NQ_AUGMENT_SHIFT;
}

void nq_augment_view(uint64_t seed, size_t sample, size_t view, const float *image, float *out)
{
    nq_random r;
    nq_random_init(&r, seed, STREAM + (uint64_t)sample * 64 + view);
    int down = shift(&r), right = shift(&r);
    for (int y = 0; y < NQ_SAMPLE_SIDE; y++)
        for (int x = 0; x < NQ_SAMPLE_SIDE; x++) {
            int from = inside(x + right);
            from = view % 2 ? NQ_SAMPLE_SIDE - 1 - from : from;
            memcpy(out + (y * NQ_SAMPLE_SIDE + x) * NQ_SAMPLE_CHANNELS,
                   image + (inside(y + down) * NQ_SAMPLE_SIDE + from) * NQ_SAMPLE_CHANNELS,
                   NQ_SAMPLE_CHANNELS * sizeof *out);
        }
}
