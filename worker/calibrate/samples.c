#include "worker/calibrate/samples.h"

#include "common/file.h"
#include "worker/calibrate/augment.h"
#include "worker/calibrate/sheet.h"
#include "worker/calibrate/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct nq_samples {
    const nq_sample_source *source;
    void *state;
    size_t count; /* that the source has */
    size_t views; /* of each */
    uint64_t seed;
};

static const nq_sample_source *const sources[] = {
    [NQ_CALIBRATE_GAUSSIAN] = &nq_source_gaussian,
    [NQ_CALIBRATE_UNIFORM] = &nq_source_uniform,
};

static nq_status source_of_file(const char *root, const char *path, const nq_sample_source **source,
                                nq_error *err)
{
    uint8_t head[NQ_PNG_SIGNATURE];
    int fd;
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY, &fd, err);
    if (status != NQ_OK)
        return status;
    bool whole = pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head;
    *source = whole && nq_sheet_is_png(head) ? &nq_source_sheet : &nq_source_npy;
    close(fd);
    return NQ_OK;
}

/* A folder holds images; a file is a sheet of them or a .npy. */
static nq_status file_source(const char *root, const char *path, const nq_sample_source **source,
                             nq_error *err)
{
    if (!root || !path)
        return nq_fail(err, NQ_ERR_INTERNAL, "calibration samples without a file");
    int fd;
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, &fd, err);
    if (status == NQ_ERR_MISSING)
        return source_of_file(root, path, source, err);
    if (status == NQ_OK)
        close(fd);
    *source = &nq_source_images;
    return status;
}

static nq_status choose(const nq_spec *spec, const char *root, const char *path,
                        const nq_sample_source **source, nq_error *err)
{
    size_t kind = spec->calibrate.source;
    if (kind == NQ_CALIBRATE_FILE || kind == NQ_CALIBRATE_DISTILL)
        return file_source(root, path, source, err);
    *source = kind < sizeof sources / sizeof *sources ? sources[kind] : NULL;
    return *source ? NQ_OK
                   : nq_fail(err, NQ_ERR_INTERNAL, "calibrate.source gives no samples to read");
}

nq_status nq_samples_open(const nq_spec *spec, const char *root, const char *path,
                          nq_samples **samples, nq_error *err)
{
    nq_samples *s = *samples = calloc(1, sizeof *s);
    if (!s)
        return nq_fail_nomem(err, "calibration samples", sizeof *s);
    s->views = spec->calibrate.views > 1 ? (size_t)spec->calibrate.views : 1;
    s->seed = spec->calibrate.seed;
    nq_status status = choose(spec, root, path, &s->source, err);
    if (status == NQ_OK)
        status = s->source->open(spec, root, path, &s->state, &s->count, err);
    size_t wanted = (size_t)spec->calibrate.samples;
    s->count = wanted > 0 && wanted < s->count ? wanted : s->count;
    if (status != NQ_OK) {
        nq_samples_free(s);
        *samples = NULL;
    }
    return status;
}

void nq_samples_free(nq_samples *samples)
{
    if (samples && samples->state)
        samples->source->close(samples->state);
    free(samples);
}

size_t nq_samples_count(const nq_samples *samples)
{
    return samples->count * samples->views;
}

/* All samples as they are come first, then all in their second view ... */
static nq_status read_view(nq_samples *s, size_t i, int thread, float *out, nq_error *err)
{
    size_t sample = i % s->count, view = i / s->count;
    if (view == 0)
        return s->source->read(s->state, sample, thread, out, err);
    float *image = malloc(NQ_SAMPLE_FLOATS * sizeof *image);
    if (!image)
        return nq_fail_nomem(err, "a calibration sample", NQ_SAMPLE_FLOATS * sizeof *image);
    nq_status status = s->source->read(s->state, sample, thread, image, err);
    if (status == NQ_OK)
        nq_augment_view(s->seed, sample, view, image, out);
    free(image);
    return status;
}

nq_status nq_samples_read(nq_samples *samples, size_t i, int thread, float *out, nq_error *err)
{
    if (i >= nq_samples_count(samples) || thread < 0 || thread >= NQ_SAMPLES_THREADS)
        return nq_fail(err, NQ_ERR_INTERNAL,
                       "calibration sample %zu of %zu was asked for by thread %d", i,
                       nq_samples_count(samples), thread);
    return read_view(samples, i, thread, out, err);
}

nq_status nq_samples_read_slice(nq_samples *samples, size_t first, size_t count, size_t batch,
                                int thread, float *out, nq_error *err)
{
    const size_t each = (size_t)NQ_SAMPLE_PIXELS * NQ_SAMPLE_CHANNELS;
    for (size_t i = 0; i < count; i++) {
        nq_status status = nq_samples_read(samples, first + i, thread, out + i * each, err);
        if (status != NQ_OK)
            return status;
    }
    memset(out + count * each, 0, (batch - count) * each * sizeof *out);
    return NQ_OK;
}

void nq_sample_to_nhwc(const float *nchw, float *nhwc)
{
    for (int c = 0; c < NQ_SAMPLE_CHANNELS; c++)
        for (int p = 0; p < NQ_SAMPLE_PIXELS; p++)
            nhwc[p * NQ_SAMPLE_CHANNELS + c] = nchw[c * NQ_SAMPLE_PIXELS + p];
}
