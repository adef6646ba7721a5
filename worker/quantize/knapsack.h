/* The multiple-choice knapsack, exactly: one choice of every group, sizes and losses added up. */
#ifndef NQ_QUANTIZE_KNAPSACK_H
#define NQ_QUANTIZE_KNAPSACK_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t size;
    double loss; /* finite */
} nq_knapsack_choice;

typedef struct {
    const nq_knapsack_choice *choices;
    int count; /* 1..255 */
} nq_knapsack_group;

/* Totals, ascending in size, strictly descending in loss. */
typedef struct nq_frontier nq_frontier;

/*
 * The Pareto frontier of all ways to choose: each total that no other one equals or beats in both
 * size and loss. Losses are added in the order of the groups; so is the frontier built, group by
 * group: a partial total that another one equals or beats can be part of no better whole. Exact, no
 * size is rounded. Among equal totals one stays, which one depends on the input alone. Time and
 * memory grow with the frontiers. groups[count] need not outlive the frontier. NQ_ERR_INPUT: a
 * group without a choice, or a loss that is not finite.
 */
nq_status nq_knapsack_frontier(const nq_knapsack_group *groups, int count, nq_frontier **frontier,
                               nq_error *err);
void nq_frontier_free(nq_frontier *frontier);

size_t nq_frontier_count(const nq_frontier *frontier); /* at least 1 */
nq_knapsack_choice nq_frontier_point(const nq_frontier *frontier, size_t point);

/* The last point, so the one of least loss, whose size is at most `budget`; SIZE_MAX where not even
 * the smallest fits. */
size_t nq_frontier_within(const nq_frontier *frontier, uint64_t budget);

/* What a point has chosen: choice[group] is an index into the group's choices. */
void nq_frontier_choices(const nq_frontier *frontier, size_t point, int *choice);

#endif
