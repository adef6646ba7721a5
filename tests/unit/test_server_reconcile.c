/* server/reconcile: what a job's folder and its worker's end make of its row. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "server/reconcile.h"
#include <signal.h>
#include <unistd.h>

#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char *folder;
static nq_job job;

static int set_up(void **state)
{
    (void)state;
    nq_error err = {0};
    folder = nq_test_folder();
    char *out = nq_path_join(folder, "out");
    job = (nq_job){
        .id = 12, .state = NQ_STATE_RUNNING, .checkpoint_bytes = 100, .dataset_images = 10};
    strcpy(job.fingerprint, PRINT);
    nq_status status = nq_dir_make(out, 0700, &err);
    free(out);
    return status != NQ_OK;
}

static int tear_down(void **state)
{
    (void)state;
    nq_error err = {0};
    int bad = nq_dir_remove(folder, &err) != NQ_OK;
    free(folder);
    return bad;
}

static void put(const char *name, const char *text)
{
    nq_error err = {0};
    char *path = nq_path_join(folder, name);
    assert_ok(nq_file_write_atomic(path, text, strlen(text), &err), &err);
    free(path);
}

static bool has(const char *name)
{
    char *path = nq_path_join(folder, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* A good result of a job with one artifact "hello\n"; `images` of the summary can be wrong. */
static void put_result(int images)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"format\":1,\"job\":12,\"fingerprint\":\"" PRINT
             "\",\"state\":\"done\",\"artifacts\":["
             "{\"name\":\"output.txt\",\"bytes\":6,\"sha256\":"
             "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"}],"
             "\"summary\":{\"images\":%d,\"top1_right\":1,\"top5_right\":2,\"unreadable\":0,"
             "\"original_model_size\":100,\"new_model_size\":25,\"agreement_same\":null,"
             "\"agreement_images\":0,\"seconds\":1}}",
             images);
    put("result.json", text);
}

static nq_ending judge(nq_end_kind kind, int code, int attempts_before, double *wait_seconds)
{
    nq_worker_end end = {.kind = kind, .code = code};
    nq_ending ending;
    job.attempts = attempts_before;
    nq_reconcile(folder, &job, &end, 3, &ending, wait_seconds);
    return ending;
}

static void assert_words(const nq_ending *e, const char *words)
{
    if (!strstr(e->reason, words))
        fail_msg("reason: %s (wanted: %s)", e->reason, words);
}

/* A valid result decides alone, however the worker ended. */
static void result_decides(void **state)
{
    (void)state;
    static const struct {
        nq_end_kind kind;
        int code;
    } ends[] = {{NQ_END_EXIT, 0},   {NQ_END_EXIT, 3},      {NQ_END_SIGNAL, SIGKILL},
                {NQ_END_DAEMON, 0}, {NQ_END_STALLED, 900}, {NQ_END_TIME, 5}};
    double wait_seconds;
    put("out/output.txt", "hello\n");
    put_result(10);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        nq_ending e = judge(ends[i].kind, ends[i].code, 2, &wait_seconds);
        assert_int_equal(e.state, NQ_STATE_DONE);
        assert_int_equal(e.attempts, 1);
        assert_int_equal(e.artifact_count, 1);
        assert_true(has("result.json"));
        free(e.artifacts);
    }
    put("result.json", "{\"format\":1,\"job\":12,\"fingerprint\":\"" PRINT
                       "\",\"state\":\"failed\",\"reason\":\"no images\"}");
    nq_ending e = judge(NQ_END_EXIT, 1, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_FAILED);
    assert_string_equal(e.reason, "no images");
}

static void deaths(void **state)
{
    (void)state;
    double wait_seconds;
    nq_ending e = judge(NQ_END_SIGNAL, SIGKILL, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_int_equal(e.attempts, 1);
    assert_true(wait_seconds == 1);
    assert_words(&e, "attempt 1 of 3: the worker was killed by signal 9 (out of memory?)");
    e = judge(NQ_END_SIGNAL, SIGSEGV, 1, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_true(wait_seconds == 5);
    put("worker.log", "-- attempt\nmuch\nterrible \x1b[31m\xff end\n\n");
    e = judge(NQ_END_SIGNAL, SIGSEGV, 2, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_FAILED);
    assert_words(&e, "attempt 3 of 3; its last words: terrible ?[31m? end");
    put("worker.log", "-- attempt 1 --\n");
    e = judge(NQ_END_EXIT, 2, 2, &wait_seconds);
    assert_string_equal(e.reason, "the worker ended with exit status 2, attempt 3 of 3");
    e = judge(NQ_END_EXIT, 0, 2, &wait_seconds);
    assert_words(&e, "exit status 0 but left no result");
    e = judge(NQ_END_STALLED, 900, 0, &wait_seconds);
    assert_words(&e, "reported nothing for 900 s");
    e = judge(NQ_END_TIME, 60, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_FAILED);
    assert_words(&e, "limits.job_seconds (60 s)");
}

static void uncounted(void **state)
{
    (void)state;
    double wait_seconds;
    nq_ending e = judge(NQ_END_DAEMON, 0, 2, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_int_equal(e.attempts, 0);
    assert_string_equal(e.reason, "");
    e = judge(NQ_END_EXIT, NQ_WORKER_LOCKED, 2, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_int_equal(e.attempts, 0);
    assert_true(wait_seconds > 0);
}

/* Results that do not hold: the attempt counts, and the file goes, so that the next worker does not
 * take it for the end. */
static void false_results(void **state)
{
    (void)state;
    double wait_seconds;
    nq_ending e;
    put_result(10); /* no artifact */
    e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_false(has("result.json"));
    put("out/output.txt", "hello!");
    put_result(10); /* another hash */
    e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_words(&e,
                 "the worker's result is not valid: out/output.txt is not what result.json says");
    assert_false(has("result.json"));
    put("out/output.txt", "hello, world\n");
    put_result(10); /* another length */
    e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_words(&e, "has 13 bytes, result.json says 6");
    put("out/output.txt", "hello\n");
    put_result(9);
    e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_words(&e, "9 images were scored, the job has 10");
    job.checkpoint_bytes = 99;
    put_result(10);
    e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_words(&e, "original_model_size is 100, the checkpoint has 99 bytes");
    put("result.json", "{");
    e = judge(NQ_END_EXIT, 0, 2, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_FAILED);
    assert_words(&e, "result.json: is not a JSON object");
}

/* A locked folder belongs to another worker: its result is not touched. */
static void locked_folder(void **state)
{
    (void)state;
    double wait_seconds;
    put("result.json", "{");
    nq_ending e = judge(NQ_END_EXIT, NQ_WORKER_LOCKED, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_true(has("result.json"));
}

static void links_are_no_artifacts(void **state)
{
    (void)state;
    double wait_seconds;
    put("hello", "hello\n");
    char *link = nq_path_join(folder, "out/output.txt");
    assert_int_equal(symlink("../hello", link), 0);
    free(link);
    put_result(10);
    nq_ending e = judge(NQ_END_EXIT, 0, 0, &wait_seconds);
    assert_int_equal(e.state, NQ_STATE_QUEUED);
    assert_words(&e, "symbolic link");
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(result_decides), WITH_FOLDER(deaths),
        WITH_FOLDER(uncounted),      WITH_FOLDER(false_results),
        WITH_FOLDER(locked_folder),  WITH_FOLDER(links_are_no_artifacts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
