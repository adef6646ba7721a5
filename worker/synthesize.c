#include "worker/synthesize.h"

#include "common/file.h"
#include "common/log.h"
#include "worker/calibrate/distill.h"
#include "worker/calibrate/samples.h"
#include "worker/calibrate/source.h"
#include "worker/make_model.h"
#include "worker/output/calibration_file.h"
#include "worker/shared_images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_SECONDS 10.0

typedef struct {
    nq_progress_report *report;
    double loss, least;
    size_t steps; /* of this start */
} watching;

static nq_status tell(void *context, size_t done, size_t total, double loss, nq_error *err)
{
    watching *w = context;
    w->loss = loss;
    w->least = w->steps++ == 0 || loss < w->least ? loss : w->least;
    nq_progress_loss(w->report, loss);
    return nq_progress_tell(w->report, "distill", done, total, err);
}

static nq_status write_sheet(const char *dir, const float *images, size_t count, nq_error *err)
{
    char *path;
    if (asprintf(&path, "%s/out/%s", dir, NQ_CALIBRATION_PNG) < 0)
        return nq_fail_nomem(err, "a path", strlen(dir));
    nq_status status = nq_calibration_write_sheet(path, images, count, err);
    free(path);
    return status;
}

/* The images that another job has made, as it wrote them. */
static nq_status read_shared(const char *dir, const nq_job_file *job, float **images, nq_error *err)
{
    const size_t each = (size_t)NQ_SAMPLE_PIXELS * NQ_SAMPLE_CHANNELS;
    size_t count = (size_t)job->spec.calibrate.samples;
    nq_samples *samples = NULL;
    char *out = nq_path_join(dir, "out");
    *images = malloc(count * each * sizeof **images);
    nq_status status = out && *images
                           ? nq_samples_open(&job->spec, out, NQ_CALIBRATION_NPY, &samples, err)
                           : nq_fail_nomem(err, "images", count * each * sizeof **images);
    if (status == NQ_OK)
        status = nq_samples_read_slice(samples, 0, count, count, 0, *images, err);
    nq_samples_free(samples);
    free(out);
    return status;
}

static nq_status distill(const char *dir, const nq_job_file *job, const nq_graph *graph,
                         nq_pool *pool, nq_progress_report *report, float **images, nq_error *err)
{
    watching w = {.report = report};
    char *state = nq_kept_path(dir, job, "distill", "bin");
    if (!state)
        return nq_fail_nomem(err, "a path", strlen(dir));
    nq_distill ask = {.graph = graph,
                      .spec = &job->spec,
                      .pool = pool,
                      .state = state,
                      .state_seconds = STATE_SECONDS,
                      .progress = tell,
                      .context = &w};
    nq_status status = nq_distill_images(&ask, images, err);
    free(state);
    if (status == NQ_OK)
        nq_log(NQ_LOG_INFO, "distilled", "images", "%d", job->spec.calibrate.samples, "steps",
               "%zu", w.steps, "loss", "%g", w.loss, "least", "%g", w.least, NULL);
    return status;
}

nq_status nq_synthesize(const char *dir, const nq_job_file *job, const nq_graph *graph,
                        nq_pool *pool, nq_progress_report *report, nq_error *err)
{
    float *images = NULL;
    size_t count = (size_t)job->spec.calibrate.samples;
    char *path;
    if (asprintf(&path, "%s/out/%s", dir, NQ_CALIBRATION_NPY) < 0)
        return nq_fail_nomem(err, "a path", strlen(dir));
    nq_progress_stage(report, "distill");
    nq_status status;
    if (nq_shared_images_take(job, path)) {
        status = read_shared(dir, job, &images, err);
    } else {
        status = distill(dir, job, graph, pool, report, &images, err);
        if (status == NQ_OK)
            status = nq_calibration_write_npy(path, images, count, err);
        if (status == NQ_OK)
            nq_shared_images_keep(job, path);
    }
    free(path);
    if (status == NQ_OK)
        status = write_sheet(dir, images, count, err);
    free(images);
    return status;
}
