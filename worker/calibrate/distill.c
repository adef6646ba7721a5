#include "worker/calibrate/distill.h"
#include "worker/calibrate/distill_loss.h"
#include "worker/calibrate/distill_state.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE                                                                                      \
    4 /* images that go through the network together: part of what the result depends on */

/* One thread's. */
typedef struct {
    nq_grad_run *run;
    nq_distill_room room;
    float *gradient; /* of one image, as it lies */
    double *sums;    /* [channels][2] */
} thread_room;

typedef struct {
    const nq_distill *ask;
    nq_loss_kind loss;
    int steps;
    nq_grad_net *net;
    nq_distill_target target;
    nq_distill_state state;
    thread_room *rooms; /* [threads] */
    int threads;
    size_t images, slices; /* of the batch under way */
    double *sums;          /* [slices][channels][2], of this step */
    double *total;         /* [channels][2], of all slices in the last step */
    double *losses;        /* [slices] */
    bool look_only;
    double written; /* when the state was last */
} synthesis;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static float *image_of(float *all, size_t index)
{
    return all + index * NQ_SAMPLE_FLOATS;
}

static nq_distill_view view_of(const synthesis *s, size_t sample)
{
    nq_distill_view as_it_is = {0, 0, false};
    return s->loss == NQ_LOSS_BATCH
               ? nq_distill_view_draw(s->ask->spec->calibrate.seed, sample, s->state.step)
               : as_it_is;
}

static void fill(synthesis *s, thread_room *t, size_t first, size_t count)
{
    float *input = nq_grad_run_input(t->run);
    for (size_t i = 0; i < count; i++)
        nq_distill_view_apply(view_of(s, s->state.first + first + i),
                              image_of(s->state.images, s->state.first + first + i),
                              input + i * NQ_SAMPLE_FLOATS);
    memset(input + count * NQ_SAMPLE_FLOATS, 0, (SLICE - count) * NQ_SAMPLE_FLOATS * sizeof(float));
}

/* The sums that a slice's gradient belongs to: its own of this step, the others' of the step
 * before, so that no slice waits for another and nothing is kept or computed twice. */
static void balance(synthesis *s, thread_room *t, size_t slice)
{
    size_t count = 2 * s->target.channels;
    double *own = s->sums + slice * count, *before = s->state.last + slice * count;
    for (size_t k = 0; k < count; k++)
        t->sums[k] = s->total[k] - before[k] + own[k];
    nq_distill_balance(&t->room, t->sums, (int)s->images);
}

static void move(synthesis *s, thread_room *t, size_t first, size_t count)
{
    const float *gradient = nq_grad_run_input_gradient(t->run);
    for (size_t i = 0; i < count; i++) {
        nq_distill_view_undo(view_of(s, s->state.first + first + i),
                             gradient + i * NQ_SAMPLE_FLOATS, t->gradient);
        nq_distill_move(t->gradient, s->state.step, s->state.rate.rate, s->loss == NQ_LOSS_BATCH,
                        image_of(s->state.moment, first + i), image_of(s->state.square, first + i),
                        image_of(s->state.images, s->state.first + first + i));
    }
}

static nq_status step_slice(void *context, size_t slice, int thread, nq_error *err)
{
    synthesis *s = context;
    thread_room *t = &s->rooms[thread];
    size_t first = slice * SLICE, count = s->images - first < SLICE ? s->images - first : SLICE;
    fill(s, t, first, count);
    t->room.images = (int)count;
    nq_status status = nq_grad_run_forward(t->run, nq_distill_observe, &t->room, err);
    if (status != NQ_OK)
        return status;
    if (s->loss == NQ_LOSS_BATCH)
        memcpy(s->sums + slice * 2 * s->target.channels, t->room.sum,
               2 * s->target.channels * sizeof *s->sums);
    if (s->look_only)
        return NQ_OK;
    if (s->loss == NQ_LOSS_BATCH)
        balance(s, t, slice);
    else
        nq_distill_balance(&t->room, NULL, 1);
    s->losses[slice] = t->room.loss;
    status = nq_grad_run_backward(t->run, nq_distill_pull, &t->room, err);
    if (status == NQ_OK)
        move(s, t, first, count);
    return status;
}

static void add_up(synthesis *s)
{
    size_t count = 2 * s->target.channels;
    memset(s->total, 0, count * sizeof *s->total);
    for (size_t slice = 0; slice < s->slices; slice++)
        for (size_t k = 0; k < count; k++)
            s->total[k] += s->state.last[slice * count + k];
}

/* Every slice once; the sums of this step become those of the last one. */
static nq_status run_slices(synthesis *s, nq_error *err)
{
    nq_status status = nq_pool_run(s->ask->pool, s->slices, step_slice, s, err);
    if (status == NQ_OK && s->loss == NQ_LOSS_BATCH) {
        memcpy(s->state.last, s->sums, s->slices * 2 * s->target.channels * sizeof *s->sums);
        add_up(s);
    }
    return status;
}

static double loss_of(const synthesis *s)
{
    double loss = 0;
    if (s->loss == NQ_LOSS_BATCH)
        return nq_distill_batch_loss(&s->target, s->total, (int)s->images);
    for (size_t slice = 0; slice < s->slices; slice++)
        loss += s->losses[slice];
    return loss;
}

static nq_status report(const synthesis *s, double loss, nq_error *err)
{
    size_t batch = s->state.first / s->state.batch;
    size_t batches = (s->state.samples + s->state.batch - 1) / s->state.batch;
    if (!s->ask->progress)
        return NQ_OK;
    return s->ask->progress(s->ask->context, batch * (size_t)s->steps + (size_t)s->state.step,
                            batches * (size_t)s->steps, loss, err);
}

static nq_status write_state(synthesis *s, bool now, nq_error *err)
{
    if (!s->ask->state || (!now && seconds_now() - s->written < s->ask->state_seconds))
        return NQ_OK;
    nq_status status = nq_distill_state_write(&s->state, s->ask->state, err);
    s->written = seconds_now();
    return status;
}

/* A batch whose turn has come, or the rest of one. */
static nq_status begin_batch(synthesis *s, nq_error *err)
{
    size_t left = s->state.samples - s->state.first;
    s->images = left < s->state.batch ? left : s->state.batch;
    s->slices = (s->images + SLICE - 1) / SLICE;
    nq_distill_target_free(&s->target);
    nq_status status =
        nq_distill_target_create(s->ask->graph, s->loss, (int)s->images, SLICE, &s->target, err);
    if (status != NQ_OK)
        return status;
    if (s->state.step > 0) {
        if (s->loss == NQ_LOSS_BATCH)
            add_up(s);
        return NQ_OK;
    }
    memset(s->state.moment, 0, s->state.batch * NQ_SAMPLE_FLOATS * sizeof(float));
    memset(s->state.square, 0, s->state.batch * NQ_SAMPLE_FLOATS * sizeof(float));
    s->state.rate = nq_distill_rate_begin(s->loss);
    s->look_only = true;
    status = s->loss == NQ_LOSS_BATCH ? run_slices(s, err) : NQ_OK;
    s->look_only = false;
    return status;
}

static nq_status descend(synthesis *s, nq_error *err)
{
    nq_status status = begin_batch(s, err);
    while (status == NQ_OK && s->state.step < s->steps) {
        status = run_slices(s, err);
        if (status != NQ_OK)
            return status;
        double loss = loss_of(s);
        s->state.step++;
        nq_distill_rate_next(&s->state.rate, s->loss, loss, s->state.step, s->steps);
        status = report(s, loss, err);
        if (status == NQ_OK && s->state.step < s->steps)
            status = write_state(s, false, err);
    }
    s->state.first += s->images;
    s->state.step = 0;
    return status == NQ_OK ? write_state(s, true, err) : status;
}

static nq_status create_rooms(synthesis *s, nq_error *err)
{
    nq_status status = NQ_OK;
    s->threads = nq_pool_threads(s->ask->pool);
    s->rooms = calloc((size_t)s->threads, sizeof *s->rooms);
    if (!s->rooms)
        return nq_fail_nomem(err, "threads", (size_t)s->threads * sizeof *s->rooms);
    for (int i = 0; i < s->threads && status == NQ_OK; i++) {
        thread_room *t = &s->rooms[i];
        t->gradient = malloc(NQ_SAMPLE_FLOATS * sizeof *t->gradient);
        t->sums = malloc(2 * s->target.channels * sizeof *t->sums);
        if (!t->gradient || !t->sums)
            return nq_fail_nomem(err, "a gradient", NQ_SAMPLE_FLOATS * sizeof *t->gradient);
        status = nq_grad_run_create(s->net, &t->run, err);
        if (status == NQ_OK)
            status = nq_distill_room_create(&s->target, &t->room, err);
    }
    return status;
}

static nq_status create(synthesis *s, nq_error *err)
{
    size_t samples = (size_t)s->ask->spec->calibrate.samples;
    size_t batch = (size_t)s->ask->spec->calibrate.batch;
    batch = batch < samples ? batch : samples;
    size_t slices = (batch + SLICE - 1) / SLICE;
    nq_status status =
        nq_distill_target_create(s->ask->graph, s->loss, (int)batch, SLICE, &s->target, err);
    size_t sums = s->loss == NQ_LOSS_BATCH ? slices * 2 * s->target.channels : 0;
    if (status == NQ_OK)
        status =
            nq_grad_net_create(s->ask->graph, SLICE, (nq_grad_wanted){.input = true}, &s->net, err);
    if (status == NQ_OK)
        status = create_rooms(s, err);
    if (status == NQ_OK)
        status = nq_distill_state_create(samples, batch, sums, &s->state, err);
    if (status != NQ_OK)
        return status;
    s->sums = calloc(sums + 1, sizeof *s->sums);
    s->total = calloc(2 * s->target.channels, sizeof *s->total);
    s->losses = calloc(slices, sizeof *s->losses);
    return s->sums && s->total && s->losses
               ? NQ_OK
               : nq_fail_nomem(err, "statistics", sums * sizeof(double));
}

static void destroy(synthesis *s)
{
    for (int i = 0; s->rooms && i < s->threads; i++) {
        nq_grad_run_free(s->rooms[i].run);
        nq_distill_room_free(&s->rooms[i].room);
        free(s->rooms[i].gradient);
        free(s->rooms[i].sums);
    }
    free(s->rooms);
    nq_grad_net_free(s->net);
    nq_distill_target_free(&s->target);
    nq_distill_state_free(&s->state);
    free(s->sums);
    free(s->total);
    free(s->losses);
}

static nq_status start(synthesis *s, nq_error *err)
{
    nq_status status = NQ_OK;
    if (s->ask->state && nq_distill_state_read(&s->state, s->ask->state))
        return NQ_OK;
    for (size_t i = 0; i < s->state.samples && status == NQ_OK; i++)
        status = nq_distill_start(s->ask->spec->calibrate.init, s->ask->spec->calibrate.seed, i,
                                  image_of(s->state.images, i), err);
    return status;
}

nq_status nq_distill_images(const nq_distill *ask, float **images, nq_error *err)
{
    synthesis s = {.ask = ask,
                   .loss = ask->spec->calibrate.loss,
                   .steps = ask->spec->calibrate.steps,
                   .written = seconds_now()};
    nq_status status = create(&s, err);
    if (status == NQ_OK)
        status = start(&s, err);
    while (status == NQ_OK && s.state.first < s.state.samples)
        status = descend(&s, err);
    if (status == NQ_OK) {
        *images = s.state.images;
        s.state.images = NULL;
    }
    destroy(&s);
    return status;
}
