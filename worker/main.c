/*
 * netq-worker DIR: runs the one job that DIR/job.json describes (docs/job-directory.md).
 *
 * Exit status: 0 the job is done, 1 the job failed (result.json says why), 2 it could not be run
 * now (no memory, no disk, ...: trying again may help), 3 another worker holds DIR, 4 the daemon is
 * gone.
 */
#include "common/file.h"
#include "common/log.h"
#include "common/version.h"
#include "worker/blas_kernels.h"
#include "worker/fill_cache.h"
#include "worker/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_JOB_FAILED = 1, EXIT_TRY_AGAIN = 2, EXIT_LOCKED = 3, EXIT_ORPHAN = 4 };

/* Held until the process ends, whatever way it ends. */
static nq_status lock_folder(const char *dir, bool *held, nq_error *err)
{
    *held = false;
    char *path = nq_path_join(dir, "lock");
    if (!path)
        return nq_fail_nomem(err, "a path", strlen(dir));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    nq_status status = fd < 0 ? nq_fail_errno(err, errno, "cannot open %s", path) : NQ_OK;
    free(path);
    if (status == NQ_OK && flock(fd, LOCK_EX | LOCK_NB) != 0)
        *held = true;
    return status;
}

/* Under a daemon the worker dies with it; set before the parent is checked, so that no moment is
 * missed. */
static bool daemon_is_gone(const nq_job_file *job)
{
    if (!nq_progress_has_daemon() || job->daemon_pid == 0)
        return false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() != (pid_t)job->daemon_pid;
}

/* A stranger's files are parsed from here on: no new privileges, no core dumps, first to go when
 * memory ends. */
static nq_status confine(const nq_job_file *job, nq_error *err)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "500", 3);
        (void)ignored;
        close(fd);
    }
    struct rlimit memory = {(rlim_t)job->memory_mb << 20, (rlim_t)job->memory_mb << 20};
    if (job->memory_mb > 0 && setrlimit(RLIMIT_DATA, &memory) != 0)
        return nq_fail_errno(err, errno, "cannot limit memory to %d MB", job->memory_mb);
    return NQ_OK;
}

static nq_status open_log(const char *dir, nq_error *err)
{
    char *state = nq_path_join(dir, "state"), *path = nq_path_join(dir, "state/log.txt");
    nq_status status =
        state && path ? nq_dir_make(state, 0755, err) : nq_fail_nomem(err, "a path", strlen(dir));
    if (status == NQ_OK) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            status = nq_fail_errno(err, errno, "cannot open %s", path);
        nq_log_copy(fd);
    }
    free(state);
    free(path);
    return status;
}

static bool already_done(const char *dir)
{
    char *path = nq_path_join(dir, "result.json");
    bool there = path && access(path, F_OK) == 0;
    free(path);
    return there;
}

static int say(const nq_error *err, int code)
{
    fprintf(stderr, "netq-worker: %s\n", err->text);
    return code;
}

static int run(const char *dir)
{
    nq_error err = {0};
    nq_job_file job;
    nq_progress_report report;
    bool held;
    if (lock_folder(dir, &held, &err) != NQ_OK)
        return say(&err, EXIT_TRY_AGAIN);
    if (held) {
        fprintf(stderr, "netq-worker: another worker is at work in %s\n", dir);
        return EXIT_LOCKED;
    }
    if (already_done(dir)) {
        fprintf(stderr, "netq-worker: %s/result.json is there: this job has ended\n", dir);
        return EXIT_DONE;
    }
    nq_status status = nq_job_file_read(dir, &job, &err);
    if (status != NQ_OK) {
        nq_job_file_free(&job);
        return say(&err, EXIT_TRY_AGAIN);
    }
    if (daemon_is_gone(&job)) {
        fprintf(stderr, "netq-worker: the daemon that started this worker (pid %ld) is gone\n",
                job.daemon_pid);
        nq_job_file_free(&job);
        return EXIT_ORPHAN;
    }
    status = confine(&job, &err);
    if (status == NQ_OK)
        status = open_log(dir, &err);
    nq_progress_open(&report);
    if (status == NQ_OK)
        status = job.fill_cache ? nq_cache_fill(&job, &report, &err)
                                : nq_job_run(dir, &job, &report, &err);
    nq_job_file_free(&job);
    if (status == NQ_OK)
        return EXIT_DONE;
    return say(&err, nq_job_failure_is_final(status) ? EXIT_JOB_FAILED : EXIT_TRY_AGAIN);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("netq-worker " NQ_VERSION);
        return 0;
    }
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (help || argc != 2 || argv[1][0] == '-') {
        fprintf(help ? stdout : stderr, "usage: netq-worker DIR\n"
                                        "Runs the job that DIR/job.json describes; results go to "
                                        "DIR/out and DIR/result.json.\n");
        return help ? 0 : EXIT_TRY_AGAIN;
    }
    nq_blas_choose_kernels(argv);
    signal(SIGPIPE, SIG_IGN);
    return run(argv[1]);
}
