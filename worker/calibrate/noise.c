/* Gaussian and uniform samples: sample i is drawn from stream i, in NCHW order. */
#include "common/random.h"
#include "worker/calibrate/source.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    uint64_t seed;
} noise;

static nq_status noise_open(const nq_spec *spec, const char *root, const char *path, void **state,
                            size_t *count, nq_error *err)
{
    (void)root;
    (void)path;
    if (spec->calibrate.samples < 1)
        return nq_fail(err, NQ_ERR_INPUT, "calibrate.samples: %d is not at least 1",
                       spec->calibrate.samples);
    noise *n = *state = malloc(sizeof *n);
    if (!n)
        return nq_fail_nomem(err, "a noise source", sizeof *n);
    n->seed = spec->calibrate.seed;
    *count = (size_t)spec->calibrate.samples;
    return NQ_OK;
}

static nq_status gaussian_read(void *state, size_t i, int thread, float *out, nq_error *err)
{
    const noise *n = state;
    nq_random random;
    (void)thread;
    (void)err;
    nq_random_init(&random, n->seed, i);
    for (int c = 0; c < NQ_SAMPLE_CHANNELS; c++)
        nq_random_normals(&random, NQ_SAMPLE_PIXELS, out + c, NQ_SAMPLE_CHANNELS);
    return NQ_OK;
}

/* Zero mean and unit variance, as the Gaussian has. */
static double draw_uniform(nq_random *random)
{
    return (2.0 * nq_random_uniform(random) - 1.0) * sqrt(3.0);
}

static nq_status uniform_read(void *state, size_t i, int thread, float *out, nq_error *err)
{
    const noise *n = state;
    nq_random random;
    (void)thread;
    (void)err;
    nq_random_init(&random, n->seed, i);
    for (int c = 0; c < NQ_SAMPLE_CHANNELS; c++)
        for (int p = 0; p < NQ_SAMPLE_PIXELS; p++)
            out[p * NQ_SAMPLE_CHANNELS + c] = (float)draw_uniform(&random);
    return NQ_OK;
}

const nq_sample_source nq_source_gaussian = {noise_open, gaussian_read, free};
const nq_sample_source nq_source_uniform = {noise_open, uniform_read, free};
