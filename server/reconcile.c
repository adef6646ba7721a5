#include "server/reconcile.h"

#include "common/file.h"
#include "common/log.h"
#include "server/result.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nq_status check_artifact(const char *folder, const nq_artifact *artifact, nq_error *err)
{
    char path[NQ_ARTIFACT_NAME + 8];
    int fd;
    uint8_t digest[NQ_SHA256_BYTES];
    uint64_t bytes = 0;
    char text[NQ_SHA256_TEXT];
    struct stat st;
    snprintf(path, sizeof path, "out/%s", artifact->name);
    nq_status status = nq_file_open_beneath(folder, path, O_RDONLY, &fd, err);
    if (status != NQ_OK)
        return status;
    if (fstat(fd, &st) != 0)
        status = nq_fail_errno(err, errno, "cannot read %s", path);
    else if (st.st_size != artifact->bytes)
        status = nq_fail(err, NQ_ERR_INPUT, "%s has %lld bytes, result.json says %lld", path,
                         (long long)st.st_size, (long long)artifact->bytes);
    else
        status = nq_hash_fd(fd, path, digest, &bytes, err);
    close(fd);
    if (status != NQ_OK)
        return status;
    nq_hash_text(digest, text);
    if (bytes != (uint64_t)artifact->bytes || strcmp(text, artifact->sha256) != 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s is not what result.json says (sha256 %.12s...)", path,
                       text);
    return NQ_OK;
}

/* Numbers that the daemon knows itself. */
static nq_status check_summary(const nq_job *job, const nq_job_summary *summary, nq_error *err)
{
    int64_t images = job->partial ? job->limit : job->dataset_images;
    if (summary->images != images)
        return nq_fail(err, NQ_ERR_INPUT, "result.json: %lld images were scored, the job has %lld",
                       (long long)summary->images, (long long)images);
    if (summary->original_model_size != job->checkpoint_bytes)
        return nq_fail(err, NQ_ERR_INPUT,
                       "result.json: original_model_size is %lld, the checkpoint has %lld bytes",
                       (long long)summary->original_model_size, (long long)job->checkpoint_bytes);
    return NQ_OK;
}

/* NQ_ERR_MISSING where the worker left no result.json. */
static nq_status read_result(const char *folder, const nq_job *job, nq_ending *ending,
                             nq_error *err)
{
    int fd;
    uint8_t *text = NULL;
    size_t size;
    *ending = (nq_ending){.state = NQ_STATE_QUEUED};
    nq_status status = nq_file_open_beneath(folder, "result.json", O_RDONLY, &fd, err);
    if (status != NQ_OK)
        return access(folder, F_OK) == 0 ? status
                                         : nq_fail(err, NQ_ERR_MISSING, "there is no %s", folder);
    status = nq_file_read_fd(fd, "result.json", NQ_RESULT_BYTES, &text, &size, err);
    close(fd);
    if (status == NQ_OK)
        status = nq_result_parse((const char *)text, size, job->id, job->fingerprint, ending, err);
    free(text);
    if (status == NQ_OK && ending->state == NQ_STATE_DONE)
        status = check_summary(job, &ending->summary, err);
    for (size_t i = 0; i < ending->artifact_count && status == NQ_OK; i++)
        status = check_artifact(folder, &ending->artifacts[i], err);
    return status;
}

/* The last line of the worker's own log, which often says more than its exit status. */
static void last_words(const char *folder, char *out, size_t room)
{
    char tail[512];
    int fd;
    nq_error ignored;
    *out = 0;
    if (nq_file_open_beneath(folder, "worker.log", O_RDONLY, &fd, &ignored) != NQ_OK)
        return;
    struct stat st;
    off_t from = fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof tail - 1
                     ? st.st_size - ((off_t)sizeof tail - 1)
                     : 0;
    ssize_t n = pread(fd, tail, sizeof tail - 1, from);
    close(fd);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' '))
        n--;
    if (n <= 0)
        return;
    tail[n] = 0;
    char *line = memrchr(tail, '\n', (size_t)n);
    line = line ? line + 1 : tail;
    if (strncmp(line, "-- ", 3) != 0) /* the daemon's own heading of an attempt */
        snprintf(out, room, "; its last words: %s", line);
}

static void describe(const nq_worker_end *end, char *out, size_t room)
{
    switch (end->kind) {
    case NQ_END_DAEMON:
        snprintf(out, room, "the daemon stopped it");
        return;
    case NQ_END_EXIT:
        snprintf(out, room, "the worker ended with exit status %d%s", end->code,
                 end->code == 0 ? " but left no result" : "");
        return;
    case NQ_END_SIGNAL:
        snprintf(out, room, "the worker was killed by signal %d (%s)", end->code,
                 end->code == SIGKILL ? "out of memory?" : strsignal(end->code));
        return;
    case NQ_END_STALLED:
        snprintf(out, room, "the worker reported nothing for %d s and was killed", end->code);
        return;
    case NQ_END_TIME:
        snprintf(out, room, "the job ran longer than limits.job_seconds (%d s)", end->code);
        return;
    case NQ_END_START:
        break;
    }
    snprintf(out, room, "the worker could not be started: %s", end->text);
}

void nq_worker_end_text(const char *folder, const nq_worker_end *end, char *text, size_t room)
{
    char words[600];
    describe(end, text, room);
    last_words(folder, words, sizeof words);
    size_t used = strlen(text);
    snprintf(text + used, room - used, "%s", words);
}

static void say(nq_ending *ending, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(nq_ending *ending, const char *format, ...)
{
    char text[sizeof ending->reason];
    nq_error printable;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    nq_fail(&printable, NQ_ERR_IO, "%s", text);
    memcpy(ending->reason, printable.text, sizeof ending->reason);
}

/* No result: again, or not. */
static void judge_death(const char *folder, const nq_job *job, const nq_worker_end *end,
                        const nq_error *why, int attempts_most, nq_ending *ending,
                        double *wait_seconds)
{
    char death[600], words[sizeof why->text + 8], times[48] = "";
    *ending = (nq_ending){.state = NQ_STATE_QUEUED};
    if (end->kind == NQ_END_DAEMON)
        return;
    if (end->kind == NQ_END_EXIT && end->code == NQ_WORKER_LOCKED) {
        *wait_seconds = 1;
        say(ending, "waits until an earlier worker has left its folder");
        return;
    }
    int attempts = job->attempts + 1;
    ending->attempts = 1;
    describe(end, death, sizeof death);
    last_words(folder, words, sizeof words);
    if (end->kind == NQ_END_EXIT && end->code <= 1 && why->status != NQ_ERR_MISSING) {
        snprintf(death, sizeof death, "the worker's result is not valid");
        snprintf(words, sizeof words, ": %s", why->text);
    }
    if (end->kind == NQ_END_TIME || attempts >= attempts_most) {
        ending->state = NQ_STATE_FAILED;
        if (end->kind != NQ_END_TIME && attempts > 1)
            snprintf(times, sizeof times, ", attempt %d of %d", attempts, attempts_most);
        say(ending, "%s%s%s", death, times, words);
        return;
    }
    *wait_seconds = attempts == 1 ? 1 : 5;
    say(ending, "waits to be tried again: attempt %d of %d: %s%s", attempts, attempts_most, death,
        words);
}

/* Otherwise the next worker would take it for the end of the job. */
static void discard_result(const char *folder)
{
    char *path = nq_path_join(folder, "result.json");
    if (path)
        unlink(path);
    free(path);
}

void nq_reconcile(const char *folder, const nq_job *job, const nq_worker_end *end,
                  int attempts_most, nq_ending *ending, double *wait_seconds)
{
    nq_error why = {0};
    *wait_seconds = 0;
    if (read_result(folder, job, ending, &why) == NQ_OK)
        return;
    if (why.status != NQ_ERR_MISSING)
        nq_log(NQ_LOG_WARN, "result_refused", "job", "%lld", (long long)job->id, "why", "%s",
               why.text, NULL);
    bool locked = end->kind == NQ_END_EXIT && end->code == NQ_WORKER_LOCKED;
    if (!locked && why.status != NQ_ERR_IO && why.status != NQ_ERR_NOMEM)
        discard_result(folder);
    free(ending->artifacts);
    judge_death(folder, job, end, &why, attempts_most, ending, wait_seconds);
}
