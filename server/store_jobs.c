/* Rows of jobs: adding them, reading them, and every change of state. */
#include "server/store_internal.h"

#include <stdlib.h>
#include <string.h>

const char nq_store_columns[] =
    "id, group_id, uid, state, reason, token, submitted, started, ended, priority, attempts, spec, "
    "model, preset, dataset, kind, weights_bits, activations_bits, image_limit, partial, "
    "fingerprint, checkpoint_sha256, checkpoint_bytes, arch, dataset_fingerprint, dataset_stamp, "
    "dataset_images, calibration_sha256, quantized_sha256, images, top1_right, top5_right, "
    "unreadable, original_model_size, new_model_size, agreement_same, agreement_images, seconds";

#define TEXT(column, member) nq_store_text(q, column, job->member, sizeof job->member)
#define NUMBER(column)       sqlite3_column_int64(q, column)

nq_status nq_store_read(sqlite3_stmt *q, nq_job *job, nq_error *err)
{
    char state[16];
    *job = (nq_job){.id = NUMBER(0), .group = NUMBER(1), .uid = (uint32_t)NUMBER(2)};
    nq_store_text(q, 3, state, sizeof state);
    if (!nq_job_state_find(state, &job->state))
        return nq_fail(err, NQ_ERR_IO, "job %lld has the unknown state %s", (long long)job->id,
                       state);
    TEXT(4, reason);
    TEXT(5, token);
    job->submitted = NUMBER(6);
    job->started = NUMBER(7);
    job->ended = NUMBER(8);
    job->priority = (int)NUMBER(9);
    job->attempts = (int)NUMBER(10);
    const char *spec = (const char *)sqlite3_column_text(q, 11);
    if (!spec || !(job->spec = strdup(spec)))
        return nq_fail_nomem(err, "a job's spec", 0);
    TEXT(12, model);
    TEXT(13, preset);
    TEXT(14, dataset);
    job->kind = (nq_job_kind)NUMBER(15);
    job->weights_bits = (int)NUMBER(16);
    job->activations_bits = (int)NUMBER(17);
    job->limit = NUMBER(18);
    job->partial = NUMBER(19) != 0;
    TEXT(20, fingerprint);
    TEXT(21, checkpoint_sha256);
    job->checkpoint_bytes = NUMBER(22);
    TEXT(23, arch);
    TEXT(24, dataset_fingerprint);
    TEXT(25, dataset_stamp);
    job->dataset_images = NUMBER(26);
    TEXT(27, calibration_sha256);
    TEXT(28, quantized_sha256);
    job->has_summary = sqlite3_column_type(q, 29) != SQLITE_NULL;
    job->summary = (nq_job_summary){.images = NUMBER(29),
                                    .top1_right = NUMBER(30),
                                    .top5_right = NUMBER(31),
                                    .unreadable = NUMBER(32),
                                    .original_model_size = NUMBER(33),
                                    .new_model_size = NUMBER(34),
                                    .agreement_same =
                                        sqlite3_column_type(q, 35) == SQLITE_NULL ? -1 : NUMBER(35),
                                    .agreement_images = NUMBER(36),
                                    .seconds = sqlite3_column_double(q, 37)};
    return NQ_OK;
}

static nq_status insert(nq_store *store, nq_job *job, nq_error *err)
{
    static const char sql[] =
        "INSERT INTO jobs (group_id, uid, state, reason, token, submitted, priority, spec, model, "
        "preset, dataset, kind, weights_bits, activations_bits, image_limit, partial, fingerprint, "
        "checkpoint_sha256, checkpoint_bytes, arch, dataset_fingerprint, dataset_stamp, "
        "dataset_images, calibration_sha256, quantized_sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
        "?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";
    nq_status status = nq_store_run(
        store, err, sql,
        "niszz"
        "ii"
        "ssss"
        "iiiii"
        "ss"
        "i"
        "sss"
        "i"
        "zz",
        job->group, (int64_t)job->uid, nq_job_state_name(job->state), job->reason, job->token,
        job->submitted, (int64_t)job->priority, job->spec, job->model, job->preset, job->dataset,
        (int64_t)job->kind, (int64_t)job->weights_bits, (int64_t)job->activations_bits, job->limit,
        (int64_t)job->partial, job->fingerprint, job->checkpoint_sha256, job->checkpoint_bytes,
        job->arch, job->dataset_fingerprint, job->dataset_stamp, job->dataset_images,
        job->calibration_sha256, job->quantized_sha256);
    if (status == NQ_OK)
        job->id = sqlite3_last_insert_rowid(store->db);
    return status;
}

static nq_status find_token(nq_store *store, const nq_job *job, nq_id_list *ids, int64_t *group,
                            nq_error *err)
{
    sqlite3_stmt *q;
    bool row = true;
    nq_status status = nq_store_prepare(
        store, &q, err, "SELECT id, group_id FROM jobs WHERE uid = ?1 AND token = ?2 ORDER BY id",
        "is", (int64_t)job->uid, job->token);
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row) {
        *group = NUMBER(1);
        status = nq_id_list_add(ids, NUMBER(0), err);
    }
    sqlite3_finalize(q);
    return status;
}

static nq_status check_room(nq_store *store, size_t count, int64_t most, nq_error *err)
{
    int64_t queued, held;
    nq_status status = nq_store_count(store, NQ_STATE_QUEUED, &queued, err);
    if (status == NQ_OK)
        status = nq_store_count(store, NQ_STATE_HELD, &held, err);
    if (status == NQ_OK && queued + held + (int64_t)count > most)
        return nq_fail(err, NQ_ERR_STATE,
                       "%lld jobs wait, and the queue takes %lld (limits.queued_jobs): try again "
                       "when some have ended",
                       (long long)(queued + held), (long long)most);
    return status;
}

nq_status nq_store_submit(nq_store *store, nq_job *jobs, size_t count, bool as_group,
                          int64_t most_waiting, nq_id_list *ids, int64_t *group, bool *duplicate,
                          nq_error *err)
{
    nq_status status = NQ_OK;
    *group = 0;
    ids->count = 0;
    if (count > 0 && *jobs[0].token)
        status = find_token(store, &jobs[0], ids, group, err);
    *duplicate = ids->count > 0;
    if (status != NQ_OK || *duplicate)
        return status;
    status = check_room(store, count, most_waiting, err);
    if (status == NQ_OK && as_group) {
        status = nq_store_run(store, err, "INSERT INTO job_groups DEFAULT VALUES", "");
        *group = sqlite3_last_insert_rowid(store->db);
    }
    for (size_t i = 0; i < count && status == NQ_OK; i++) {
        jobs[i].group = *group;
        status = insert(store, &jobs[i], err);
        if (status == NQ_OK)
            status = nq_id_list_add(ids, jobs[i].id, err);
    }
    return status;
}

nq_status nq_store_select(nq_store *store, nq_selection selection, nq_id_list *ids, nq_error *err)
{
    sqlite3_stmt *q;
    bool row = true;
    ids->count = 0;
    nq_status status = selection.job
                           ? nq_store_prepare(store, &q, err, "SELECT id FROM jobs WHERE id = ?1",
                                              "i", selection.job)
                           : nq_store_prepare(store, &q, err,
                                              "SELECT id FROM jobs WHERE group_id = ?1 ORDER BY id",
                                              "i", selection.group);
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row)
        status = nq_id_list_add(ids, NUMBER(0), err);
    sqlite3_finalize(q);
    if (status == NQ_OK && ids->count == 0)
        return selection.job
                   ? nq_fail(err, NQ_ERR_MISSING, "there is no job %lld", (long long)selection.job)
                   : nq_fail(err, NQ_ERR_MISSING, "there is no group %lld",
                             (long long)selection.group);
    return status;
}

/* What a change does to a job in `state`: 1 changes it, 0 leaves it. */
static bool change_applies(nq_change change, nq_job_state state)
{
    switch (change) {
    case NQ_CHANGE_CANCEL:
        return !nq_job_state_is_end(state);
    case NQ_CHANGE_HOLD:
        return state == NQ_STATE_QUEUED;
    case NQ_CHANGE_RELEASE:
        break;
    }
    return state == NQ_STATE_HELD;
}

static nq_status change_one(nq_store *store, nq_change change, const nq_job *job, uint32_t uid,
                            int64_t now, nq_error *err)
{
    static const char *const verbs[] = {"cancelled", "held"};
    char reason[64] = "";
    nq_job_state state = change == NQ_CHANGE_CANCEL ? NQ_STATE_CANCELLED
                         : change == NQ_CHANGE_HOLD ? NQ_STATE_HELD
                                                    : NQ_STATE_QUEUED;
    if (change != NQ_CHANGE_RELEASE && uid == job->uid)
        snprintf(reason, sizeof reason, "%s by its owner", verbs[change]);
    else if (change != NQ_CHANGE_RELEASE)
        snprintf(reason, sizeof reason, "%s by uid %u", verbs[change], uid);
    return nq_store_run(
        store, err, "UPDATE jobs SET state = ?2, reason = ?3, ended = ?4 WHERE id = ?1", "iszn",
        job->id, nq_job_state_name(state), reason, change == NQ_CHANGE_CANCEL ? now : (int64_t)0);
}

static nq_status nothing_to_change(nq_change change, nq_selection selection, const nq_job *last,
                                   nq_error *err)
{
    static const char *const verbs[] = {"cancelled", "held", "released"};
    if (selection.group)
        return nq_fail(err, NQ_ERR_STATE, "group %lld has no job that can be %s",
                       (long long)selection.group, verbs[change]);
    return nq_fail(err, NQ_ERR_STATE, "job %lld is %s: it cannot be %s", (long long)last->id,
                   nq_job_state_name(last->state), verbs[change]);
}

nq_status nq_store_change(nq_store *store, nq_change change, nq_selection selection, uint32_t uid,
                          bool all, int64_t now, nq_id_list *ids, nq_error *err)
{
    nq_id_list every = {0};
    nq_job job = {0};
    ids->count = 0;
    nq_status status = nq_store_select(store, selection, &every, err);
    for (size_t i = 0; i < every.count && status == NQ_OK; i++) {
        nq_job_clear(&job);
        status = nq_store_load(store, every.ids[i], &job, err);
        if (status == NQ_OK && !all && job.uid != uid)
            status = nq_fail(err, NQ_ERR_DENIED, "job %lld belongs to uid %u, not to you (uid %u)",
                             (long long)job.id, job.uid, uid);
        if (status != NQ_OK || !change_applies(change, job.state))
            continue;
        status = change_one(store, change, &job, uid, now, err);
        if (status == NQ_OK)
            status = nq_id_list_add(ids, job.id, err);
    }
    if (status == NQ_OK && ids->count == 0)
        status = nothing_to_change(change, selection, &job, err);
    nq_job_clear(&job);
    nq_id_list_free(&every);
    return status;
}

/* The labels of a float job can be compared with where it scored the same images, or more. */
static nq_status find_float_job(nq_store *store, const nq_job *job, int64_t *id, nq_error *err)
{
    *id = 0;
    if (job->kind == NQ_JOB_FLOAT)
        return NQ_OK;
    return nq_store_number(
        store, id, 0, err,
        "SELECT id FROM jobs WHERE state = 'done' AND dataset_fingerprint = ?1 AND kind = ?2 AND "
        "checkpoint_sha256 = ?3 AND images >= ?4 AND EXISTS (SELECT 1 FROM artifacts WHERE "
        "artifacts.job = jobs.id AND name = 'output.txt') ORDER BY id DESC LIMIT 1",
        "sisi", job->dataset_fingerprint, (int64_t)NQ_JOB_FLOAT, job->checkpoint_sha256,
        job->partial ? job->limit : job->dataset_images);
}

nq_status nq_store_claim(nq_store *store, const nq_id_list *except, int64_t now, nq_job *job,
                         int64_t *float_job, bool *found, nq_error *err)
{
    sqlite3_stmt *q;
    char sql[1536];
    bool row = true;
    *found = false;
    *job = (nq_job){0};
    snprintf(sql, sizeof sql,
             "SELECT %s FROM jobs WHERE state = 'queued' ORDER BY priority DESC, id LIMIT ?1",
             nq_store_columns);
    nq_status status = nq_store_prepare(store, &q, err, sql, "i", (int64_t)except->count + 1);
    while (status == NQ_OK && !*found && (status = nq_store_step(store, q, &row, err)) == NQ_OK &&
           row) {
        if (nq_id_list_has(except, NUMBER(0)))
            continue;
        *found = true;
        status = nq_store_read(q, job, err);
    }
    sqlite3_finalize(q);
    if (status != NQ_OK || !*found)
        return status;
    status = find_float_job(store, job, float_job, err);
    if (status == NQ_OK)
        status = nq_store_run(
            store, err,
            "UPDATE jobs SET state = 'running', reason = NULL, started = ?2 WHERE id = ?1", "ii",
            job->id, now);
    job->state = NQ_STATE_RUNNING;
    job->started = now;
    job->reason[0] = 0;
    return status;
}

static nq_status store_artifacts(nq_store *store, int64_t id, const nq_ending *ending,
                                 nq_error *err)
{
    nq_status status = nq_store_run(store, err, "DELETE FROM artifacts WHERE job = ?1", "i", id);
    for (size_t i = 0; i < ending->artifact_count && status == NQ_OK; i++) {
        const nq_artifact *a = &ending->artifacts[i];
        status = nq_store_run(store, err,
                              "INSERT INTO artifacts (job, name, bytes, sha256) VALUES "
                              "(?1, ?2, ?3, ?4)",
                              "isis", id, a->name, a->bytes, a->sha256);
    }
    return status;
}

static nq_status store_summary(nq_store *store, int64_t id, const nq_job_summary *s, nq_error *err)
{
    nq_status status = nq_store_run(
        store, err,
        "UPDATE jobs SET images = ?2, top1_right = ?3, top5_right = ?4, unreadable = ?5, "
        "original_model_size = ?6, new_model_size = ?7, seconds = ?8 WHERE id = ?1",
        "iiiiiiir", id, s->images, s->top1_right, s->top5_right, s->unreadable,
        s->original_model_size, s->new_model_size, s->seconds);
    if (status == NQ_OK && s->agreement_same >= 0)
        status = nq_store_run(
            store, err, "UPDATE jobs SET agreement_same = ?2, agreement_images = ?3 WHERE id = ?1",
            "iii", id, s->agreement_same, s->agreement_images);
    return status;
}

nq_status nq_store_finish(nq_store *store, int64_t id, const nq_ending *ending, int64_t now,
                          bool *applied, nq_error *err)
{
    *applied = false;
    nq_status status = nq_store_run(
        store, err,
        "UPDATE jobs SET state = ?2, reason = ?3, ended = ?4, attempts = attempts + ?5 WHERE id = "
        "?1 AND state = 'running'",
        "iszni", id, nq_job_state_name(ending->state), ending->reason,
        nq_job_state_is_end(ending->state) ? now : (int64_t)0, (int64_t)ending->attempts);
    if (status != NQ_OK || sqlite3_changes(store->db) == 0)
        return status;
    *applied = true;
    if (ending->state != NQ_STATE_DONE)
        return NQ_OK;
    status = store_summary(store, id, &ending->summary, err);
    return status == NQ_OK ? store_artifacts(store, id, ending, err) : status;
}

nq_status nq_store_running(nq_store *store, nq_id_list *ids, nq_error *err)
{
    sqlite3_stmt *q;
    bool row = true;
    nq_status status = nq_store_prepare(
        store, &q, err, "SELECT id FROM jobs WHERE state = 'running' ORDER BY id", "");
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row)
        status = nq_id_list_add(ids, NUMBER(0), err);
    sqlite3_finalize(q);
    return status;
}

nq_status nq_store_has(nq_store *store, int64_t id, bool *has, nq_error *err)
{
    int64_t n;
    nq_status status =
        nq_store_number(store, &n, 0, err, "SELECT count(*) FROM jobs WHERE id = ?1", "i", id);
    *has = n > 0;
    return status;
}

nq_status nq_store_expire(nq_store *store, int64_t before, int64_t most, nq_id_list *ids,
                          nq_error *err)
{
    sqlite3_stmt *q;
    bool row = true;
    nq_status status = nq_store_prepare(
        store, &q, err,
        "SELECT id FROM jobs WHERE ended IS NOT NULL AND ended < ?1 ORDER BY ended LIMIT ?2", "ii",
        before, most);
    while (status == NQ_OK && (status = nq_store_step(store, q, &row, err)) == NQ_OK && row)
        status = nq_id_list_add(ids, NUMBER(0), err);
    sqlite3_finalize(q);
    for (size_t i = 0; i < ids->count && status == NQ_OK; i++)
        status = nq_store_run(store, err, "DELETE FROM jobs WHERE id = ?1", "i", ids->ids[i]);
    return status;
}
