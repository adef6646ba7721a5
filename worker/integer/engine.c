#include "worker/integer/engine.h"
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

typedef struct {
    const uint8_t *data;
    size_t pitch;
} tensor;

nq_status nq_engine_create(const nq_plan *plan, nq_engine **engine, nq_error *err)
{
    *engine = NULL;
    nq_engine *e = calloc(1, sizeof *e);
    if (!e || !(e->arena = aligned_alloc(NQ_ALIGN, plan->arena_bytes))) {
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

static void run_layer(const nq_engine *e, const nq_step *s, tensor in, uint8_t *out,
                      size_t out_pitch)
{
    const nq_plan *plan = e->plan;
    if (s->conv.has_table) {
        const nq_step *from = &plan->steps[s->input[0]];
        size_t channels = (size_t)from->channels;
        uint8_t *requantized = e->arena + s->conv.requantized;
        plan->kernels->lookup(s->table[0], in.data, in.pitch, requantized, channels, from->pixels,
                              from->channels);
        in = (tensor){requantized, channels};
    }
    s->conv.kernel->run(&s->conv.op, plan->weights + s->conv.packed,
                        (nq_rows){0, s->conv.op.window.out_h}, in.data, in.pitch, out, out_pitch,
                        e->arena + plan->scratch);
}

static void run_cat(const nq_plan *plan, const nq_step *s, const tensor *in, uint8_t *out,
                    size_t out_pitch)
{
    for (int k = 0; k < s->inputs; k++) {
        int channels = plan->steps[s->input[k]].channels;
        plan->kernels->lookup(s->table[k], in[k].data, in[k].pitch, out, out_pitch, s->pixels,
                              channels);
        out += channels;
    }
}

static void run_slice(const nq_step *s, tensor in, uint8_t *out, size_t out_pitch)
{
    for (size_t p = 0; p < s->pixels; p++)
        memcpy(out + p * out_pitch, in.data + p * in.pitch + (size_t)s->first, (size_t)s->channels);
}

static void run_step(const nq_engine *e, const nq_step *s, const tensor *in, uint8_t *out,
                     size_t out_pitch)
{
    const nq_kernels *k = e->plan->kernels;
    switch (s->op) {
    case NQ_OP_INPUT:
        k->input((const uint8_t(*)[256])s->table, in[0].data, out, s->pixels);
        break;
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        run_layer(e, s, in[0], out, out_pitch);
        break;
    case NQ_OP_ADD:
        k->add(&s->add, in[0].data, in[0].pitch, in[1].data, in[1].pitch, out, out_pitch, s->pixels,
               s->channels);
        break;
    case NQ_OP_CAT:
        run_cat(e->plan, s, in, out, out_pitch);
        break;
    case NQ_OP_SLICE:
        run_slice(s, in[0], out, out_pitch);
        break;
    case NQ_OP_SHUFFLE:
        k->shuffle(in[0].data, in[0].pitch, out, out_pitch, s->pixels, s->channels, s->groups);
        break;
    case NQ_OP_MAXPOOL:
        k->max_pool(&s->window, (nq_rows){0, s->window.out_h}, in[0].data, in[0].pitch, out,
                    out_pitch);
        break;
    case NQ_OP_AVGPOOL:
        k->avg_pool(in[0].data, in[0].pitch, e->plan->steps[s->input[0]].pixels, s->channels,
                    s->zero, out);
        break;
    }
}

static uint64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* run_step() as the probe wants it. */
static void run_probed(const nq_engine *e, int node, const tensor *in, uint8_t *out,
                       size_t out_pitch)
{
    const nq_engine_probe *probe = &e->probe;
    if (probe->nodes && !probe->nodes[node])
        return;
    uint64_t began = probe->nanoseconds ? nanoseconds() : 0;
    run_step(e, &e->plan->steps[node], in, out, out_pitch);
    if (probe->nanoseconds)
        probe->nanoseconds[node] += nanoseconds() - began;
}

static void run_image(const nq_engine *e, const uint8_t *crop)
{
    const nq_plan *plan = e->plan;
    for (int i = 0; i < plan->count; i++) {
        const nq_step *s = &plan->steps[i];
        tensor in[NQ_NODE_INPUTS] = {{crop, 3}};
        for (int k = 0; k < s->inputs; k++) {
            const nq_step *from = &plan->steps[s->input[k]];
            in[k] = (tensor){e->arena + from->offset, from->pitch};
        }
        if (s->op != NQ_OP_SLICE) /* its readers look into its input */
            run_probed(e, i, in, e->arena + s->offset, s->pitch);
    }
}

void nq_engine_run(nq_engine *engine, const uint8_t *crops, int n, uint8_t *logits)
{
    const nq_plan *plan = engine->plan;
    const nq_step *last = &plan->steps[plan->count - 1];
    for (int i = 0; i < n; i++) {
        run_image(engine, crops + (size_t)i * NQ_CROP_BYTES);
        memcpy(logits + (size_t)i * (size_t)last->channels, engine->arena + last->offset,
               (size_t)last->channels);
    }
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
    run_step(engine, s, in, out, (size_t)s->channels);
    return NQ_OK;
}
