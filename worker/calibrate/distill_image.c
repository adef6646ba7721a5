#include "worker/calibrate/distill_image.h"
#include "common/random.h"
#include "worker/calibrate/dead_leaves.h"
#include "worker/calibrate/distill_kernels.h"
#include "worker/calibrate/octaves.h"
#include "worker/imagenet/crop.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE     NQ_SAMPLE_SIDE
#define CHANNELS NQ_SAMPLE_CHANNELS
#define FARTHEST 16 /* pixels of a roll */

static double draw_zeroq(nq_random *random)
{
    return (floor(255.0 * nq_random_uniform(random)) - 127.5) / 5418.75;
}

static nq_status start_smooth(nq_random *random, float *image, nq_error *err)
{
    const float size = 1.0f / sqrtf((float)NQ_OCTAVES_COUNT);
    float *room = malloc(2 * NQ_SAMPLE_PIXELS * sizeof *room);
    if (!room)
        return nq_fail_nomem(err, "smooth noise", 2 * NQ_SAMPLE_PIXELS * sizeof *room);
    float *plane = room + NQ_SAMPLE_PIXELS;
    for (int c = 0; c < CHANNELS; c++) {
        memset(plane, 0, NQ_SAMPLE_PIXELS * sizeof *plane);
        for (int octave = 0; octave < NQ_OCTAVES_COUNT; octave++)
            nq_octave_add(random, NQ_OCTAVES_COARSEST << octave, size, room, plane);
        for (int p = 0; p < NQ_SAMPLE_PIXELS; p++)
            image[p * CHANNELS + c] = plane[p];
    }
    free(room);
    return NQ_OK;
}

static nq_status start_leaves(nq_random *random, float *image, nq_error *err)
{
    float low[CHANNELS], high[CHANNELS];
    nq_status status = nq_dead_leaves_draw(random, image, err);
    nq_pixel_limits(low, high);
    for (size_t i = 0; i < NQ_SAMPLE_FLOATS; i++)
        image[i] = low[i % CHANNELS] + image[i] * (high[i % CHANNELS] - low[i % CHANNELS]);
    return status;
}

nq_status nq_distill_start(nq_init_kind init, uint64_t seed, size_t sample, float *image,
                           nq_error *err)
{
    nq_random random;
    nq_random_init(&random, seed, sample);
    if (init == NQ_INIT_SMOOTH)
        return start_smooth(&random, image, err);
    if (init == NQ_INIT_LEAVES)
        return start_leaves(&random, image, err);
    for (int c = 0; c < CHANNELS; c++)
        for (int p = 0; p < NQ_SAMPLE_PIXELS; p++)
            image[p * CHANNELS + c] =
                (float)(init == NQ_INIT_ZEROQ ? draw_zeroq(&random) : nq_random_normal(&random));
    return NQ_OK;
}

static int draw_shift(nq_random *random)
{
    int shift = (int)((2 * FARTHEST + 1) * nq_random_uniform(random)) - FARTHEST;
    return (shift + SIDE) % SIDE;
}

nq_distill_view nq_distill_view_draw(uint64_t seed, size_t sample, int step)
{
    nq_random random;
    nq_distill_view view;
    nq_random_init(&random, seed, (uint64_t)(step + 1) << 32 | sample);
    view.down = draw_shift(&random);
    view.right = draw_shift(&random);
    view.mirror = nq_random_uniform(&random) < 0.5;
    return view;
}

/* The pixel of the image that column x of row y of the view shows. */
static size_t source_of(nq_distill_view v, int y, int x)
{
    int column = v.mirror ? SIDE - 1 - x : x;
    return (size_t)((y + v.down) % SIDE) * SIDE + (size_t)((column + v.right) % SIDE);
}

void nq_distill_view_apply(nq_distill_view view, const float *image, float *seen)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++, seen += CHANNELS)
            memcpy(seen, image + source_of(view, y, x) * CHANNELS, CHANNELS * sizeof *seen);
}

void nq_distill_view_undo(nq_distill_view view, const float *seen, float *image)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++, seen += CHANNELS)
            memcpy(image + source_of(view, y, x) * CHANNELS, seen, CHANNELS * sizeof *seen);
}

nq_distill_rate nq_distill_rate_begin(nq_loss_kind loss)
{
    return (nq_distill_rate){.rate = loss == NQ_LOSS_ZEROQ ? 0.5 : 0.1, .best = INFINITY};
}

void nq_distill_rate_next(nq_distill_rate *r, nq_loss_kind loss, double value, int next, int steps)
{
    if (loss == NQ_LOSS_BATCH) {
        r->rate = 0.05 * (1 + cos(M_PI * next / steps));
        return;
    }
    bool better = value < r->best * (1 - 1e-4);
    r->best = better ? value : r->best;
    r->since = better ? 0 : r->since + 1;
    if (r->since <= 100)
        return;
    r->rate = fmax(r->rate * 0.1, 1e-4);
    r->since = 0;
}

void nq_distill_move(const float *gradient, int step, double rate, bool bounded, float *first,
                     float *second, float *image)
{
    double power1 = 1, power2 = 1;
    for (int i = 0; i <= step; i++) {
        power1 *= 0.9;
        power2 *= 0.999;
    }
    nq_distill_adam(gradient, NQ_SAMPLE_FLOATS, (float)(rate / (1 - power1)),
                    (float)sqrt(1 - power2), first, second, image);
    if (!bounded)
        return;
    float low[CHANNELS], high[CHANNELS];
    nq_pixel_limits(low, high);
    nq_distill_clamp(image, CHANNELS, NQ_SAMPLE_PIXELS, low, high);
}
