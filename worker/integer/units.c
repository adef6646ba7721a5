/*
 * Units of tasks and their stripes. A wide tensor between two narrow ones (the middle of an
 * inverted residual) need not exist as a whole: its rows are made, read and overwritten while they
 * are in the cache. What that saves and costs is estimated in cycles, from bytes moved and calls
 * made, and the cheapest division of the network is taken. Results do not depend on it.
 */
#include "worker/integer/plan.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const nq_machine nq_usual_machine = {.near_bytes = 512 << 10,
                                     .far_bytes = 1 << 20,
                                     .far_rate = 32,
                                     .away_rate = 16,
                                     .call_cycles = 1000,
                                     .batch = 14};

static size_t tensor_bytes(const nq_task *t)
{
    return (size_t)t->height * nq_task_row_bytes(t);
}

static bool is_layer(const nq_plan *plan, const nq_task *t)
{
    nq_op op = plan->steps[t->step].op;
    return t->kind == NQ_TASK_STEP && (op == NQ_OP_CONV || op == NQ_OP_LINEAR);
}

/* ---- batch ---- */

/* Weights that a batch reads once instead of once an image, less what its tensors take. */
static double batch_gain(const nq_plan *plan, int task)
{
    const nq_task *t = &plan->tasks[task];
    double gain = -(double)tensor_bytes(t);
    return is_layer(plan, t) && nq_task_takes_images(plan, t)
               ? gain + (double)plan->steps[t->step].conv.weight_bytes
               : gain;
}

/* Where the tail of the network has more weights than values; it may see one tensor of the rest. */
void nq_plan_choose_batch(nq_plan *plan, const nq_machine *machine)
{
    double gain = 0, best = 0;
    int lowest = INT_MAX;
    plan->batch = machine->batch;
    plan->batched = plan->task_count;
    for (int i = plan->task_count - 1; i > 0; i--) {
        const nq_task *t = &plan->tasks[i];
        gain += batch_gain(plan, i);
        for (int k = 0; k < t->inputs; k++)
            lowest = t->input[k] < lowest ? t->input[k] : lowest;
        if (lowest >= i - 1 && gain > best) {
            best = gain;
            plan->batched = i;
        }
    }
    for (int i = plan->batched - 1; i < plan->task_count; i++) {
        nq_task *t = &plan->tasks[i];
        t->image_bytes = tensor_bytes(t);
        if (i >= plan->batched && is_layer(plan, t))
            plan->steps[t->step].conv.op.images = plan->batch;
    }
}

/* ---- stripes ---- */

typedef struct {
    const nq_task *tasks; /* the unit's first */
    int first, count;
    int done[NQ_UNIT_TASKS]; /* rows made so far */
    int base[NQ_UNIT_TASKS]; /* rows given up so far */
} progress;

static bool reads(const progress *p, int reader, int task)
{
    for (int k = 0; k < p->tasks[reader].inputs; k++)
        if (p->tasks[reader].input[k] == p->first + task)
            return true;
    return false;
}

/* The next stripe, as far as `end` of the unit's output: backwards, which rows each task must have
 * made; then, which rows nobody will read again. */
static void next_stripe(progress *p, int end, nq_stripe *stripe)
{
    int until[NQ_UNIT_TASKS] = {0};
    for (int i = p->count - 1; i >= 0; i--) {
        until[i] = i == p->count - 1 ? end : p->done[i];
        int needed = INT_MAX;
        for (int j = i + 1; j < p->count; j++) {
            if (!reads(p, j, i))
                continue;
            nq_rows now = nq_rows_read(&p->tasks[j].window, stripe[j].rows);
            if (stripe[j].rows.count > 0 && now.first + now.count > until[i])
                until[i] = now.first + now.count;
            if (p->done[j] < p->tasks[j].height) {
                nq_rows next = nq_rows_read(&p->tasks[j].window, (nq_rows){p->done[j], 1});
                needed = next.first < needed ? next.first : needed;
            }
        }
        if (i < p->count - 1 && needed != INT_MAX && needed > p->base[i] && until[i] > p->done[i])
            p->base[i] = needed < p->done[i] ? needed : p->done[i];
        stripe[i].rows = (nq_rows){p->done[i], until[i] - p->done[i]};
        stripe[i].base = p->base[i];
    }
    for (int i = 0; i < p->count; i++)
        p->done[i] = until[i];
}

/* Stripes of `rows` rows of the output; NULL: only what buffers they take. Returns their number. */
static int divide(const nq_plan *plan, int first, int count, int rows, nq_stripe *stripes,
                  int *buffer_rows)
{
    progress p = {.tasks = plan->tasks + first, .first = first, .count = count};
    nq_stripe one[NQ_UNIT_TASKS] = {0};
    int height = p.tasks[count - 1].height, n = 0;
    memset(buffer_rows, 0, (size_t)count * sizeof *buffer_rows);
    for (int end = 0; end < height; n++) {
        end = end + rows < height ? end + rows : height;
        nq_stripe *stripe = stripes ? stripes + (size_t)n * (size_t)count : one;
        next_stripe(&p, end, stripe);
        for (int i = 0; i < count; i++)
            if (p.done[i] - stripe[i].base > buffer_rows[i])
                buffer_rows[i] = p.done[i] - stripe[i].base;
    }
    return n;
}

/* ---- what a division costs ---- */

typedef struct {
    const nq_plan *plan;
    const nq_machine *machine;
} division;

/* Of bytes that lie, while they are in use, in so much room. */
static double traffic(const division *d, size_t bytes, size_t room)
{
    const nq_machine *m = d->machine;
    return room <= m->near_bytes  ? 0
           : room <= m->far_bytes ? (double)bytes / m->far_rate
                                  : (double)bytes / m->away_rate;
}

/* Of a unit with `rows` rows of its output a stripe. */
static double unit_cost(const division *d, int first, int count, int rows)
{
    int buffer_rows[NQ_UNIT_TASKS];
    int stripes = divide(d->plan, first, count, rows, NULL, buffer_rows);
    size_t inside = 0, room = 0, weights = 0;
    for (int i = 0; i < count; i++) {
        const nq_task *t = &d->plan->tasks[first + i];
        if (is_layer(d->plan, t))
            weights += d->plan->steps[t->step].conv.weight_bytes;
        if (i < count - 1) {
            inside += 2 * tensor_bytes(t);
            room += (size_t)buffer_rows[i] * nq_task_row_bytes(t);
        }
    }
    size_t out = tensor_bytes(&d->plan->tasks[first + count - 1]);
    return traffic(d, inside, room) + 2 * traffic(d, out, out) +
           (stripes - 1) * traffic(d, weights, weights) +
           (double)stripes * count * d->machine->call_cycles;
}

static double best_rows(const division *d, int first, int count, int *rows)
{
    int height = d->plan->tasks[first + count - 1].height, last = 0;
    int most = count > 1 ? height : 1; /* stripes; a task alone gains nothing from them */
    double best = INFINITY;
    for (int n = 1; n <= most; n++) {
        int r = (height + n - 1) / n;
        if (r == last)
            continue;
        last = r;
        double cost = unit_cost(d, first, count, r);
        if (cost < best) {
            best = cost;
            *rows = r;
        }
    }
    return best;
}

/* ---- the cheapest one ---- */

/* Whether nobody outside reads what tasks first..end-1 make. */
static bool closed(const nq_plan *plan, int first, int end)
{
    for (int j = end + 1; j < plan->task_count; j++)
        for (int k = 0; k < plan->tasks[j].inputs; k++)
            if (plan->tasks[j].input[k] >= first && plan->tasks[j].input[k] < end)
                return false;
    return true;
}

typedef struct {
    double cost; /* of everything up to here */
    int first;   /* of the last unit */
    int rows;
} choice;

/* A task alone always is a unit. */
static void choose(const division *d, choice *best)
{
    for (int end = 0; end < d->plan->task_count; end++) {
        best[end].cost = INFINITY;
        for (int first = end; first >= 0 && first > end - NQ_UNIT_TASKS; first--) {
            int rows = 0;
            if (first < end && end >= d->plan->batched)
                break;
            if (!closed(d->plan, first, end))
                continue;
            double cost = best_rows(d, first, end - first + 1, &rows);
            cost += first > 0 ? best[first - 1].cost : 0;
            if (cost < best[end].cost)
                best[end] = (choice){cost, first, rows};
        }
    }
}

static nq_status make_unit(const nq_plan *plan, int first, int count, int rows, nq_unit *unit,
                           nq_error *err)
{
    int height = plan->tasks[first + count - 1].height;
    size_t stripes = (size_t)((height + rows - 1) / rows);
    unit->first = first;
    unit->count = count;
    unit->stripe = calloc(stripes * (size_t)count, sizeof *unit->stripe);
    if (!unit->stripe)
        return nq_fail_nomem(err, "a plan", stripes * (size_t)count * sizeof *unit->stripe);
    unit->stripes = divide(plan, first, count, rows, unit->stripe, unit->buffer_rows);
    return NQ_OK;
}

nq_status nq_plan_choose_units(nq_plan *plan, const nq_machine *machine, nq_error *err)
{
    size_t count = (size_t)plan->task_count;
    choice *best = calloc(count, sizeof *best);
    plan->units = calloc(count, sizeof *plan->units);
    if (!best || !plan->units) {
        free(best);
        return nq_fail_nomem(err, "a plan", count * sizeof *plan->units);
    }
    choose(&(division){plan, machine}, best);
    for (int end = plan->task_count - 1; end >= 0; end = best[end].first - 1)
        plan->unit_count++;
    nq_status status = NQ_OK;
    int end = plan->task_count - 1;
    for (int u = plan->unit_count - 1; u >= 0 && status == NQ_OK; u--) {
        int first = best[end].first;
        status = make_unit(plan, first, end - first + 1, best[end].rows, &plan->units[u], err);
        end = first - 1;
    }
    free(best);
    return status;
}
