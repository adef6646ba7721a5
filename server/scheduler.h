/*
 * Which job runs next, and the worker processes: one slot for each job that may run at a time. A
 * slot takes a job from the queue, prepares its folder on the pool, runs the worker, and reconciles
 * folder and row when it ends.
 */
#ifndef NQ_SERVER_SCHEDULER_H
#define NQ_SERVER_SCHEDULER_H

#include "server/daemon.h"
#include "server/progress.h"

nq_status nq_scheduler_new(nq_daemon *daemon, nq_error *err);
/* Only when idle; its handles are closed by nq_scheduler_close() before. */
void nq_scheduler_free(nq_scheduler *scheduler);

/* Something may be ready to run. */
void nq_scheduler_wake(nq_daemon *daemon);
/* Job `id` was cancelled in the queue: its worker, if it has one, is stopped. */
void nq_scheduler_cancel(nq_daemon *daemon, int64_t id);
/* Puts the progress of a running job into its object. */
void nq_scheduler_add_progress(nq_daemon *daemon, json_t *object);

/* Tells all workers to stop, and kills them a few seconds later; `at_once`: kills them now. Their
 * jobs stay running in the queue and go on at the next start. */
void nq_scheduler_stop(nq_daemon *daemon, bool at_once);
bool nq_scheduler_is_idle(const nq_daemon *daemon);
void nq_scheduler_close(nq_daemon *daemon);

#endif
