#include "server/ranking.h"

#include <stdlib.h>
#include <string.h>

#define RATIO_UNIT 1000000000000ll

void nq_entry_of_job(const nq_job *job, nq_entry *e)
{
    *e = (nq_entry){.job = job->id,
                    .weights_bits = job->weights_bits,
                    .activations_bits = job->activations_bits,
                    .original_size = job->summary.original_model_size,
                    .new_size = job->summary.new_model_size,
                    .right = job->summary.top1_right,
                    .images = job->summary.images,
                    .submitted = job->submitted};
    snprintf(e->dataset, sizeof e->dataset, "%s", job->dataset);
    snprintf(e->dataset_fingerprint, sizeof e->dataset_fingerprint, "%s", job->dataset_fingerprint);
    snprintf(e->model, sizeof e->model, "%s", job->model);
    snprintf(e->preset, sizeof e->preset, "%s", job->preset);
}

double nq_entry_ratio(const nq_entry *e)
{
    return e->group ? 100.0 * (double)e->mean_ratio / (double)RATIO_UNIT
                    : nq_compression_ratio(e->original_size, e->new_size);
}

bool nq_ranking_same_board(const nq_entry *a, const nq_entry *b)
{
    return strcmp(a->dataset_fingerprint, b->dataset_fingerprint) == 0 && !a->group == !b->group &&
           strcmp(a->model, b->model) == 0;
}

int nq_ranking_compare(const nq_entry *a, const nq_entry *b)
{
    /* A larger ratio is a smaller new/original. */
    __int128 left = (__int128)a->new_size * b->original_size;
    __int128 right = (__int128)b->new_size * a->original_size;
    if (a->group) {
        left = b->mean_ratio;
        right = a->mean_ratio;
    }
    if (left != right)
        return left < right ? -1 : 1;
    int64_t x = nq_tenths(a->right, a->images), y = nq_tenths(b->right, b->images);
    return x == y ? 0 : x > y ? -1 : 1;
}

static int compare_entries(const void *p, const void *q)
{
    const nq_entry *a = p, *b = q;
    int order = strcmp(a->dataset_fingerprint, b->dataset_fingerprint);
    if (order == 0)
        order = (a->group != 0) - (b->group != 0);
    if (order == 0)
        order = strcmp(a->model, b->model);
    if (order == 0)
        order = nq_ranking_compare(a, b);
    int64_t x = a->job + a->group, y = b->job + b->group;
    return order ? order : (x > y) - (x < y);
}

void nq_ranking_sort(nq_entry *entries, size_t count)
{
    int place = 0;
    if (count > 0)
        qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && nq_ranking_same_board(&entries[i - 1], &entries[i]);
        place = same ? place + 1 : 1;
        entries[i].rank = same && nq_ranking_compare(&entries[i - 1], &entries[i]) == 0
                              ? entries[i - 1].rank
                              : place;
    }
}

/* ---- groups ---- */

typedef struct {
    int64_t group;
    const nq_entry *job;
} member;

static int compare_members(const void *p, const void *q)
{
    const member *a = p, *b = q;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    int order = strcmp(a->job->model, b->job->model);
    return order ? order : (a->job->job > b->job->job) - (a->job->job < b->job->job);
}

static bool members_fit(const member *m, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (strcmp(m[i].job->model, m[i - 1].job->model) == 0 ||
            strcmp(m[i].job->dataset_fingerprint, m[0].job->dataset_fingerprint) != 0 ||
            m[i].job->images != m[0].job->images)
            return false;
    return count >= 2;
}

/* The mean over the models: sums of right and images are it for top-1, since all have the same
 * images. */
static nq_entry mean_of(const member *m, size_t count)
{
    nq_entry e = *m[0].job;
    int64_t ratios = 0;
    size_t used = 0;
    e.job = 0;
    e.group = m[0].group;
    e.original_size = e.new_size = e.right = e.images = 0;
    for (size_t i = 0; i < count; i++) {
        const nq_entry *job = m[i].job;
        __int128 saved = (__int128)(job->original_size - job->new_size) * RATIO_UNIT;
        ratios += (int64_t)(saved / job->original_size);
        e.original_size += job->original_size;
        e.new_size += job->new_size;
        e.right += job->right;
        e.images += job->images;
        if (job->weights_bits != e.weights_bits)
            e.weights_bits = 0;
        if (job->activations_bits != e.activations_bits)
            e.activations_bits = 0;
        if (strcmp(job->preset, e.preset) != 0)
            strcpy(e.preset, "mixed");
        if (used < sizeof e.model - 1)
            used += (size_t)snprintf(e.model + used, sizeof e.model - used, "%s%s", i ? "+" : "",
                                     job->model);
    }
    e.mean_ratio = ratios / (int64_t)count;
    return e;
}

nq_status nq_ranking_groups(const nq_entry *jobs, const int64_t *group_of, size_t count,
                            bool (*complete)(void *context, int64_t group), void *context,
                            nq_entry **groups, size_t *group_count, nq_error *err)
{
    member *members = calloc(count + 1, sizeof *members);
    *groups = calloc(count + 1, sizeof **groups);
    *group_count = 0;
    size_t n = 0;
    if (!members || !*groups) {
        free(members);
        free(*groups);
        *groups = NULL;
        return nq_fail_nomem(err, "a ranking", count * sizeof **groups);
    }
    for (size_t i = 0; i < count; i++)
        if (group_of[i])
            members[n++] = (member){group_of[i], &jobs[i]};
    qsort(members, n, sizeof *members, compare_members);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && members[end].group == members[i].group;)
            end++;
        if (members_fit(members + i, end - i) && complete(context, members[i].group))
            (*groups)[(*group_count)++] = mean_of(members + i, end - i);
    }
    free(members);
    return NQ_OK;
}
