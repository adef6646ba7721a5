#include "worker/synthesize.h"

#include "common/file.h"
#include "common/log.h"
#include "worker/calibrate/distill.h"
#include "worker/make_model.h"
#include "worker/output/calibration_file.h"

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

static nq_status write_to(const char *dir, const char *name,
                          nq_status (*write)(const char *path, const float *images, size_t count,
                                             nq_error *err),
                          const float *images, size_t count, nq_error *err)
{
    char *path;
    if (asprintf(&path, "%s/out/%s", dir, name) < 0)
        return nq_fail_nomem(err, name, strlen(dir));
    nq_status status = write(path, images, count, err);
    free(path);
    return status;
}

nq_status nq_synthesize(const char *dir, const nq_job_file *job, const nq_graph *graph,
                        nq_pool *pool, nq_progress_report *report, nq_error *err)
{
    watching w = {.report = report};
    float *images = NULL;
    size_t count = (size_t)job->spec.calibrate.samples;
    nq_progress_stage(report, "distill");
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
    nq_status status = nq_distill_images(&ask, &images, err);
    free(state);
    if (status == NQ_OK)
        status = write_to(dir, NQ_CALIBRATION_NPY, nq_calibration_write_npy, images, count, err);
    if (status == NQ_OK)
        status = write_to(dir, NQ_CALIBRATION_PNG, nq_calibration_write_sheet, images, count, err);
    free(images);
    if (status == NQ_OK)
        nq_log(NQ_LOG_INFO, "distilled", "images", "%zu", count, "steps", "%zu", w.steps, "loss",
               "%g", w.loss, "least", "%g", w.least, NULL);
    return status;
}
