/* Questions about the queue that change nothing. */
#include "server/store_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

nq_status nq_store_load(nq_store *store, int64_t id, nq_job *job, nq_error *err)
{
    sqlite3_stmt *q;
    char sql[1536];
    bool row = false;
    *job = (nq_job){0};
    snprintf(sql, sizeof sql, "SELECT %s FROM jobs WHERE id = ?1", nq_store_columns);
    nq_status status = nq_store_prepare(store, &q, err, sql, "i", id);
    if (status == NQ_OK)
        status = nq_store_step(store, q, &row, err);
    if (status == NQ_OK && !row)
        status = nq_fail(err, NQ_ERR_MISSING, "there is no job %lld", (long long)id);
    if (status == NQ_OK)
        status = nq_store_read(q, job, err);
    sqlite3_finalize(q);
    return status;
}

nq_status nq_store_artifacts(nq_store *store, int64_t id, nq_artifact **list, size_t *count,
                             nq_error *err)
{
    sqlite3_stmt *q;
    bool row = true;
    *list = NULL;
    *count = 0;
    nq_status status = nq_store_prepare(
        store, &q, err, "SELECT name, bytes, sha256 FROM artifacts WHERE job = ?1 ORDER BY name",
        "i", id);
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row) {
        nq_artifact *grown = realloc(*list, (*count + 1) * sizeof *grown);
        if (!grown) {
            status = nq_fail_nomem(err, "artifacts", (*count + 1) * sizeof *grown);
            break;
        }
        *list = grown;
        nq_artifact *a = &grown[(*count)++];
        nq_store_text(q, 0, a->name, sizeof a->name);
        a->bytes = sqlite3_column_int64(q, 1);
        nq_store_text(q, 2, a->sha256, sizeof a->sha256);
    }
    sqlite3_finalize(q);
    if (status != NQ_OK) {
        free(*list);
        *list = NULL;
        *count = 0;
    }
    return status;
}

nq_status nq_store_count(nq_store *store, nq_job_state state, int64_t *jobs, nq_error *err)
{
    return nq_store_number(store, jobs, 0, err, "SELECT jobs FROM counts WHERE state = ?1", "s",
                           nq_job_state_name(state));
}

nq_status nq_store_counts(nq_store *store, json_t **counts, nq_error *err)
{
    nq_status status = NQ_OK;
    *counts = json_object();
    for (int i = 0; i < NQ_STATE_COUNT && status == NQ_OK; i++) {
        int64_t n;
        status = nq_store_count(store, (nq_job_state)i, &n, err);
        if (status == NQ_OK &&
            json_object_set_new(*counts, nq_job_state_name((nq_job_state)i), json_integer(n)) != 0)
            status = nq_fail_nomem(err, "counts", 0);
    }
    if (status != NQ_OK) {
        json_decref(*counts);
        *counts = NULL;
    }
    return status;
}

/* How many queued jobs stand before this one. */
static nq_status count_before(nq_store *store, const nq_job *job, int64_t *before, nq_error *err)
{
    return nq_store_number(
        store, before, 0, err,
        "SELECT (SELECT count(*) FROM jobs WHERE state = 'queued' AND priority > ?1) + "
        "(SELECT count(*) FROM jobs WHERE state = 'queued' AND priority = ?1 AND id < ?2)",
        "ii", (int64_t)job->priority, job->id);
}

nq_status nq_store_unended(nq_store *store, nq_selection selection, int64_t *jobs, nq_error *err)
{
    return nq_store_number(store, jobs, 0, err,
                           selection.job
                               ? "SELECT count(*) FROM jobs WHERE id = ?1 AND ended IS NULL"
                               : "SELECT count(*) FROM jobs WHERE group_id = ?1 AND ended IS NULL",
                           "i", selection.job ? selection.job : selection.group);
}

static nq_status make_object(nq_store *store, const nq_job *job, int64_t before, int64_t running,
                             bool with_spec, json_t **object, nq_error *err)
{
    nq_artifact *artifacts = NULL;
    size_t count = 0;
    nq_status status = NQ_OK;
    *object = NULL;
    if (job->state == NQ_STATE_DONE)
        status = nq_store_artifacts(store, job->id, &artifacts, &count, err);
    if (status == NQ_OK) {
        *object = nq_job_to_json(job, artifacts, count, before, running, with_spec);
        if (!*object)
            status = nq_fail_nomem(err, "a job's description", 0);
    }
    free(artifacts);
    return status;
}

nq_status nq_store_object(nq_store *store, int64_t id, bool with_spec, json_t **object,
                          nq_error *err)
{
    nq_job job;
    int64_t before = 0, running = 0;
    *object = NULL;
    nq_status status = nq_store_load(store, id, &job, err);
    if (status == NQ_OK && job.state == NQ_STATE_QUEUED) {
        status = count_before(store, &job, &before, err);
        if (status == NQ_OK)
            status = nq_store_count(store, NQ_STATE_RUNNING, &running, err);
    }
    if (status == NQ_OK)
        status = make_object(store, &job, before, running, with_spec, object, err);
    nq_job_clear(&job);
    return status;
}

/* A WHERE clause that grows; its values are bound in order. */
typedef struct {
    char sql[2560];
    char types[16];
    size_t values;
    union {
        int64_t number;
        const char *text;
    } value[16];
} query;

static void add(query *q, const char *condition)
{
    size_t used = strlen(q->sql);
    snprintf(q->sql + used, sizeof q->sql - used, "%s", condition);
}

static void add_text(query *q, const char *condition, const char *text)
{
    if (!text)
        return;
    add(q, condition);
    q->types[q->values] = 's';
    q->value[q->values++].text = text;
}

static void add_number(query *q, const char *condition, int64_t number)
{
    add(q, condition);
    q->types[q->values] = 'i';
    q->value[q->values++].number = number;
}

static void add_states(query *q, unsigned states)
{
    const char *separator = " AND state IN (";
    for (int i = 0; i < NQ_STATE_COUNT; i++) {
        if (!(states & 1u << i))
            continue;
        char name[32];
        snprintf(name, sizeof name, "%s'%s'", separator, nq_job_state_name((nq_job_state)i));
        add(q, name);
        separator = ", ";
    }
    if (states)
        add(q, ")");
}

static nq_status bind_query(nq_store *store, const query *q, sqlite3_stmt **statement,
                            nq_error *err)
{
    nq_status status = nq_store_prepare(store, statement, err, q->sql, "");
    int code = SQLITE_OK;
    for (size_t i = 0; i < q->values && status == NQ_OK && code == SQLITE_OK; i++)
        code = q->types[i] == 's'
                   ? sqlite3_bind_text(*statement, (int)i + 1, q->value[i].text, -1, SQLITE_STATIC)
                   : sqlite3_bind_int64(*statement, (int)i + 1, q->value[i].number);
    return code == SQLITE_OK ? status : nq_store_failed(store, code, "bind a query", err);
}

static void build_list(query *q, const nq_store_filter *f)
{
    snprintf(q->sql, sizeof q->sql, "SELECT %s FROM jobs WHERE id > ?", nq_store_columns);
    add_number(q, "", f->after);
    add_states(q, f->states);
    add_text(q, " AND model = ?", f->model);
    add_text(q, " AND preset = ?", f->preset);
    add_text(q, " AND dataset = ?", f->dataset);
    if (f->group)
        add_number(q, " AND group_id = ?", f->group);
    if (f->uid >= 0)
        add_number(q, " AND uid = ?", f->uid);
    if (f->since)
        add_number(q, " AND submitted >= ?", f->since);
    add_number(q, " ORDER BY id LIMIT ?", f->most + 1);
}

/* Where the queued jobs of an array stand: one walk through the queue for all of them. `ids` holds
 * (job, place in the array) pairs, by job. */
static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static nq_status place_queued(nq_store *store, json_t *array, const nq_id_list *pairs,
                              nq_error *err)
{
    sqlite3_stmt *q;
    int64_t running, before = 0;
    bool row = true;
    size_t left = pairs->count / 2;
    nq_status status = nq_store_count(store, NQ_STATE_RUNNING, &running, err);
    if (status != NQ_OK || left == 0)
        return status;
    status = nq_store_prepare(
        store, &q, err, "SELECT id FROM jobs WHERE state = 'queued' ORDER BY priority DESC, id",
        "");
    for (; status == NQ_OK && left > 0 && (status = nq_store_step(store, q, &row, err)) == NQ_OK &&
           row;
         before++) {
        int64_t id = sqlite3_column_int64(q, 0);
        const int64_t *pair =
            bsearch(&id, pairs->ids, pairs->count / 2, 2 * sizeof id, compare_ids);
        if (!pair)
            continue;
        left--;
        json_t *reason = nq_job_waiting_reason(before, running);
        if (json_object_set_new(json_array_get(array, (size_t)pair[1]), "reason", reason) != 0)
            status = nq_fail_nomem(err, "a list of jobs", 0);
    }
    sqlite3_finalize(q);
    return status;
}

static nq_status append_job(nq_store *store, sqlite3_stmt *q, json_t *array, nq_id_list *queued,
                            nq_error *err)
{
    nq_job job;
    json_t *object = NULL;
    nq_status status = nq_store_read(q, &job, err);
    if (status == NQ_OK)
        status = make_object(store, &job, 0, 0, false, &object, err);
    if (status == NQ_OK && job.state == NQ_STATE_QUEUED && !*job.reason) {
        status = nq_id_list_add(queued, job.id, err);
        if (status == NQ_OK)
            status = nq_id_list_add(queued, (int64_t)json_array_size(array), err);
    }
    nq_job_clear(&job);
    if (status != NQ_OK)
        json_decref(object);
    else if (json_array_append_new(array, object) != 0)
        status = nq_fail_nomem(err, "a list of jobs", 0);
    return status;
}

nq_status nq_store_list(nq_store *store, const nq_store_filter *filter, json_t **array, bool *more,
                        nq_error *err)
{
    query built = {.values = 0};
    sqlite3_stmt *q;
    nq_id_list queued = {0};
    bool row = true;
    *more = false;
    *array = json_array();
    if (!*array)
        return nq_fail_nomem(err, "a list of jobs", 0);
    build_list(&built, filter);
    nq_status status = bind_query(store, &built, &q, err);
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row) {
        if ((int64_t)json_array_size(*array) == filter->most) {
            *more = true;
            break;
        }
        status = append_job(store, q, *array, &queued, err);
    }
    sqlite3_finalize(q);
    if (status == NQ_OK)
        status = place_queued(store, *array, &queued, err);
    nq_id_list_free(&queued);
    if (status != NQ_OK) {
        json_decref(*array);
        *array = NULL;
    }
    return status;
}

static nq_status each_row(nq_store *store, sqlite3_stmt *q, nq_store_each each, void *context,
                          nq_error *err)
{
    nq_status status = NQ_OK;
    for (bool row = true;
         status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row;) {
        nq_job job;
        status = nq_store_read(q, &job, err);
        if (status == NQ_OK)
            status = each(context, &job, err);
        nq_job_clear(&job);
    }
    return status;
}

/* What a job needs to rank; ratios above 25 % are new * 4 < original * 3. */
#define RANKS                                                                                      \
    "state = 'done' AND kind <> 1 AND partial = 0 AND unreadable = 0 AND images > 0 AND "          \
    "original_model_size > 0 AND new_model_size * 4 < original_model_size * 3"

nq_status nq_store_rankable(nq_store *store, const char *dataset, const char *model,
                            nq_store_each each, void *context, nq_error *err)
{
    query built = {.values = 0};
    sqlite3_stmt *q;
    snprintf(built.sql, sizeof built.sql, "SELECT %s FROM jobs WHERE " RANKS, nq_store_columns);
    add_text(&built, " AND dataset = ?", dataset);
    add_text(&built, " AND model = ?", model);
    add(&built, " ORDER BY dataset_fingerprint, model, id");
    nq_status status = bind_query(store, &built, &q, err);
    if (status == NQ_OK)
        status = each_row(store, q, each, context, err);
    sqlite3_finalize(q);
    return status;
}

nq_status nq_store_group_unranked(nq_store *store, int64_t group, int64_t *jobs, nq_error *err)
{
    return nq_store_number(store, jobs, 0, err,
                           "SELECT count(*) FROM jobs WHERE group_id = ?1 AND NOT (" RANKS ")", "i",
                           group);
}

nq_status nq_store_float_jobs(nq_store *store, const char *dataset_fingerprint, nq_store_each each,
                              void *context, nq_error *err)
{
    sqlite3_stmt *q;
    char sql[2048];
    snprintf(sql, sizeof sql,
             "SELECT %s FROM jobs WHERE id IN (SELECT max(id) FROM jobs WHERE state = 'done' AND "
             "dataset_fingerprint = ?1 AND kind = 1 AND partial = 0 AND images > 0 GROUP BY model, "
             "checkpoint_sha256) ORDER BY model, id",
             nq_store_columns);
    nq_status status = nq_store_prepare(store, &q, err, sql, "s", dataset_fingerprint);
    if (status == NQ_OK)
        status = each_row(store, q, each, context, err);
    sqlite3_finalize(q);
    return status;
}

nq_status nq_store_past_run(nq_store *store, const char *model, nq_job_kind kind, nq_past_run *run,
                            nq_error *err)
{
    sqlite3_stmt *q;
    bool row = false;
    *run = (nq_past_run){0};
    nq_status status = nq_store_prepare(
        store, &q, err,
        "SELECT images, coalesce(json_extract(spec, '$.calibrate.samples'), 0), seconds FROM jobs "
        "WHERE state = 'done' AND model = ?1 AND kind = ?2 AND seconds > 0 ORDER BY id DESC LIMIT "
        "1",
        "si", model, (int64_t)kind);
    if (status == NQ_OK)
        status = nq_store_step(store, q, &row, err);
    if (row)
        *run = (nq_past_run){.images = sqlite3_column_int64(q, 0),
                             .samples = sqlite3_column_int64(q, 1),
                             .seconds = sqlite3_column_double(q, 2)};
    sqlite3_finalize(q);
    return status;
}
