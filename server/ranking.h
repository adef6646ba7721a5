/* The leaderboard: who comes before whom (docs/protocol.md: Ranking). */
#ifndef NQ_SERVER_RANKING_H
#define NQ_SERVER_RANKING_H

#include "server/job.h"

/* A job, or a group of several models, that may rank. */
typedef struct {
    int64_t job, group; /* one is 0 */
    char dataset[NQ_SPEC_PATH];
    char dataset_fingerprint[NQ_SHA256_TEXT];
    char model[512]; /* of a group: its models, joined by '+' */
    char preset[NQ_SPEC_NAME];
    int weights_bits, activations_bits; /* of a group: 0 where its jobs differ, or have none */
    int64_t original_size, new_size;    /* of a group: sums */
    int64_t right, images;              /* likewise */
    int64_t mean_ratio; /* of a group: the mean of its jobs' ratios in units of 1e-12; else 0 */
    int64_t submitted;
    int rank; /* set by nq_ranking_sort() */
} nq_entry;

/* An entry of one job. */
void nq_entry_of_job(const nq_job *job, nq_entry *entry);

/*
 * Sorts entries into boards: by dataset fingerprint, single jobs before groups, then model; within
 * a board by rank, equal ones by id. Ratios of jobs are compared exactly, by cross-multiplied
 * sizes; of groups by mean_ratio; then top-1 in tenths of a per cent. Equal rows share a rank.
 */
void nq_ranking_sort(nq_entry *entries, size_t count);
/* Whether two sorted neighbours are on the same board. */
bool nq_ranking_same_board(const nq_entry *a, const nq_entry *b);
/* < 0: a ranks before b; 0: they share a rank. Of the same board. */
int nq_ranking_compare(const nq_entry *a, const nq_entry *b);

/*
 * Makes one entry of each group of two or more models among `jobs` (job entries, sorted or not)
 * that has `count` jobs of `count` different models on the same dataset. *groups is malloc'd.
 * `complete(context, group)` says whether all jobs of the group are among `jobs`.
 */
nq_status nq_ranking_groups(const nq_entry *jobs, const int64_t *group_of, size_t count,
                            bool (*complete)(void *context, int64_t group), void *context,
                            nq_entry **groups, size_t *group_count, nq_error *err);

/* 100 * (original - new) / original, or a group's mean. */
double nq_entry_ratio(const nq_entry *entry);

#endif
