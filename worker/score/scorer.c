#include "worker/score/scorer.h"

#include "worker/imagenet/crop.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int threads;
    nq_engine *engines[];
} integer_rooms;

typedef struct {
    int threads;
    float pixel[3][256];
    nq_float_run *runs[];
} float_rooms;

static nq_status integer_run(nq_scorer *s, int thread, const uint8_t *crops, int n, void *rows,
                             nq_error *err)
{
    (void)err;
    integer_rooms *rooms = s->inside;
    nq_engine_run(rooms->engines[thread], crops, n, rows);
    return NQ_OK;
}

static void integer_free(nq_scorer *s)
{
    integer_rooms *rooms = s->inside;
    for (int i = 0; rooms && i < rooms->threads; i++)
        nq_engine_free(rooms->engines[i]);
    free(rooms);
    s->inside = NULL;
}

nq_status nq_scorer_integer(const nq_plan *plan, int threads, nq_scorer *s, nq_error *err)
{
    integer_rooms *rooms = calloc(1, sizeof *rooms + (size_t)threads * sizeof(nq_engine *));
    if (!rooms)
        return nq_fail_nomem(err, "engines", sizeof *rooms);
    rooms->threads = threads;
    *s = (nq_scorer){.classes = nq_plan_classes(plan),
                     .row_bytes = (size_t)nq_plan_classes(plan),
                     .slice = nq_plan_batch(plan),
                     .run = integer_run,
                     .free = integer_free,
                     .inside = rooms};
    for (int i = 0; i < threads; i++) {
        nq_status status = nq_engine_create(plan, &rooms->engines[i], err);
        if (status != NQ_OK) {
            integer_free(s);
            return status;
        }
    }
    return NQ_OK;
}

static nq_status float_run(nq_scorer *s, int thread, const uint8_t *crops, int n, void *rows,
                           nq_error *err)
{
    float_rooms *rooms = s->inside;
    nq_float_run *run = rooms->runs[thread];
    float *in = nq_float_run_input(run);
    size_t used = (size_t)n * NQ_CROP_BYTES;
    for (size_t i = 0; i < used; i += 3)
        for (size_t c = 0; c < 3; c++)
            in[i + c] = rooms->pixel[c][crops[i + c]];
    memset(in + used, 0, ((size_t)s->slice * NQ_CROP_BYTES - used) * sizeof *in);
    nq_status status = nq_float_run_forward(run, NULL, NULL, err);
    if (status == NQ_OK)
        memcpy(rows, nq_float_run_output(run), (size_t)n * s->row_bytes);
    return status;
}

static void float_free(nq_scorer *s)
{
    float_rooms *rooms = s->inside;
    for (int i = 0; rooms && i < rooms->threads; i++)
        nq_float_run_free(rooms->runs[i]);
    free(rooms);
    s->inside = NULL;
}

nq_status nq_scorer_float(const nq_float_net *net, int classes, int threads, nq_scorer *s,
                          nq_error *err)
{
    float_rooms *rooms = calloc(1, sizeof *rooms + (size_t)threads * sizeof(nq_float_run *));
    if (!rooms)
        return nq_fail_nomem(err, "float runs", sizeof *rooms);
    rooms->threads = threads;
    nq_pixel_table(rooms->pixel);
    *s = (nq_scorer){.classes = classes,
                     .row_bytes = (size_t)classes * sizeof(float),
                     .slice = nq_float_net_batch(net),
                     .real = true,
                     .whole = true,
                     .run = float_run,
                     .free = float_free,
                     .inside = rooms};
    for (int i = 0; i < threads; i++) {
        nq_status status = nq_float_run_create(net, &rooms->runs[i], err);
        if (status != NQ_OK) {
            float_free(s);
            return status;
        }
    }
    return NQ_OK;
}
