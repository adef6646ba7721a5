/*
 * `watch`: a connection that hears of changes. A watcher remembers which jobs changed, not what
 * happened: when its connection is free it asks the queue for their present state. So a slow reader
 * gets the latest state, and costs one id for each job that changed.
 */
#ifndef NQ_SERVER_WATCH_H
#define NQ_SERVER_WATCH_H

#include "server/connection.h"

/* The verb. Begins with the present state of the job, of the group's jobs, or of those that run. */
void nq_watch_begin(nq_call *call);
/* Frees it, at once or when its question to the queue is answered. NULL is allowed. */
void nq_watch_stop(nq_watch *watch);
/* Job `id` (of `group`, 0 for none) has changed. */
void nq_watch_changed(nq_daemon *daemon, int64_t id, int64_t group);

#endif
