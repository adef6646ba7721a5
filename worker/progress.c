#include "worker/progress.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEAST_SECONDS 0.2 /* between two lines of one stage */

double nq_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool nq_progress_has_daemon(void)
{
    struct stat st;
    return fstat(NQ_PROGRESS_FD, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

void nq_progress_open(nq_progress_report *report)
{
    *report =
        (nq_progress_report){.piped = nq_progress_has_daemon(), .begun = nq_now(), .loss = NAN};
    report->terminal = !report->piped && isatty(STDERR_FILENO);
    if (report->piped) {
        int flags = fcntl(NQ_PROGRESS_FD, F_GETFL);
        fcntl(NQ_PROGRESS_FD, F_SETFL, flags | O_NONBLOCK);
        fcntl(NQ_PROGRESS_FD, F_SETFD, FD_CLOEXEC);
    }
}

static void tell(const nq_progress_report *report, const char *stage, size_t done, size_t total)
{
    char line[160], loss[40] = "";
    int n;
    if (report->piped) {
        if (isfinite(report->loss))
            snprintf(loss, sizeof loss, ",\"loss\":%.6e", report->loss);
        n = snprintf(line, sizeof line, "{\"stage\":\"%s\",\"done\":%zu,\"total\":%zu%s}\n", stage,
                     done, total, loss);
        /* Far below PIPE_BUF: whole or not at all. */
        ssize_t ignored = write(NQ_PROGRESS_FD, line, (size_t)n);
        (void)ignored;
    } else if (report->terminal) {
        if (isfinite(report->loss))
            snprintf(loss, sizeof loss, ", loss %.4g", report->loss);
        fprintf(stderr, "\r%-10s %zu/%zu%s%s", stage, done, total, loss, done == total ? "\n" : "");
    }
}

void nq_progress_loss(nq_progress_report *report, double loss)
{
    report->loss = loss;
}

void nq_progress_stage(nq_progress_report *report, const char *name)
{
    nq_progress_close(report);
    if (report->stages < NQ_STAGES)
        snprintf(report->stage[report->stages++].name, sizeof report->stage[0].name, "%s", name);
    report->last = 0;
    report->loss = NAN;
    nq_progress_tell(report, name, 0, 0, NULL);
}

void nq_progress_close(nq_progress_report *report)
{
    double now = nq_now();
    if (report->stages > 0)
        report->stage[report->stages - 1].seconds = now - report->begun;
    report->begun = now;
}

nq_status nq_progress_tell(void *context, const char *stage, size_t done, size_t total,
                           nq_error *err)
{
    (void)err;
    nq_progress_report *report = context;
    double now = nq_now();
    if (now - report->last < LEAST_SECONDS && done != total)
        return NQ_OK;
    report->last = now;
    tell(report, stage, done, total);
    return NQ_OK;
}
