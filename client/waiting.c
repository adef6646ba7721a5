#include "client/waiting.h"

#include "client/job.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- events ---- */

static nq_status read_events(nq_connection *connection, nq_watch_seen seen, void *context,
                             nq_error *err)
{
    for (;;) {
        json_t *event = NULL;
        nq_status status = nq_connection_line(connection, &event, err);
        if (status != NQ_OK)
            return status;
        const char *kind = nq_view_text(event, "event");
        const json_t *job = json_object_get(event, "job");
        bool stop = strcmp(kind, "end") == 0;
        if (strcmp(kind, "job") == 0 && json_is_object(job))
            stop = seen(context, job);
        json_decref(event);
        if (stop)
            return NQ_OK;
    }
}

nq_status nq_watch(nq_client *client, const nq_target *target, nq_watch_seen seen, void *context,
                   nq_error *err)
{
    nq_connection *connection = NULL;
    json_t *request = nq_request("watch"), *reply = NULL;
    char *path = nq_socket_path(client->socket_option);
    nq_status status = path ? nq_connection_open(path, &connection, err)
                            : nq_fail_nomem(err, "the socket path", 0);
    client->lost = status == NQ_ERR_IO;
    free(path);
    if (status != NQ_OK) {
        json_decref(request);
        return status;
    }
    if (target)
        nq_target_put(request, *target);
    status = nq_connection_ask(connection, request, &reply, err);
    json_decref(reply);
    if (status == NQ_OK && !seen(context, NULL))
        status = read_events(connection, seen, context, err);
    client->lost = status != NQ_OK && nq_connection_lost(connection);
    nq_connection_close(connection);
    return status;
}

/* ---- until the end ---- */

typedef struct {
    nq_client *client;
    nq_target target;
    nq_progress *progress;
    json_t *jobs; /* their present objects */
    nq_status status;
    bool lost;
    double heard; /* when the daemon last answered */
    nq_error *err;
} waiter;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static nq_status fetch_jobs(waiter *w)
{
    json_decref(w->jobs);
    w->jobs = NULL;
    if (w->target.group) {
        json_t *filter = json_pack("{s:I}", "group", (json_int_t)w->target.id);
        nq_status status = nq_jobs_list(w->client, filter, LLONG_MAX, &w->jobs, NULL, w->err);
        json_decref(filter);
        if (status == NQ_OK && json_array_size(w->jobs) == 0)
            status = nq_fail(w->err, NQ_ERR_MISSING, "there is no group g%lld", w->target.id);
        return status;
    }
    json_t *job = NULL;
    nq_status status = nq_job_fetch(w->client, w->target.id, &job, w->err);
    if (status != NQ_OK)
        return status;
    w->jobs = json_array();
    if (json_array_append_new(w->jobs, job) != 0)
        return nq_fail_nomem(w->err, "a job", 0);
    return NQ_OK;
}

static bool all_ended(const json_t *jobs)
{
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        if (!nq_job_ended(job))
            return false;
    }
    return true;
}

/* Puts an event's job in the place of the one that is known. */
static void learn(const waiter *w, const json_t *job)
{
    size_t i;
    json_t *known;
    json_array_foreach(w->jobs, i, known)
    {
        if (nq_view_int(known, "job", -1) == nq_view_int(job, "job", -2)) {
            json_array_set(w->jobs, i, (json_t *)job);
            return;
        }
    }
}

/* The present state is asked for after the watch stands: what happens in between is in the events.
 */
static bool saw(void *context, const json_t *job)
{
    waiter *w = context;
    w->heard = now();
    if (job) {
        nq_progress_show(w->progress, job);
        learn(w, job);
        return all_ended(w->jobs);
    }
    w->status = fetch_jobs(w);
    w->lost = w->client->lost;
    size_t i;
    json_t *known;
    json_array_foreach(w->jobs, i, known)
    {
        nq_progress_show(w->progress, known);
    }
    return w->status != NQ_OK || all_ended(w->jobs);
}

static nq_status wait_once(waiter *w)
{
    w->status = NQ_OK;
    nq_status status = nq_watch(w->client, &w->target, saw, w, w->err);
    if (status == NQ_OK && w->status != NQ_OK) {
        w->client->lost = w->lost;
        return w->status;
    }
    if (status != NQ_OK)
        return status;
    status = fetch_jobs(w);
    if (status != NQ_OK)
        return status;
    if (!all_ended(w->jobs))
        return nq_fail(w->err, NQ_ERR_INTERNAL, "the daemon ended the watch before the jobs ended");
    size_t i;
    json_t *job;
    json_array_foreach(w->jobs, i, job)
    {
        nq_progress_show(w->progress, job);
    }
    return NQ_OK;
}

nq_status nq_wait_target(nq_client *client, nq_target target, nq_progress *progress, json_t *ended,
                         nq_error *err)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    waiter w = {.client = client, .target = target, .progress = progress, .err = err};
    double told = 0;
    nq_status status = nq_client_connect(client, err);
    if (status != NQ_OK)
        return status;
    w.heard = now();
    while ((status = wait_once(&w)) != NQ_OK && client->lost) {
        if (told < w.heard)
            nq_progress_say(progress, "the daemon went away; waiting for it to come back");
        told = now();
        nanosleep(&pause, NULL);
        /* One that lets itself be reached but never answers is given up, too. */
        if (1000 * (told - w.heard) > client->patience_ms ||
            nq_client_reconnect(client, err) != NQ_OK)
            break;
    }
    if (status == NQ_OK && json_array_extend(ended, w.jobs) != 0)
        status = nq_fail_nomem(err, "the jobs", 0);
    json_decref(w.jobs);
    return status;
}

int nq_wait_exit(const json_t *ended)
{
    int code = NQ_EXIT_DONE;
    size_t i;
    json_t *job;
    json_array_foreach(ended, i, job)
    {
        int this = nq_job_exit(job);
        if (this == NQ_EXIT_FAILED || code == NQ_EXIT_DONE)
            code = this;
    }
    return code;
}

int nq_wait_finish(nq_client *client, nq_status status, json_t *ended, const nq_error *err)
{
    int code = nq_client_finish(client, status, err);
    if (status == NQ_OK) {
        code = nq_wait_exit(ended);
        json_t *all = json_pack("{s:O}", "jobs", ended);
        if (client->json)
            nq_client_print_json(client, all, false);
        json_decref(all);
    }
    json_decref(ended);
    return code;
}
