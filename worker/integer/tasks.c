/* What of the model's steps a scored image needs, as a list of tasks. */
#include "worker/integer/plan.h"
#include <stdlib.h>
#include <string.h>

/* Where a step's output is to be found: channels from `first` on of a task's tensor. */
typedef struct {
    int task, first;
} place;

typedef struct {
    nq_plan *plan;
    int *readers; /* of each step, counting those only that the result depends on */
    place *places;
} task_list;

/* From the last step backwards: a step that nobody needs has no reader. */
static void count_readers(const nq_plan *plan, int *readers)
{
    readers[plan->count - 1] = 1;
    for (int i = plan->count - 1; i >= 0; i--)
        for (int k = 0; readers[i] && k < plan->steps[i].inputs; k++)
            readers[plan->steps[i].input[k]]++;
}

/* Whether a CAT is read by a channel shuffle alone, and both fit interleave(). */
static bool interleaves(const task_list *l, int cat)
{
    const nq_plan *plan = l->plan;
    const nq_step *s = &plan->steps[cat];
    if (s->op != NQ_OP_CAT || s->inputs != 2 || l->readers[cat] != 1)
        return false;
    for (int i = cat + 1; i < plan->count; i++) {
        const nq_step *reader = &plan->steps[i];
        if (l->readers[i] && reader->op == NQ_OP_SHUFFLE && reader->input[0] == cat)
            return reader->groups == 2 && plan->steps[s->input[0]].channels * 2 == s->channels;
    }
    return false;
}

static nq_window one_pixel(const nq_task *t)
{
    return (nq_window){.in_h = t->height,
                       .in_w = t->width,
                       .in_c = t->channels,
                       .out_h = t->height,
                       .out_w = t->width,
                       .out_c = t->channels,
                       .kernel_h = 1,
                       .kernel_w = 1,
                       .stride = 1};
}

/* A task that reads what its step reads. */
static nq_task *append(task_list *l, nq_task_kind kind, int step)
{
    const nq_step *s = &l->plan->steps[step];
    nq_task *t = &l->plan->tasks[l->plan->task_count++];
    *t = (nq_task){.kind = kind,
                   .step = step,
                   .inputs = s->inputs,
                   .window = s->window,
                   .height = s->height,
                   .width = s->width,
                   .channels = s->channels};
    for (int k = 0; k < s->inputs; k++) {
        t->input[k] = l->places[s->input[k]].task;
        t->first_channel[k] = l->places[s->input[k]].first;
    }
    return t;
}

static void append_layer(task_list *l, int step)
{
    const nq_step *s = &l->plan->steps[step], *in = &l->plan->steps[s->input[0]];
    int requantized = l->plan->task_count;
    if (!s->conv.has_table) {
        append(l, NQ_TASK_STEP, step);
        return;
    }
    nq_task *t = append(l, NQ_TASK_REQUANTIZE, step);
    t->height = in->height;
    t->width = in->width;
    t->channels = in->channels;
    t->window = one_pixel(t);
    t = append(l, NQ_TASK_STEP, step);
    t->input[0] = requantized;
    t->first_channel[0] = 0;
}

static void append_step(task_list *l, int step)
{
    const nq_step *s = &l->plan->steps[step];
    switch (s->op) {
    case NQ_OP_SLICE:
        l->places[step] = l->places[s->input[0]];
        l->places[step].first += s->first;
        return;
    case NQ_OP_CAT:
        if (interleaves(l, step))
            return; /* the shuffle does it */
        append(l, NQ_TASK_STEP, step);
        break;
    case NQ_OP_SHUFFLE:
        if (interleaves(l, s->input[0]))
            append(l, NQ_TASK_INTERLEAVE, s->input[0]);
        else
            append(l, NQ_TASK_STEP, step);
        break;
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        append_layer(l, step);
        break;
    default:
        append(l, NQ_TASK_STEP, step);
    }
    l->places[step] = (place){.task = l->plan->task_count - 1};
}

nq_status nq_plan_list_tasks(nq_plan *plan, nq_error *err)
{
    size_t count = (size_t)plan->count;
    task_list l = {.plan = plan,
                   .readers = calloc(count, sizeof *l.readers),
                   .places = calloc(count, sizeof *l.places)};
    nq_status status = NQ_OK;
    plan->tasks = calloc(2 * count, sizeof *plan->tasks);
    if (!l.readers || !l.places || !plan->tasks) {
        status = nq_fail_nomem(err, "a plan", 2 * count * sizeof *plan->tasks);
    } else {
        count_readers(plan, l.readers);
        for (int i = 0; i < plan->count; i++)
            if (l.readers[i])
                append_step(&l, i);
    }
    free(l.readers);
    free(l.places);
    return status;
}
