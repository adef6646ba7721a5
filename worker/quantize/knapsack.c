#include "worker/quantize/knapsack.h"

#include <math.h>
#include <stdlib.h>

/* How a partial total came about. */
typedef struct {
    uint32_t parent; /* index into the frontier of the groups before */
    uint8_t choice;
} step;

struct nq_frontier {
    step **steps; /* [groups]: steps[g] belongs to the frontier after group g */
    int groups;
    nq_knapsack_choice *points; /* after all groups */
    size_t count;
};

/* A frontier that grows. */
typedef struct {
    nq_knapsack_choice *points;
    step *steps;
    size_t count, room;
} growing;

#define MOST_POINTS ((size_t)UINT32_MAX)

static nq_status grow(growing *g, nq_error *err)
{
    size_t room = g->room ? 2 * g->room : 64;
    nq_knapsack_choice *points = realloc(g->points, room * sizeof *points);
    if (points)
        g->points = points;
    step *steps = realloc(g->steps, room * sizeof *steps);
    if (steps)
        g->steps = steps;
    if (!points || !steps || room > MOST_POINTS)
        return nq_fail_nomem(err, "a frontier", room * (sizeof *points + sizeof *steps));
    g->room = room;
    return NQ_OK;
}

static nq_knapsack_choice add(nq_knapsack_choice a, nq_knapsack_choice b)
{
    return (nq_knapsack_choice){.size = a.size + b.size, .loss = a.loss + b.loss};
}

/* Of the totals that come next with each choice the one of least size, of these the one of least
 * loss, of these that of the first choice; -1: none is left. */
static int smallest(const nq_frontier *before, const nq_knapsack_group *group, const size_t *next)
{
    int best = -1;
    nq_knapsack_choice least = {0};
    for (int k = 0; k < group->count; k++) {
        if (next[k] == before->count)
            continue;
        nq_knapsack_choice total = add(before->points[next[k]], group->choices[k]);
        if (best < 0 || total.size < least.size ||
            (total.size == least.size && total.loss < least.loss)) {
            best = k;
            least = total;
        }
    }
    return best;
}

/* Merges the frontier moved by each choice; all of them are sorted already. */
static nq_status add_group(nq_frontier *f, const nq_knapsack_group *group, nq_error *err)
{
    growing made = {0};
    size_t next[UINT8_MAX] = {0};
    nq_status status = NQ_OK;
    for (int k; status == NQ_OK && (k = smallest(f, group, next)) >= 0; next[k]++) {
        nq_knapsack_choice total = add(f->points[next[k]], group->choices[k]);
        if (made.count > 0 && total.loss >= made.points[made.count - 1].loss)
            continue;
        if (made.count == made.room)
            status = grow(&made, err);
        if (status != NQ_OK)
            break;
        made.points[made.count] = total;
        made.steps[made.count++] = (step){.parent = (uint32_t)next[k], .choice = (uint8_t)k};
    }
    if (status != NQ_OK) {
        free(made.points);
        free(made.steps);
        return status;
    }
    free(f->points);
    f->points = made.points;
    f->count = made.count;
    f->steps[f->groups++] = made.steps;
    return NQ_OK;
}

static nq_status check(const nq_knapsack_group *groups, int count, nq_error *err)
{
    for (int g = 0; g < count; g++) {
        if (groups[g].count < 1 || groups[g].count > UINT8_MAX)
            return nq_fail(err, NQ_ERR_INPUT, "a knapsack's group %d has %d choices, not 1 to %d",
                           g, groups[g].count, UINT8_MAX);
        for (int k = 0; k < groups[g].count; k++)
            if (!isfinite(groups[g].choices[k].loss))
                return nq_fail(err, NQ_ERR_INPUT,
                               "choice %d of a knapsack's group %d has a loss that is not finite",
                               k, g);
    }
    return NQ_OK;
}

nq_status nq_knapsack_frontier(const nq_knapsack_group *groups, int count, nq_frontier **frontier,
                               nq_error *err)
{
    nq_status status = check(groups, count, err);
    if (status != NQ_OK)
        return status;
    nq_frontier *f = calloc(1, sizeof *f);
    if (!f)
        return nq_fail_nomem(err, "a frontier", sizeof *f);
    f->steps = calloc((size_t)count + 1, sizeof *f->steps);
    f->points = calloc(1, sizeof *f->points); /* nothing chosen yet */
    f->count = 1;
    if (!f->steps || !f->points)
        status = nq_fail_nomem(err, "a frontier", (size_t)count * sizeof *f->steps);
    for (int g = 0; g < count && status == NQ_OK; g++)
        status = add_group(f, &groups[g], err);
    if (status != NQ_OK) {
        nq_frontier_free(f);
        return status;
    }
    *frontier = f;
    return NQ_OK;
}

void nq_frontier_free(nq_frontier *f)
{
    if (!f)
        return;
    for (int g = 0; g < f->groups; g++)
        free(f->steps[g]);
    free(f->steps);
    free(f->points);
    free(f);
}

size_t nq_frontier_count(const nq_frontier *f)
{
    return f->count;
}

nq_knapsack_choice nq_frontier_point(const nq_frontier *f, size_t point)
{
    return f->points[point];
}

size_t nq_frontier_within(const nq_frontier *f, uint64_t budget)
{
    size_t low = 0, high = f->count; /* those before low fit, those from high on do not */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->points[middle].size <= budget)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : SIZE_MAX;
}

void nq_frontier_choices(const nq_frontier *f, size_t point, int *choice)
{
    for (int g = f->groups - 1; g >= 0; g--) {
        const step *s = &f->steps[g][point];
        choice[g] = s->choice;
        point = s->parent;
    }
}
