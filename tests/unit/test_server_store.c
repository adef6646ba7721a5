/* server/store, server/store_thread's batches: what the queue does, and what it does when the disk
 * or memory fails at any moment. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "server/store_internal.h"
#include "server/store_thread.h"
#include "tests/unit/fault_vfs.h"
#include <unistd.h>

extern const size_t nq_schema_count;

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char *folder, *path;

static int set_up(void **state)
{
    (void)state;
    folder = nq_test_folder();
    path = nq_path_join(folder, "queue.db");
    return folder && path ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    nq_error err = {0};
    fault_vfs_arm(0, 0, 0);
    int bad = nq_dir_remove(folder, &err) != NQ_OK;
    free(folder);
    free(path);
    return bad;
}

static nq_job make_job(const char *model, int priority)
{
    nq_job job = {.uid = 1000,
                  .state = NQ_STATE_QUEUED,
                  .submitted = 1764000000000000,
                  .priority = priority,
                  .kind = NQ_JOB_QUANTIZE,
                  .weights_bits = 8,
                  .activations_bits = 4,
                  .checkpoint_bytes = 1000,
                  .dataset_images = 634,
                  .spec = strdup("{\"model\":\"m\"}")};
    strcpy(job.model, model);
    strcpy(job.preset, "baseline");
    strcpy(job.dataset, "val");
    strcpy(job.arch, "resnet18");
    strcpy(job.fingerprint, HASH);
    strcpy(job.checkpoint_sha256, HASH);
    strcpy(job.dataset_fingerprint, HASH);
    strcpy(job.dataset_stamp, HASH);
    return job;
}

/* One job in a transaction of its own. Its id, or 0 where it was not committed. */
static int64_t add(nq_store *store, const char *model, int priority, nq_status *status,
                   nq_error *err)
{
    nq_job job = make_job(model, priority);
    nq_id_list ids = {0};
    int64_t group;
    bool duplicate;
    *status = nq_store_begin(store, true, err);
    if (*status == NQ_OK) {
        *status = nq_store_submit(store, &job, 1, false, 1000, &ids, &group, &duplicate, err);
        if (*status == NQ_OK)
            *status = nq_store_commit(store, err);
        else
            nq_store_rollback(store);
    }
    int64_t id = *status == NQ_OK ? ids.ids[0] : 0;
    nq_id_list_free(&ids);
    nq_job_clear(&job);
    return id;
}

static int64_t must_add(nq_store *store, const char *model, int priority)
{
    nq_error err = {0};
    nq_status status;
    int64_t id = add(store, model, priority, &status, &err);
    assert_ok(status, &err);
    return id;
}

static nq_store *must_open(void)
{
    nq_store *store;
    nq_error err = {0};
    assert_ok(nq_store_open(path, &store, &err), &err);
    return store;
}

static nq_ending done_ending(void)
{
    nq_ending e = {.state = NQ_STATE_DONE,
                   .attempts = 1,
                   .summary = {634, 400, 600, 0, 1000, 250, -1, 0, 2.0},
                   .artifact_count = 2};
    e.artifacts = calloc(2, sizeof *e.artifacts);
    strcpy(e.artifacts[0].name, "output.txt");
    strcpy(e.artifacts[1].name, "model.safetensors");
    for (int i = 0; i < 2; i++) {
        e.artifacts[i].bytes = 7 + i;
        strcpy(e.artifacts[i].sha256, HASH);
    }
    return e;
}

static void columns_survive(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    nq_job job = make_job("m", -3), back;
    nq_id_list ids = {0};
    int64_t group;
    bool duplicate;
    strcpy(job.token, "token");
    strcpy(job.calibration_sha256, HASH);
    job.limit = 100;
    job.partial = true;
    job.state = NQ_STATE_HELD;
    strcpy(job.reason, "held by its owner");
    assert_ok(nq_store_begin(store, true, &err), &err);
    assert_ok(nq_store_submit(store, &job, 1, true, 1000, &ids, &group, &duplicate, &err), &err);
    assert_ok(nq_store_commit(store, &err), &err);
    assert_int_equal(group, 1);
    nq_store_close(store);
    store = must_open();
    assert_ok(nq_store_load(store, ids.ids[0], &back, &err), &err);
    char *spec = job.spec, *spec_back = back.spec;
    assert_string_equal(spec, spec_back);
    job.spec = back.spec = NULL;
    job.summary.agreement_same = -1;
    assert_memory_equal(&job, &back, sizeof job);
    free(spec);
    free(spec_back);
    nq_id_list_free(&ids);
    nq_store_close(store);
}

/* A commit is on the disk: the log is synced before it returns. */
static void commits_are_durable(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    int64_t level;
    must_add(store, "m", 0);
    assert_ok(nq_store_number(store, &level, 0, &err, "PRAGMA synchronous", ""), &err);
    assert_int_equal(level, 2); /* FULL */
    fault_vfs_arm(0, 0, 0);
    must_add(store, "m", 0);
    assert_true(fault_vfs.syncs >= 1);
    nq_store_close(store);
}

static void claims_in_order(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    nq_id_list except = {0};
    int64_t low = must_add(store, "a", -1), first = must_add(store, "b", 0),
            second = must_add(store, "c", 0), high = must_add(store, "d", 5);
    int64_t want[] = {high, second, low, 0};
    assert_ok(nq_id_list_add(&except, first, &err), &err); /* waits to be tried again */
    for (int i = 0; i < 4; i++) {
        nq_job job;
        int64_t float_job;
        bool found;
        assert_ok(nq_store_claim(store, &except, 5, &job, &float_job, &found, &err), &err);
        assert_int_equal(found, want[i] != 0);
        if (found) {
            assert_int_equal(job.id, want[i]);
            assert_int_equal(job.started, 5);
            assert_int_equal(float_job, 0);
        }
        nq_job_clear(&job);
    }
    nq_id_list running = {0};
    assert_ok(nq_store_running(store, &running, &err), &err);
    assert_int_equal(running.count, 3);
    nq_id_list_free(&running);
    nq_id_list_free(&except);
    nq_store_close(store);
}

static int64_t claim(nq_store *store, int64_t *float_job)
{
    nq_error err = {0};
    nq_id_list none = {0};
    nq_job job;
    bool found;
    assert_ok(nq_store_claim(store, &none, 5, &job, float_job, &found, &err), &err);
    int64_t id = found ? job.id : 0;
    nq_job_clear(&job);
    return id;
}

static void finishing(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    bool applied;
    int64_t id = must_add(store, "m", 0), ignored, n;
    nq_ending again = {.state = NQ_STATE_QUEUED, .attempts = 1, .reason = "waits"};
    assert_ok(nq_store_finish(store, id, &again, 9, &applied, &err), &err);
    assert_false(applied); /* it does not run */
    assert_int_equal(claim(store, &ignored), id);
    assert_ok(nq_store_finish(store, id, &again, 9, &applied, &err), &err);
    assert_true(applied);
    nq_job job;
    assert_ok(nq_store_load(store, id, &job, &err), &err);
    assert_int_equal(job.state, NQ_STATE_QUEUED);
    assert_int_equal(job.attempts, 1);
    assert_int_equal(job.ended, 0);
    assert_string_equal(job.reason, "waits");
    nq_job_clear(&job);
    assert_int_equal(claim(store, &ignored), id);
    nq_ending done = done_ending();
    assert_ok(nq_store_finish(store, id, &done, 9, &applied, &err), &err);
    assert_true(applied);
    assert_ok(nq_store_load(store, id, &job, &err), &err);
    assert_int_equal(job.attempts, 2);
    assert_int_equal(job.ended, 9);
    assert_string_equal(job.reason, "");
    assert_true(job.has_summary);
    assert_memory_equal(&job.summary, &done.summary, sizeof job.summary);
    nq_job_clear(&job);
    nq_artifact *list;
    size_t count;
    assert_ok(nq_store_artifacts(store, id, &list, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "model.safetensors");
    free(list);
    assert_ok(nq_store_finish(store, id, &again, 9, &applied, &err), &err);
    assert_false(applied); /* done stays done */
    assert_ok(nq_store_count(store, NQ_STATE_DONE, &n, &err), &err);
    assert_int_equal(n, 1);
    free(done.artifacts);
    nq_store_close(store);
}

static void float_labels(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    bool applied;
    int64_t float_job;
    nq_job job = make_job("m", 0);
    nq_id_list ids = {0};
    int64_t group;
    bool duplicate;
    job.kind = NQ_JOB_FLOAT;
    assert_ok(nq_store_submit(store, &job, 1, false, 9, &ids, &group, &duplicate, &err), &err);
    int64_t id = ids.ids[0];
    assert_int_equal(claim(store, &float_job), id);
    nq_ending done = done_ending();
    assert_ok(nq_store_finish(store, id, &done, 9, &applied, &err), &err);
    must_add(store, "m", 0);
    claim(store, &float_job);
    assert_int_equal(float_job, id);
    /* Other bytes, other images, or more of them: nothing to compare with. */
    sqlite3_exec(store->db, "UPDATE jobs SET images = 100 WHERE kind = 1", NULL, NULL, NULL);
    must_add(store, "m", 0);
    claim(store, &float_job);
    assert_int_equal(float_job, 0);
    sqlite3_exec(store->db, "UPDATE jobs SET images = 634, checkpoint_sha256 = 'x' WHERE kind = 1",
                 NULL, NULL, NULL);
    must_add(store, "m", 0);
    claim(store, &float_job);
    assert_int_equal(float_job, 0);
    free(done.artifacts);
    nq_id_list_free(&ids);
    nq_job_clear(&job);
    nq_store_close(store);
}

static void changes(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    nq_id_list ids = {0};
    int64_t id = must_add(store, "m", 0), n;
    nq_selection one = {.job = id};
    assert_refused(nq_store_change(store, NQ_CHANGE_HOLD, one, 1001, false, 7, &ids, &err),
                   NQ_ERR_DENIED, &err, "belongs to uid 1000");
    assert_refused(nq_store_change(store, NQ_CHANGE_RELEASE, one, 1000, false, 7, &ids, &err),
                   NQ_ERR_STATE, &err, "is queued: it cannot be released");
    assert_ok(nq_store_change(store, NQ_CHANGE_HOLD, one, 1000, false, 7, &ids, &err), &err);
    assert_ok(nq_store_change(store, NQ_CHANGE_RELEASE, one, 0, true, 7, &ids, &err), &err);
    nq_job job;
    assert_ok(nq_store_load(store, id, &job, &err), &err);
    assert_string_equal(job.reason, "");
    nq_job_clear(&job);
    assert_ok(nq_store_change(store, NQ_CHANGE_CANCEL, one, 0, true, 7, &ids, &err), &err);
    assert_int_equal(ids.count, 1);
    assert_ok(nq_store_load(store, id, &job, &err), &err);
    assert_string_equal(job.reason, "cancelled by uid 0");
    assert_int_equal(job.ended, 7);
    nq_job_clear(&job);
    assert_ok(nq_store_unended(store, one, &n, &err), &err);
    assert_int_equal(n, 0);
    nq_id_list_free(&ids);
    nq_store_close(store);
}

/* ---- versions ---- */

static void pragma(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void newer_and_foreign(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_store *store = must_open();
    int64_t version;
    assert_ok(nq_store_number(store, &version, 0, &err, "PRAGMA user_version", ""), &err);
    assert_int_equal(version, nq_schema_count);
    nq_store_close(store);
    pragma("PRAGMA user_version = 4711");
    assert_refused(nq_store_open(path, &store, &err), NQ_ERR_INPUT, &err, "has version 4711");
    assert_null(store);
    unlink(path);
    pragma("CREATE TABLE t (x)");
    assert_refused(nq_store_open(path, &store, &err), NQ_ERR_INPUT, &err, "of another program");
}

/* ---- batches ---- */

typedef struct {
    nq_store_request request;
    int64_t id;
    bool fail;
} batch_item;

static nq_status batch_work(nq_store *store, nq_store_request *request, nq_error *err)
{
    batch_item *item = request->context;
    nq_job job = make_job("m", 0);
    nq_id_list ids = {0};
    int64_t group;
    bool duplicate;
    nq_status status = nq_store_submit(store, &job, 1, false, 1000, &ids, &group, &duplicate, err);
    item->id = ids.count ? ids.ids[0] : 0;
    nq_id_list_free(&ids);
    nq_job_clear(&job);
    return item->fail ? nq_fail(err, NQ_ERR_INPUT, "as told") : status;
}

static void batch(nq_store *store, batch_item *items, int count)
{
    for (int i = 0; i < count; i++)
        items[i].request = (nq_store_request){.work = batch_work,
                                              .writes = true,
                                              .context = &items[i],
                                              .next = i + 1 < count ? &items[i + 1].request : NULL};
    nq_store_batch(store, &items[0].request);
}

static void one_fails_alone(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    batch_item items[3] = {{.fail = false}, {.fail = true}, {.fail = false}};
    batch(store, items, 3);
    assert_int_equal(items[0].request.status, NQ_OK);
    assert_int_equal(items[1].request.status, NQ_ERR_INPUT);
    assert_int_equal(items[2].request.status, NQ_OK);
    int64_t n;
    assert_ok(nq_store_number(store, &n, 0, &err, "SELECT count(*) FROM jobs", ""), &err);
    assert_int_equal(n, 2);
    assert_false(nq_store_in_transaction(store));
    nq_store_close(store);
}

static void failed_commit_fails_all(void **state)
{
    (void)state;
    nq_store *store = must_open();
    nq_error err = {0};
    batch_item items[3] = {{.fail = false}, {.fail = false}, {.fail = false}};
    fault_vfs_arm(1, 1, SQLITE_FULL);
    batch(store, items, 3);
    fault_vfs_arm(0, 0, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(items[i].request.status, NQ_ERR_IO);
        assert_non_null(strstr(items[i].request.err.text, "disk is full"));
    }
    int64_t n;
    assert_ok(nq_store_number(store, &n, 0, &err, "SELECT count(*) FROM jobs", ""), &err);
    assert_int_equal(n, 0);
    batch(store, items, 3); /* room again: it goes on */
    for (int i = 0; i < 3; i++)
        assert_int_equal(items[i].request.status, NQ_OK);
    nq_store_close(store);
}

/* ---- a script under faults ---- */

typedef struct {
    int64_t added[3]; /* acknowledged jobs */
    bool claimed, finished, cancelled;
} acknowledged;

/* Opens, adds three jobs, runs one to its end, cancels another; notes what was acknowledged. */
static void script(acknowledged *a, nq_error *err)
{
    nq_store *store;
    nq_status status = nq_store_open(path, &store, err);
    if (status != NQ_OK)
        return;
    for (int i = 0; i < 3; i++)
        a->added[i] = add(store, "m", 0, &status, err);
    nq_id_list none = {0}, ids = {0};
    nq_job job = {0};
    int64_t float_job;
    bool found = false, applied = false;
    if (nq_store_begin(store, true, err) == NQ_OK) {
        status = nq_store_claim(store, &none, 5, &job, &float_job, &found, err);
        if (status == NQ_OK)
            a->claimed = nq_store_commit(store, err) == NQ_OK && found;
        nq_store_rollback(store);
    }
    nq_ending done = done_ending();
    if (a->claimed && nq_store_begin(store, true, err) == NQ_OK) {
        status = nq_store_finish(store, job.id, &done, 9, &applied, err);
        if (status == NQ_OK)
            a->finished = nq_store_commit(store, err) == NQ_OK && applied;
        nq_store_rollback(store);
    }
    if (a->added[2] && nq_store_begin(store, true, err) == NQ_OK) {
        nq_selection last = {.job = a->added[2]};
        status = nq_store_change(store, NQ_CHANGE_CANCEL, last, 0, true, 9, &ids, err);
        if (status == NQ_OK)
            a->cancelled = nq_store_commit(store, err) == NQ_OK;
        nq_store_rollback(store);
    }
    free(done.artifacts);
    nq_job_clear(&job);
    nq_id_list_free(&ids);
    nq_store_close(store);
}

/* What was acknowledged is there, whole; nothing is half there; SQLite's own check is content. */
static void check_after(const acknowledged *a)
{
    nq_store *store = must_open();
    nq_error err = {0};
    sqlite3_stmt *q;
    bool row;
    assert_ok(nq_store_prepare(store, &q, &err, "PRAGMA integrity_check", ""), &err);
    assert_ok(nq_store_step(store, q, &row, &err), &err);
    assert_string_equal((const char *)sqlite3_column_text(q, 0), "ok");
    sqlite3_finalize(q);
    int64_t n, m;
    for (int i = 0; i < 3; i++) {
        nq_job job = {0};
        if (a->added[i])
            assert_ok(nq_store_load(store, a->added[i], &job, &err), &err);
        if (i == 2 && a->cancelled)
            assert_int_equal(job.state, NQ_STATE_CANCELLED);
        nq_job_clear(&job);
    }
    assert_ok(
        nq_store_number(store, &n, 0, &err, "SELECT count(*) FROM jobs WHERE state = 'done'", ""),
        &err);
    if (a->finished)
        assert_int_equal(n, 1);
    assert_ok(nq_store_number(store, &m, 0, &err, "SELECT count(*) FROM artifacts", ""), &err);
    assert_int_equal(m, 2 * n); /* done and its artifacts, or neither */
    assert_ok(nq_store_number(store, &n, 0, &err,
                              "SELECT count(*) FROM counts c WHERE jobs <> (SELECT count(*) FROM "
                              "jobs j WHERE j.state = c.state)",
                              ""),
              &err);
    assert_int_equal(n, 0);
    nq_store_close(store);
}

static void fresh(void)
{
    nq_error err = {0};
    assert_ok(nq_dir_remove(folder, &err), &err);
    assert_ok(nq_dir_make(folder, 0700, &err), &err);
}

static void under_io_faults(int forever, int code)
{
    int nth = 1, failures = 0;
    for (;; nth++) {
        acknowledged a = {0};
        nq_error err = {0};
        fresh();
        fault_vfs_arm(nth, forever, code);
        script(&a, &err);
        bool over = fault_vfs.calls < nth;
        failures += !a.finished || !a.cancelled;
        fault_vfs_arm(0, 0, 0);
        check_after(&a);
        if (over) {
            assert_true(a.added[0] && a.added[1] && a.added[2]);
            assert_true(a.claimed && a.finished && a.cancelled);
            break;
        }
    }
    assert_true(nth > 20 && failures > 0);
    print_message("%d calls failed in turn, %d of them were noticed\n", nth - 1, failures);
}

static void disk_full_once(void **state)
{
    (void)state;
    under_io_faults(0, SQLITE_FULL);
}

static void disk_full_forever(void **state)
{
    (void)state;
    under_io_faults(1, SQLITE_FULL);
}

static void io_error_once(void **state)
{
    (void)state;
    under_io_faults(0, SQLITE_IOERR_WRITE);
}

static void io_error_forever(void **state)
{
    (void)state;
    under_io_faults(1, SQLITE_IOERR_WRITE);
}

/* ---- memory ---- */

static struct {
    sqlite3_mem_methods real;
    int countdown, forever, calls;
} memory;

static int memory_fails(void)
{
    memory.calls++;
    if (memory.countdown == 0 || --memory.countdown > 0)
        return 0;
    memory.countdown = memory.forever;
    return 1;
}

static void *failing_malloc(int n)
{
    return memory_fails() ? NULL : memory.real.xMalloc(n);
}

static void *failing_realloc(void *p, int n)
{
    return memory_fails() ? NULL : memory.real.xRealloc(p, n);
}

static void no_memory(void **state)
{
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        for (int nth = 1;; nth += 1 + nth / 40) {
            acknowledged a = {0};
            nq_error err = {0};
            fresh();
            memory.calls = 0;
            memory.forever = forever;
            memory.countdown = nth;
            script(&a, &err);
            bool over = memory.calls < nth;
            memory.countdown = 0;
            check_after(&a);
            if (over)
                break;
        }
    }
}

int main(void)
{
    sqlite3_mem_methods failing;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory.real);
    failing = memory.real;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    sqlite3_initialize();
    fault_vfs_install();
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(columns_survive),
        WITH_FOLDER(commits_are_durable),
        WITH_FOLDER(claims_in_order),
        WITH_FOLDER(finishing),
        WITH_FOLDER(float_labels),
        WITH_FOLDER(changes),
        WITH_FOLDER(newer_and_foreign),
        WITH_FOLDER(one_fails_alone),
        WITH_FOLDER(failed_commit_fails_all),
        WITH_FOLDER(disk_full_once),
        WITH_FOLDER(disk_full_forever),
        WITH_FOLDER(io_error_once),
        WITH_FOLDER(io_error_forever),
        WITH_FOLDER(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
