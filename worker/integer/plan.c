#include "worker/integer/plan.h"

#include "common/arena.h"
#include "common/block.h"
#include "worker/integer/tables.h"
#include <stdlib.h>
#include <string.h>

static size_t aligned(size_t bytes)
{
    return (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

/* Of an operator whose output's pixels each see one of the input's: no padding, stride 1. */
static nq_window node_window(const nq_graph *graph, const nq_node *n)
{
    const nq_node *in = n->inputs ? &graph->nodes[n->input[0]] : n;
    nq_window w = {.in_h = in->height,
                   .in_w = in->width,
                   .in_c = in->channels,
                   .out_h = n->height,
                   .out_w = n->width,
                   .out_c = n->channels,
                   .kernel_h = 1,
                   .kernel_w = 1,
                   .stride = 1};
    if (n->op == NQ_OP_CONV || n->op == NQ_OP_LINEAR || n->op == NQ_OP_MAXPOOL) {
        w.kernel_h = n->kernel_h;
        w.kernel_w = n->kernel_w;
        w.stride = n->stride;
        w.pad_h = n->pad_h;
        w.pad_w = n->pad_w;
    } else if (n->op == NQ_OP_AVGPOOL) {
        w.kernel_h = in->height;
        w.kernel_w = in->width;
    }
    return w;
}

static nq_output node_output(const nq_node *n, const nq_qnode *q)
{
    int32_t zero = q->out.zero_point;
    return (nq_output){.zero = zero, .low = n->relu ? zero : 0, .high = q->out.qmax};
}

/* NUMERICS' two formulas as one, see nq_conv. */
static void layer_constants(const nq_qnode *q, float in_scale, nq_conv *op)
{
    for (int c = 0; c < op->window.out_c; c++) {
        float s = in_scale * q->weight_scale[q->scales == 1 ? 0 : c];
        float bias = q->bias ? q->bias[c] : 0.0f;
        op->multiplier[c] = s / q->out.scale;
        op->bias[c] = q->scales == 1 ? bias : bias / s;
        op->bias_factor[c] = q->scales == 1 ? 1.0f / s : 1.0f;
    }
}

static nq_status build_layer(const nq_qmodel *model, int i, nq_plan *plan, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    const nq_qnode *q = &model->nodes[i];
    nq_step *step = &plan->steps[i];
    nq_conv *op = &step->conv.op;
    op->window = step->window;
    op->out = node_output(n, q);
    if (n->groups == 1) {
        step->conv.kernel = &plan->kernels->dense;
    } else if (n->groups == n->channels && op->window.in_c == n->channels) {
        step->conv.kernel = &plan->kernels->depthwise;
    } else {
        return nq_fail(err, NQ_ERR_INTERNAL,
                       "%s: a convolution of %d groups is neither dense nor depthwise", n->name,
                       n->groups);
    }
    size_t channels = (size_t)n->channels;
    float *constants = malloc(3 * channels * sizeof *constants);
    if (!constants)
        return nq_fail_nomem(err, n->name, 3 * channels * sizeof *constants);
    op->bias = constants;
    op->bias_factor = constants + channels;
    op->multiplier = constants + 2 * channels;

    nq_qparams in = model->nodes[n->input[0]].out;
    if (q->has_table) {
        nq_table_requantize(in, q->in, step->table[0]);
        in = q->in;
        step->conv.has_table = true;
    }
    op->in_zero = in.zero_point;
    layer_constants(q, in.scale, op);
    step->conv.weight_bytes = nq_node_weights(&model->graph, n);
    return NQ_OK;
}

static void build_add(const nq_qmodel *model, const nq_node *n, const nq_qnode *q, nq_add *add)
{
    nq_qparams a = model->nodes[n->input[0]].out, b = model->nodes[n->input[1]].out;
    add->a_scale = a.scale;
    add->a_offset = -(a.scale * (float)a.zero_point);
    add->b_scale = b.scale;
    add->b_offset = -(b.scale * (float)b.zero_point);
    add->inverse = 1.0f / q->out.scale;
    add->out = node_output(n, q);
}

static nq_status build_step(const nq_qmodel *model, int i, nq_plan *plan, nq_error *err)
{
    const nq_node *n = &model->graph.nodes[i];
    const nq_qnode *q = &model->nodes[i];
    nq_step *step = &plan->steps[i];
    memcpy(step->name, n->name, sizeof step->name);
    memcpy(step->input, n->input, sizeof step->input);
    step->op = n->op;
    step->inputs = n->inputs;
    step->height = n->height;
    step->width = n->width;
    step->channels = n->channels;
    step->window = node_window(&model->graph, n);
    switch (n->op) {
    case NQ_OP_INPUT:
        nq_input_table(q->out, step->table);
        return NQ_OK;
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        return build_layer(model, i, plan, err);
    case NQ_OP_ADD:
        build_add(model, n, q, &step->add);
        return NQ_OK;
    case NQ_OP_CAT:
        for (int k = 0; k < n->inputs; k++)
            nq_table_concatenate(model->nodes[n->input[k]].out, q->out, step->table[k]);
        return NQ_OK;
    case NQ_OP_SLICE:
        step->first = n->first;
        return NQ_OK;
    case NQ_OP_SHUFFLE:
        step->groups = n->groups;
        return NQ_OK;
    case NQ_OP_MAXPOOL:
        return NQ_OK;
    case NQ_OP_AVGPOOL:
        step->zero = q->out.zero_point;
        return NQ_OK;
    }
    return nq_fail(err, NQ_ERR_INTERNAL, "%s: an operator without a kernel", n->name);
}

static bool is_layer(const nq_step *step)
{
    return step->op == NQ_OP_CONV || step->op == NQ_OP_LINEAR;
}

/* Also how much scratch memory the kernels want. */
static nq_status pack_weights(const nq_qmodel *model, nq_plan *plan, size_t *scratch, nq_error *err)
{
    *scratch = 0;
    for (int i = 0; i < plan->count; i++) {
        nq_step *step = &plan->steps[i];
        if (!is_layer(step))
            continue;
        size_t packed, room;
        step->conv.kernel->size(&step->conv.op, &packed, &room);
        step->conv.packed = plan->weight_bytes;
        plan->weight_bytes += aligned(packed);
        *scratch = room > *scratch ? room : *scratch;
    }
    plan->weights = nq_block_alloc(plan->weight_bytes);
    if (!plan->weights)
        return nq_fail_nomem(err, "packed weights", plan->weight_bytes);
    for (int i = 0; i < plan->count; i++)
        if (is_layer(&plan->steps[i]))
            plan->steps[i].conv.kernel->pack(&plan->steps[i].conv.op, model->nodes[i].weight,
                                             plan->weights + plan->steps[i].conv.packed);
    return NQ_OK;
}

/* A task's buffer is in use from its first to its last reader's; within a unit of several stripes
 * all are in use all the time, and what batched tasks read, from the first image to the last. */
static void describe_buffers(const nq_plan *plan, nq_span *spans)
{
    for (int u = 0; u < plan->unit_count; u++) {
        const nq_unit *unit = &plan->units[u];
        int last = unit->first + unit->count - 1;
        for (int i = 0; i < unit->count; i++) {
            int task = unit->first + i, end = unit->stripes > 1 ? last : task;
            const nq_task *t = &plan->tasks[task];
            spans[task] = (nq_span){.bytes = (size_t)unit->buffer_rows[i] * nq_task_row_bytes(t),
                                    .first = unit->stripes > 1 ? unit->first : task,
                                    .last = end};
            if (t->image_bytes) {
                spans[task].bytes = (size_t)plan->batch * t->image_bytes;
                spans[task].first = task < plan->batched ? 0 : task;
            }
            for (int k = 0; k < t->inputs; k++)
                if (spans[t->input[k]].last < end)
                    spans[t->input[k]].last = end;
        }
    }
}

/* Where a node that runs alone has its input behind the table. */
static size_t lone_input_bytes(const nq_plan *plan)
{
    size_t most = 0;
    for (int i = 0; i < plan->count; i++) {
        const nq_window *w = &plan->steps[i].window;
        size_t bytes = (size_t)w->in_h * (size_t)w->in_w * (size_t)w->in_c;
        if (is_layer(&plan->steps[i]) && plan->steps[i].conv.has_table && bytes > most)
            most = bytes;
    }
    return aligned(most);
}

static nq_status place_buffers(nq_plan *plan, size_t scratch, nq_error *err)
{
    size_t count = (size_t)plan->task_count, lone = lone_input_bytes(plan);
    nq_span *spans = calloc(count, sizeof *spans);
    if (!spans)
        return nq_fail_nomem(err, "a plan", count * sizeof *spans);
    describe_buffers(plan, spans);
    plan->scratch = nq_arena_assign(spans, plan->task_count);
    if (plan->scratch < lone)
        plan->scratch = lone;
    plan->arena_bytes = plan->scratch + aligned(scratch);
    for (int i = 0; i < plan->task_count; i++)
        plan->tasks[i].offset = spans[i].offset;
    free(spans);
    return NQ_OK;
}

nq_status nq_plan_create_for(const nq_qmodel *model, const nq_kernels *kernels,
                             const nq_machine *machine, nq_plan **out, nq_error *err)
{
    *out = NULL;
    nq_status status = nq_qmodel_check(model, err);
    if (status != NQ_OK)
        return status;
    size_t count = (size_t)model->graph.count, scratch = 0;
    nq_plan *plan = calloc(1, sizeof *plan);
    if (!plan || !(plan->steps = calloc(count, sizeof *plan->steps))) {
        free(plan);
        return nq_fail_nomem(err, "a plan", count * sizeof(nq_step));
    }
    plan->kernels = kernels;
    plan->count = model->graph.count;
    for (int i = 0; i < plan->count && status == NQ_OK; i++)
        status = build_step(model, i, plan, err);
    if (status == NQ_OK)
        status = nq_plan_list_tasks(plan, err);
    if (status == NQ_OK)
        nq_plan_choose_batch(plan, machine);
    if (status == NQ_OK)
        status = nq_plan_choose_units(plan, machine, err);
    if (status == NQ_OK)
        status = pack_weights(model, plan, &scratch, err);
    if (status == NQ_OK)
        status = place_buffers(plan, scratch, err);
    if (status == NQ_OK)
        *out = plan;
    else
        nq_plan_free(plan);
    return status;
}

nq_status nq_plan_create(const nq_qmodel *model, const nq_kernels *kernels, nq_plan **plan,
                         nq_error *err)
{
    return nq_plan_create_for(model, kernels, &nq_usual_machine, plan, err);
}

void nq_plan_free(nq_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->count; i++)
        if (is_layer(&plan->steps[i]))
            free(plan->steps[i].conv.op.bias);
    for (int u = 0; u < plan->unit_count; u++)
        free(plan->units[u].stripe);
    free(plan->units);
    free(plan->tasks);
    free(plan->steps);
    free(plan->weights);
    free(plan);
}

int nq_plan_classes(const nq_plan *plan)
{
    return plan->steps[plan->count - 1].channels;
}

int nq_plan_batch(const nq_plan *plan)
{
    return plan->batch;
}

size_t nq_plan_arena_bytes(const nq_plan *plan)
{
    return plan->arena_bytes;
}

size_t nq_plan_weight_bytes(const nq_plan *plan)
{
    return plan->weight_bytes;
}
