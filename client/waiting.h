/* Waiting for the end of jobs, through restarts of the daemon. */
#ifndef NQ_CLIENT_WAITING_H
#define NQ_CLIENT_WAITING_H

#include "client/client.h"
#include "client/progress.h"

/*
 * Waits until the job, or every job of the group, has ended, and appends their final objects to the
 * array `ended`. Progress is shown on `progress` (NULL: silently). A daemon that goes away is
 * waited for as long as client->patience_ms; client->lost says that it did not come back.
 */
nq_status nq_wait_target(nq_client *client, nq_target target, nq_progress *progress, json_t *ended,
                         nq_error *err);

/* The exit code of several ended jobs: failed if any failed, else cancelled if any was. */
int nq_wait_exit(const json_t *ended);

/* The end of a verb that waited: with --json prints {"jobs": ended}, or the sentence of a failure;
 * gives `ended` back and returns the exit code. */
int nq_wait_finish(nq_client *client, nq_status status, json_t *ended, const nq_error *err);

/*
 * Reads the events of `watch` on a connection of its own until the daemon says that nothing more
 * will come, or until `seen` returns true. seen(context, NULL) is called once the watch stands,
 * before the first event; then each job's object is given to it.
 */
typedef bool (*nq_watch_seen)(void *context, const json_t *job);
nq_status nq_watch(nq_client *client, const nq_target *target, nq_watch_seen seen, void *context,
                   nq_error *err);

#endif
