/* leaderboard: loaded and ranked on the store's thread; the rules are in ranking.c. */
#include "server/verbs.h"

#include "server/ranking.h"
#include "server/text.h"
#include <stdlib.h>

typedef struct {
    nq_entry *entries;
    int64_t *group_of; /* of each entry's job, 0: none */
    size_t count, room;
    nq_store *store; /* while it is asked */
} board_list;

static void free_boards(void *state)
{
    board_list *b = state;
    free(b->entries);
    free(b->group_of);
    free(b);
}

static nq_status grow(board_list *b, size_t count, nq_error *err)
{
    if (count <= b->room)
        return NQ_OK;
    size_t room = count + b->room + 64;
    nq_entry *entries = realloc(b->entries, room * sizeof *entries);
    if (entries)
        b->entries = entries;
    int64_t *group_of = realloc(b->group_of, room * sizeof *group_of);
    if (group_of)
        b->group_of = group_of;
    if (!entries || !group_of)
        return nq_fail_nomem(err, "a leaderboard", room * sizeof *entries);
    b->room = room;
    return NQ_OK;
}

static nq_status add_job(void *context, const nq_job *job, nq_error *err)
{
    board_list *b = context;
    nq_status status = grow(b, b->count + 1, err);
    if (status != NQ_OK)
        return status;
    nq_entry_of_job(job, &b->entries[b->count]);
    b->group_of[b->count++] = job->group;
    return NQ_OK;
}

static bool group_is_complete(void *context, int64_t group)
{
    const board_list *b = context;
    nq_error ignored;
    int64_t missing = 1;
    return nq_store_group_unranked(b->store, group, &missing, &ignored) == NQ_OK && missing == 0;
}

static nq_status load_boards(nq_call *call, nq_store *store, nq_error *err)
{
    board_list *b = call->state;
    const char *model = nq_request_text(&call->request, "model", NULL);
    nq_entry *groups = NULL;
    size_t group_count = 0;
    b->store = store;
    nq_status status = nq_store_rankable(store, nq_request_text(&call->request, "dataset", NULL),
                                         model, add_job, b, err);
    if (status == NQ_OK && !model)
        status = nq_ranking_groups(b->entries, b->group_of, b->count, group_is_complete, b, &groups,
                                   &group_count, err);
    if (status == NQ_OK)
        status = grow(b, b->count + group_count, err);
    for (size_t i = 0; i < group_count && status == NQ_OK; i++)
        b->entries[b->count++] = groups[i];
    free(groups);
    if (status == NQ_OK)
        nq_ranking_sort(b->entries, b->count);
    return status;
}

static json_t *bits_json(int bits)
{
    if (bits == NQ_BITS_AUTO)
        return json_string("auto");
    return bits ? json_integer(bits) : json_null();
}

static json_t *row_json(const nq_entry *e)
{
    return json_pack("{s:i, s:I, s:o, s:o, s:o, s:o, s:f, s:I, s:f, s:I, s:I, s:f}", "rank",
                     e->rank, e->group ? "group" : "job",
                     (json_int_t)(e->group ? e->group : e->job), "model", nq_text_json(e->model),
                     "preset", nq_text_json(e->preset), "weights_bits", bits_json(e->weights_bits),
                     "activations_bits", bits_json(e->activations_bits), "compression_ratio",
                     nq_entry_ratio(e), "top1_tenths", (json_int_t)nq_tenths(e->right, e->images),
                     "top1", nq_per_cent(e->right, e->images), "original_model_size",
                     (json_int_t)e->original_size, "new_model_size", (json_int_t)e->new_size,
                     "submitted", (double)e->submitted / 1e6);
}

static json_t *boards_json(const board_list *b)
{
    json_t *boards = json_array(), *rows = NULL;
    int bad = !boards;
    for (size_t i = 0; i < b->count && !bad; i++) {
        const nq_entry *e = &b->entries[i];
        if (i == 0 || !nq_ranking_same_board(e - 1, e)) {
            rows = json_array();
            bad |= json_array_append_new(boards, json_pack("{s:o, s:s, s:o}", "dataset",
                                                           nq_text_json(e->dataset), "fingerprint",
                                                           e->dataset_fingerprint, "rows", rows));
        }
        if (!bad)
            bad |= json_array_append_new(rows, row_json(e));
    }
    if (!bad)
        return boards;
    json_decref(boards);
    return NULL;
}

static void boards_loaded(nq_call *call)
{
    json_t *boards = boards_json(call->state);
    nq_call_reply(call, boards ? json_pack("{s:o}", "boards", boards) : NULL);
}

void nq_verb_leaderboard(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(board_list), free_boards))
        nq_call_on_store(call, false, load_boards, boards_loaded);
}
