/* The frontier of a multiple-choice knapsack against trying every way to choose. */
#include "tests/unit/nq_test.h"

#include "worker/quantize/knapsack.h"
#include <math.h>
#include <stdbool.h>

#define GROUPS  6
#define CHOICES 4

typedef struct {
    nq_knapsack_choice choices[GROUPS][CHOICES];
    nq_knapsack_group groups[GROUPS];
    int count;
} problem;

static uint32_t state = 7;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

/* Few different sizes and losses: ties abound. Losses are whole eighths or not, never negative. */
static void random_problem(problem *p)
{
    *p = (problem){.count = (int)draw(GROUPS + 1)};
    bool fine = draw(2);
    uint32_t sizes = 1 + draw(12), losses = 1 + draw(12);
    for (int g = 0; g < p->count; g++) {
        for (int k = 0; k < CHOICES; k++)
            p->choices[g][k] = (nq_knapsack_choice){.size = draw(sizes),
                                                    .loss = draw(losses) * (fine ? 0.1 : 0.125)};
        p->groups[g] =
            (nq_knapsack_group){.choices = p->choices[g], .count = 1 + (int)draw(CHOICES)};
    }
}

/* What a way to choose comes to, added in the order of the groups. */
static nq_knapsack_choice total_of(const problem *p, const int *choice)
{
    nq_knapsack_choice total = {0};
    for (int g = 0; g < p->count; g++) {
        total.size += p->choices[g][choice[g]].size;
        total.loss += p->choices[g][choice[g]].loss;
    }
    return total;
}

/* The next way to choose, as a counter counts; false after the last. */
static bool next_way(const problem *p, int *choice)
{
    for (int g = 0; g < p->count; g++) {
        if (++choice[g] < p->groups[g].count)
            return true;
        choice[g] = 0;
    }
    return false;
}

/* The least loss of all ways that fit; INFINITY: none does. */
static double least_loss(const problem *p, uint64_t budget)
{
    int choice[GROUPS] = {0};
    double least = INFINITY;
    do {
        nq_knapsack_choice total = total_of(p, choice);
        if (total.size <= budget)
            least = fmin(least, total.loss);
    } while (next_way(p, choice));
    return least;
}

static void every_budget_is_solved_exactly(void **unused)
{
    (void)unused;
    nq_error err = {0};
    int infeasible = 0, solved = 0;
    for (int round = 0; round < 600; round++) {
        problem p;
        random_problem(&p);
        nq_frontier *f = NULL;
        assert_ok(nq_knapsack_frontier(p.groups, p.count, &f, &err), &err);
        for (uint64_t budget = 0; budget <= 12 * GROUPS; budget++) {
            double want = least_loss(&p, budget);
            size_t point = nq_frontier_within(f, budget);
            int choice[GROUPS];
            if (isinf(want)) {
                assert_true(point == SIZE_MAX);
                infeasible++;
                continue;
            }
            assert_true(point < nq_frontier_count(f));
            nq_knapsack_choice got = nq_frontier_point(f, point);
            assert_true(got.size <= budget);
            if (got.loss != want)
                fail_msg("round %d, budget %d: %.17g, wanted %.17g", round, (int)budget, got.loss,
                         want);
            nq_frontier_choices(f, point, choice);
            for (int g = 0; g < p.count; g++)
                assert_in_range(choice[g], 0, p.groups[g].count - 1);
            nq_knapsack_choice total = total_of(&p, choice);
            assert_true(total.size == got.size && total.loss == got.loss);
            solved++;
        }
        for (size_t i = 1; i < nq_frontier_count(f); i++) {
            nq_knapsack_choice a = nq_frontier_point(f, i - 1), b = nq_frontier_point(f, i);
            assert_true(a.size < b.size && a.loss > b.loss);
        }
        nq_frontier_free(f);
    }
    assert_true(infeasible > 1000 && solved > 10000);
}

/* Of equal ways the same one is taken whenever it is asked for. */
static void ties_are_broken_alike(void **unused)
{
    (void)unused;
    nq_error err = {0};
    for (int round = 0; round < 50; round++) {
        problem p, q;
        random_problem(&p);
        q = p;
        nq_frontier *f = NULL, *g = NULL;
        for (int i = 0; i < GROUPS; i++)
            q.groups[i].choices = q.choices[i];
        assert_ok(nq_knapsack_frontier(p.groups, p.count, &f, &err), &err);
        assert_ok(nq_knapsack_frontier(q.groups, q.count, &g, &err), &err);
        assert_int_equal(nq_frontier_count(f), nq_frontier_count(g));
        for (size_t i = 0; i < nq_frontier_count(f); i++) {
            int a[GROUPS] = {0}, b[GROUPS] = {0};
            nq_frontier_choices(f, i, a);
            nq_frontier_choices(g, i, b);
            assert_memory_equal(a, b, sizeof a);
        }
        nq_frontier_free(f);
        nq_frontier_free(g);
    }
    /* The first of equal choices. */
    const nq_knapsack_choice same[] = {{4, 2}, {3, 1}, {3, 1}};
    const nq_knapsack_group groups[] = {{same, 3}, {same, 3}};
    nq_frontier *f = NULL;
    int choice[2];
    assert_ok(nq_knapsack_frontier(groups, 2, &f, &err), &err);
    assert_int_equal(nq_frontier_count(f), 1);
    nq_frontier_choices(f, 0, choice);
    assert_true(choice[0] == 1 && choice[1] == 1);
    nq_frontier_free(f);
}

/* Sizes of a real network's files, far above what tables indexed by size could hold. */
static void large_sizes_are_exact(void **unused)
{
    (void)unused;
    nq_error err = {0};
    const uint64_t big = (uint64_t)1 << 53;
    const nq_knapsack_choice a[] = {{big, 1}, {big + 1, 0.5}}, b[] = {{1, 1}, {2, 0.25}};
    const nq_knapsack_group groups[] = {{a, 2}, {b, 2}};
    nq_frontier *f = NULL;
    int choice[2];
    assert_ok(nq_knapsack_frontier(groups, 2, &f, &err), &err);
    assert_true(nq_frontier_within(f, big) == SIZE_MAX);
    size_t point = nq_frontier_within(f, big + 2);
    assert_true(nq_frontier_point(f, point).size == big + 2);
    nq_frontier_choices(f, point, choice);
    assert_true(choice[0] == 0 && choice[1] == 1);
    nq_frontier_free(f);
}

static void what_is_no_problem_is_refused(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_frontier *f = NULL;
    const nq_knapsack_choice bad[] = {{1, 1}, {2, (double)NAN}};
    assert_refused(nq_knapsack_frontier(&(nq_knapsack_group){bad, 0}, 1, &f, &err), NQ_ERR_INPUT,
                   &err, "group 0 has 0 choices");
    assert_refused(nq_knapsack_frontier(&(nq_knapsack_group){bad, 2}, 1, &f, &err), NQ_ERR_INPUT,
                   &err, "choice 1 of a knapsack's group 0 has a loss that is not finite");
    assert_null(f);
    nq_frontier_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_budget_is_solved_exactly),
        cmocka_unit_test(ties_are_broken_alike),
        cmocka_unit_test(large_sizes_are_exact),
        cmocka_unit_test(what_is_no_problem_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
