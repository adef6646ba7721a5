#include "worker/quantize/rounding.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* A weight that may be flipped; `error` is q - w/scale as it stands. */
typedef struct {
    float error;
    int index; /* in the row */
} candidate;

/* One row under way. */
typedef struct {
    int taps, inputs;
    int8_t *q;
    float *error;      /* [taps * inputs] */
    float low, high;   /* bounds of q */
    candidate *order;  /* scratch [taps * inputs] */
    candidate *chosen; /* scratch [taps * inputs]: candidates for the row's sum */
} row_state;

static int by_error(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->error != y->error)
        return x->error < y->error ? -1 : 1;
    return x->index - y->index;
}

static int by_error_down(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->error != y->error)
        return x->error > y->error ? -1 : 1;
    return x->index - y->index;
}

/* Up where the sum of errors is negative: the most negative errors first. */
static bool may_flip(const row_state *r, int index, bool up)
{
    return up ? r->error[index] < 0 && (float)r->q[index] < r->high
              : r->error[index] > 0 && (float)r->q[index] > r->low;
}

static void flip(row_state *r, int index, bool up)
{
    int step = up ? 1 : -1;
    r->q[index] = (int8_t)(r->q[index] + step);
    r->error[index] += (float)step;
}

/* A network has a million kernels of nine taps: too small for qsort(). The order is total, so both
 * give the same. */
enum { SMALL = 32 };

static void sort_few(candidate *list, int count, int (*order)(const void *a, const void *b))
{
    for (int i = 1; i < count; i++) {
        candidate one = list[i];
        int at = i;
        for (; at > 0 && order(&list[at - 1], &one) > 0; at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

/* Sorts the candidates that can move the sum towards zero, the best first; returns how many there
 * are. */
static int sort_candidates(const row_state *r, candidate *list, int count, bool up)
{
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (may_flip(r, list[i].index, up)) {
            list[kept] = (candidate){.error = r->error[list[i].index], .index = list[i].index};
            kept++;
        }
    if (kept > SMALL)
        qsort(list, (size_t)kept, sizeof *list, up ? by_error : by_error_down);
    else
        sort_few(list, kept, up ? by_error : by_error_down);
    return kept;
}

/* Flips round(|sum|) weights of one kernel. The one candidate that it leaves to the row: the last
 * that was flipped, to be flipped back, where rounding went past the sum; else the next in order.
 * Returns 0 or 1 candidates. */
static int settle_kernel(row_state *r, int input, candidate *left)
{
    double sum = 0;
    for (int t = 0; t < r->taps; t++) {
        int index = t * r->inputs + input;
        sum += (double)r->error[index];
        r->order[t].index = index;
    }
    bool up = sum < 0;
    int count = sort_candidates(r, r->order, r->taps, up), wanted = (int)nearbyint(fabs(sum));
    int flips = wanted < count ? wanted : count;
    for (int i = 0; i < flips; i++)
        flip(r, r->order[i].index, up);
    bool past = flips >= fabs(sum);
    if (past && flips > 0)
        *left = r->order[flips - 1];
    else if (!past && flips < count)
        *left = r->order[flips];
    else
        return 0;
    return 1;
}

static void settle_row(row_state *r, candidate *list, int count)
{
    double sum = 0;
    for (int i = 0; i < r->taps * r->inputs; i++)
        sum += (double)r->error[i];
    bool up = sum < 0;
    int usable = sort_candidates(r, list, count, up), flips = (int)nearbyint(fabs(sum));
    for (int i = 0; i < flips && i < usable; i++)
        flip(r, list[i].index, up);
}

static void squant_row(row_state *r, const float *w, float scale)
{
    float inverse = 1.0f / scale;
    int count = r->taps * r->inputs, candidates = 0;
    for (int i = 0; i < count; i++) {
        float x = w[i] * inverse, rounded = nearbyintf(x);
        rounded = rounded < r->low ? r->low : rounded > r->high ? r->high : rounded;
        r->q[i] = (int8_t)rounded;
        r->error[i] = rounded - x;
    }
    if (r->taps > 1) {
        for (int input = 0; input < r->inputs; input++)
            candidates += settle_kernel(r, input, &r->chosen[candidates]);
    } else {
        for (int i = 0; i < count; i++)
            r->chosen[i].index = i;
        candidates = count;
    }
    settle_row(r, r->chosen, candidates);
}

nq_status nq_round_squant(const nq_weights *weights, int8_t *q, nq_error *err)
{
    size_t each = (size_t)weights->taps * (size_t)weights->inputs;
    row_state r = {.taps = weights->taps,
                   .inputs = weights->inputs,
                   .error = malloc(each * sizeof *r.error),
                   .order = malloc(each * sizeof *r.order),
                   .chosen = malloc(each * sizeof *r.chosen),
                   .low = -(float)(1 << (weights->bits - 1)),
                   .high = (float)((1 << (weights->bits - 1)) - 1)};
    nq_status status = NQ_OK;
    if (!r.error || !r.order || !r.chosen)
        status =
            nq_fail_nomem(err, "a row of weights", each * (sizeof *r.error + 2 * sizeof *r.order));
    for (size_t row = 0; status == NQ_OK && row < (size_t)weights->rows; row++) {
        r.q = q + row * each;
        squant_row(&r, weights->weight + row * each, weights->scale[weights->scales > 1 ? row : 0]);
    }
    free(r.error);
    free(r.order);
    free(r.chosen);
    return status;
}
