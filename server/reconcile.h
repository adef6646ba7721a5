/*
 * What a job's folder says about its row: the one place where "has it ended?" is answered, at the
 * daemon's start and at every worker's end.
 */
#ifndef NQ_SERVER_RECONCILE_H
#define NQ_SERVER_RECONCILE_H

#include "server/store.h"

/* How the daemon saw the worker end. */
typedef enum {
    NQ_END_DAEMON,  /* the daemon itself was away or stops: the attempt does not count */
    NQ_END_EXIT,    /* with `code` */
    NQ_END_SIGNAL,  /* killed by signal `code`, not by the daemon */
    NQ_END_STALLED, /* the daemon killed it: nothing reported for `code` seconds */
    NQ_END_TIME,    /* the daemon killed it: limits.job_seconds, `code`, were over */
    NQ_END_START    /* it could not be started at all: `text` says why */
} nq_end_kind;

typedef struct {
    nq_end_kind kind;
    int code;
    char text[512];
} nq_worker_end;

/* One sentence about the end of the worker of `folder`, with the last words of its log. */
void nq_worker_end_text(const char *folder, const nq_worker_end *end, char *text, size_t room);

/* Exit status of a worker that finds its folder locked by another worker. */
#define NQ_WORKER_LOCKED 3

/*
 * Decides what becomes of running job `job`, whose folder is `folder`, after its worker ended as
 * `end` says; `attempts_most` is limits.attempts. A valid result.json whose artifacts have the
 * sizes and hashes it lists decides alone; otherwise the job is queued again, or fails after its
 * last attempt with a sentence that says what its workers died of and their last words. Always
 * fills `ending`; the caller frees ending->artifacts. *wait_seconds: how long to wait before the
 * next attempt. Reads and hashes files: not for the loop's thread.
 */
void nq_reconcile(const char *folder, const nq_job *job, const nq_worker_end *end,
                  int attempts_most, nq_ending *ending, double *wait_seconds);

#endif
