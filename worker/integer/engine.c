#include "worker/integer/engine.h"
#include "common/block.h"
#include "worker/imagenet/crop.h"
#include "worker/integer/plan.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct nq_engine {
    const nq_plan *plan;
    uint8_t *arena;
    nq_engine_probe probe;
};

/* Where the first row that is read begins; pitch as in kernels.h. */
typedef struct {
    const uint8_t *data;
    size_t pitch;
} tensor;

nq_status nq_engine_create(const nq_plan *plan, nq_engine **engine, nq_error *err)
{
    *engine = NULL;
    nq_engine *e = calloc(1, sizeof *e);
    if (!e || !(e->arena = nq_block_alloc(plan->arena_bytes))) {
        free(e);
        return nq_fail_nomem(err, "an engine", plan->arena_bytes);
    }
    e->plan = plan;
    *engine = e;
    return NQ_OK;
}

void nq_engine_free(nq_engine *engine)
{
    if (!engine)
        return;
    free(engine->arena);
    free(engine);
}

static void run_cat(const nq_plan *plan, const nq_step *s, size_t pixels, const tensor *in,
                    uint8_t *out)
{
    for (int k = 0; k < s->inputs; k++) {
        int channels = plan->steps[s->input[k]].channels;
        plan->kernels->lookup(s->table[k], in[k].data, in[k].pitch, out, (size_t)s->channels,
                              pixels, channels);
        out += channels;
    }
}

static void run_slice(const nq_step *s, size_t pixels, tensor in, uint8_t *out)
{
    for (size_t p = 0; p < pixels; p++)
        memcpy(out + p * (size_t)s->channels, in.data + p * in.pitch + (size_t)s->first,
               (size_t)s->channels);
}

/* Rows of a step's output, which is contiguous; a convolution's table has been applied. */
static void run_step(const nq_engine *e, const nq_step *s, nq_rows rows, const tensor *in,
                     uint8_t *out)
{
    const nq_kernels *k = e->plan->kernels;
    size_t pixels = (size_t)rows.count * (size_t)s->width, pitch = (size_t)s->channels;
    switch (s->op) {
    case NQ_OP_INPUT:
        k->input((const uint8_t(*)[256])s->table, in[0].data, out, pixels);
        break;
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        s->conv.kernel->run(&s->conv.op, e->plan->weights + s->conv.packed, rows, in[0].data,
                            in[0].pitch, out, pitch, e->arena + e->plan->scratch);
        break;
    case NQ_OP_ADD:
        k->add(&s->add, in[0].data, in[0].pitch, in[1].data, in[1].pitch, out, pitch, pixels,
               s->channels);
        break;
    case NQ_OP_CAT:
        run_cat(e->plan, s, pixels, in, out);
        break;
    case NQ_OP_SLICE:
        run_slice(s, pixels, in[0], out);
        break;
    case NQ_OP_SHUFFLE:
        k->shuffle(in[0].data, in[0].pitch, out, pitch, pixels, s->channels, s->groups);
        break;
    case NQ_OP_MAXPOOL:
        k->max_pool(&s->window, rows, in[0].data, in[0].pitch, out, pitch);
        break;
    case NQ_OP_AVGPOOL:
        k->avg_pool(in[0].data, in[0].pitch, (size_t)s->window.in_h * (size_t)s->window.in_w,
                    s->channels, s->zero, out);
        break;
    }
}

static void run_task(const nq_engine *e, const nq_task *t, nq_rows rows, const tensor *in,
                     uint8_t *out)
{
    const nq_kernels *k = e->plan->kernels;
    const nq_step *s = &e->plan->steps[t->step];
    size_t pixels = (size_t)rows.count * (size_t)t->width, pitch = (size_t)t->channels;
    switch (t->kind) {
    case NQ_TASK_STEP:
        run_step(e, s, rows, in, out);
        break;
    case NQ_TASK_REQUANTIZE:
        k->lookup(s->table[0], in[0].data, in[0].pitch, out, pitch, pixels, t->channels);
        break;
    case NQ_TASK_INTERLEAVE:
        k->interleave((const uint8_t(*)[256])s->table, in[0].data, in[0].pitch, in[1].data,
                      in[1].pitch, out, pitch, pixels, t->channels / 2);
        break;
    }
}

static uint64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* run_task() as the probe wants it. */
static void run_probed(const nq_engine *e, const nq_task *t, nq_rows rows, const tensor *in,
                       uint8_t *out)
{
    uint64_t *taken = e->probe.nanoseconds;
    uint64_t began = taken ? nanoseconds() : 0;
    run_task(e, t, rows, in, out);
    if (taken)
        taken[t->step] += nanoseconds() - began;
}

/* Where a task's row lies, in a stripe of its reader's unit. */
static uint8_t *row_of(const nq_engine *e, const nq_unit *unit, const nq_stripe *stripe, int image,
                       int task, int row)
{
    const nq_task *t = &e->plan->tasks[task];
    int base = task >= unit->first ? stripe[task - unit->first].base : 0;
    return e->arena + t->offset + (size_t)image * t->image_bytes +
           (size_t)(row - base) * nq_task_row_bytes(t);
}

/* Moves what is still to be read to the buffer's beginning. */
static void give_up_rows(const nq_engine *e, const nq_task *t, const nq_stripe *now, int before)
{
    size_t row = nq_task_row_bytes(t);
    uint8_t *buffer = e->arena + t->offset;
    memmove(buffer, buffer + (size_t)(now->base - before) * row,
            (size_t)(now->rows.first - now->base) * row);
}

/* A task's part of a stripe: `rows` are the stripe's, or those of several images. */
static void run_rows(const nq_engine *e, const nq_unit *unit, const nq_stripe *stripe, int image,
                     int task, nq_rows rows, const uint8_t *crop)
{
    const nq_task *t = &e->plan->tasks[task];
    int first = nq_rows_read(&t->window, rows).first;
    tensor in[NQ_NODE_INPUTS] = {{crop + (size_t)(first * NQ_CROP) * 3, 3}};
    if (e->probe.nodes && !e->probe.nodes[t->step])
        return;
    for (int k = 0; k < t->inputs; k++)
        in[k] = (tensor){row_of(e, unit, stripe, image, t->input[k], first) + t->first_channel[k],
                         (size_t)e->plan->tasks[t->input[k]].channels};
    run_probed(e, t, rows, in, row_of(e, unit, stripe, image, task, rows.first));
}

static void run_unit(const nq_engine *e, const nq_unit *unit, int image, const uint8_t *crop)
{
    const nq_stripe *stripe = unit->stripe;
    for (int n = 0; n < unit->stripes; n++, stripe += unit->count)
        for (int i = 0; i < unit->count; i++) {
            if (stripe[i].rows.count == 0)
                continue;
            if (n > 0 && stripe[i].base > stripe[i - unit->count].base)
                give_up_rows(e, &e->plan->tasks[unit->first + i], &stripe[i],
                             stripe[i - unit->count].base);
            run_rows(e, unit, stripe, image, unit->first + i, stripe[i].rows, crop);
        }
}

/* A batched task, for all images. */
static void run_batched(const nq_engine *e, const nq_unit *unit, int images)
{
    const nq_task *t = &e->plan->tasks[unit->first];
    if (nq_task_takes_images(e->plan, t))
        run_rows(e, unit, unit->stripe, 0, unit->first, (nq_rows){0, images * t->height}, NULL);
    else
        for (int i = 0; i < images; i++)
            run_unit(e, unit, i, NULL);
}

const uint8_t *nq_engine_run_unit(nq_engine *engine, int unit, const uint8_t *crop)
{
    const nq_unit *u = &engine->plan->units[unit];
    if (u->first < engine->plan->batched)
        run_unit(engine, u, 0, crop);
    else
        run_batched(engine, u, 1);
    return engine->arena + engine->plan->tasks[u->first + u->count - 1].offset;
}

void nq_engine_run(nq_engine *engine, const uint8_t *crops, int n, uint8_t *logits)
{
    const nq_plan *plan = engine->plan;
    const nq_task *last = &plan->tasks[plan->task_count - 1];
    int u = 0;
    for (int i = 0; i < n; i++)
        for (u = 0; u < plan->unit_count && plan->units[u].first < plan->batched; u++)
            run_unit(engine, &plan->units[u], i, crops + (size_t)i * NQ_CROP_BYTES);
    for (; u < plan->unit_count; u++)
        run_batched(engine, &plan->units[u], n);
    memcpy(logits, engine->arena + last->offset, (size_t)n * (size_t)last->channels);
}

void nq_engine_set_probe(nq_engine *engine, nq_engine_probe probe)
{
    engine->probe = probe;
}

nq_status nq_engine_run_node(nq_engine *engine, int node, const uint8_t *const inputs[],
                             uint8_t *out, nq_error *err)
{
    const nq_plan *plan = engine->plan;
    if (node < 0 || node >= plan->count)
        return nq_fail(err, NQ_ERR_INPUT, "node %d is not in 0..%d", node, plan->count - 1);
    const nq_step *s = &plan->steps[node];
    tensor in[NQ_NODE_INPUTS] = {{inputs[0], 3}};
    for (int k = 0; k < s->inputs; k++)
        in[k] = (tensor){inputs[k], (size_t)plan->steps[s->input[k]].channels};
    if ((s->op == NQ_OP_CONV || s->op == NQ_OP_LINEAR) && s->conv.has_table) {
        const nq_window *w = &s->window;
        plan->kernels->lookup(s->table[0], in[0].data, in[0].pitch, engine->arena, in[0].pitch,
                              (size_t)w->in_h * (size_t)w->in_w, w->in_c);
        in[0].data = engine->arena;
    }
    run_step(engine, s, (nq_rows){0, s->height}, in, out);
    return NQ_OK;
}
