#include "server/daemon.h"

#include "common/file.h"
#include "common/log.h"
#include "common/version.h"
#include "server/cache_builder.h"
#include "server/connection.h"
#include "server/scheduler.h"
#include "server/startup.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS     8000             /* for workers and replies, after the first signal */
#define HOUSEKEEPING_MS (3600ull * 1000) /* how often old jobs are looked for */
#define EXPIRE_AT_ONCE  100
#define MICROS_A_DAY    (86400ll * 1000000)

char *nq_daemon_job_folder(const nq_config *config, int64_t id)
{
    char *path;
    return asprintf(&path, "%s/jobs/%lld", config->state, (long long)id) < 0 ? NULL : path;
}

/* ---- steps on other threads ---- */

void nq_daemon_post(nq_daemon *daemon, nq_store_request *request)
{
    daemon->outstanding++;
    nq_store_thread_post(daemon->store, request);
}

void nq_daemon_queue(nq_daemon *daemon, uv_work_t *work, uv_work_cb run, uv_after_work_cb after)
{
    daemon->outstanding++;
    uv_queue_work(daemon->loop, work, run, after); /* fails only without a function to run */
}

void nq_daemon_stepped(nq_daemon *daemon)
{
    daemon->outstanding--;
    nq_daemon_settle(daemon);
}

/* ---- old jobs ---- */

typedef struct {
    nq_daemon *daemon;
    nq_store_request request;
    uv_work_t work;
    nq_id_list ids;
} expiry;

static void begin_expiry(nq_daemon *daemon);

static nq_status expire(nq_store *store, nq_store_request *request, nq_error *err)
{
    expiry *e = request->context;
    int64_t age = (int64_t)e->daemon->config->keep_days * MICROS_A_DAY;
    return nq_store_expire(store, nq_time_now() - age, EXPIRE_AT_ONCE, &e->ids, err);
}

static void remove_folders(uv_work_t *work)
{
    expiry *e = work->data;
    for (size_t i = 0; i < e->ids.count; i++) {
        nq_error err = {0};
        char *folder = nq_daemon_job_folder(e->daemon->config, e->ids.ids[i]);
        if (folder && nq_dir_remove(folder, &err) != NQ_OK)
            nq_log(NQ_LOG_WARN, "job_folder_stays", "why", "%s", err.text, NULL);
        free(folder);
    }
    nq_shared_images_sweep(e->daemon->config);
}

static void on_removed(uv_work_t *work, int status)
{
    (void)status;
    expiry *e = work->data;
    nq_daemon *d = e->daemon;
    bool more = e->ids.count == EXPIRE_AT_ONCE;
    nq_log(NQ_LOG_INFO, "jobs_forgotten", "count", "%zu", e->ids.count, NULL);
    nq_id_list_free(&e->ids);
    free(e);
    if (more)
        begin_expiry(d);
    nq_daemon_stepped(d);
}

static void on_expired(nq_store_request *request)
{
    expiry *e = request->context;
    nq_daemon *d = e->daemon;
    if (request->status == NQ_OK && e->ids.count > 0) {
        e->work.data = e;
        nq_daemon_queue(d, &e->work, remove_folders, on_removed);
    } else {
        nq_id_list_free(&e->ids);
        free(e);
    }
    nq_daemon_stepped(d);
}

static void begin_expiry(nq_daemon *d)
{
    expiry *e = d->config->keep_days > 0 && !d->stopping ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return; /* short of memory: the next round will do */
    e->daemon = d;
    e->request =
        (nq_store_request){.work = expire, .done = on_expired, .writes = true, .context = e};
    nq_daemon_post(d, &e->request);
}

static void on_housekeeping(uv_timer_t *timer)
{
    begin_expiry(timer->data);
}

/* ---- the end ---- */

static void on_store_closed(void *context)
{
    (void)context;
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(nq_daemon *d)
{
    d->stopping = d->closed = true;
    if (d->scheduler)
        nq_scheduler_close(d);
    if (d->builder)
        nq_cache_builder_close(d->builder);
    close_handle(&d->listener);
    for (int i = 0; i < NQ_SIGNALS; i++)
        close_handle(&d->signal_handles[i]);
    close_handle(&d->housekeeping);
    close_handle(&d->patience);
    close_handle(&d->accept_again);
    nq_store_thread_stop(d->store, on_store_closed, NULL);
}

void nq_daemon_settle(nq_daemon *d)
{
    if (!d->stopping || d->closed || d->outstanding > 0 || d->connections ||
        !nq_scheduler_is_idle(d) || !nq_cache_builder_is_idle(d->builder))
        return;
    close_all(d);
}

static void on_patience_over(uv_timer_t *timer)
{
    nq_daemon *d = timer->data;
    nq_scheduler_stop(d, true);
    nq_cache_builder_stop(d->builder, true);
    for (nq_connection *c = d->connections, *next; c; c = next) {
        next = c->next;
        nq_connection_close(c);
    }
    nq_daemon_settle(d);
}

static void stop(nq_daemon *d)
{
    d->stopping = true;
    uv_timer_stop(&d->housekeeping);
    uv_timer_stop(&d->accept_again);
    close_handle(&d->listener);
    if (d->bound)
        unlink(d->config->socket);
    nq_connection_close_idle(d);
    nq_scheduler_stop(d, false);
    nq_cache_builder_stop(d->builder, false);
    uv_timer_start(&d->patience, on_patience_over, PATIENCE_MS, 0);
    nq_daemon_settle(d);
}

static void on_signal(uv_signal_t *handle, int number)
{
    nq_daemon *d = handle->data;
    d->signals++;
    nq_log(NQ_LOG_INFO, d->signals == 1 ? "daemon_stop" : "daemon_stop_now", "signal", "%d", number,
           NULL);
    if (d->signals == 1)
        stop(d);
    else
        on_patience_over(&d->patience);
}

/* ---- the beginning ---- */

static void init_handles(nq_daemon *d)
{
    uv_pipe_init(d->loop, &d->listener, 0);
    uv_timer_init(d->loop, &d->housekeeping);
    uv_timer_init(d->loop, &d->patience);
    uv_timer_init(d->loop, &d->accept_again);
    d->listener.data = d->housekeeping.data = d->patience.data = d->accept_again.data = d;
    for (int i = 0; i < NQ_SIGNALS; i++) {
        uv_signal_init(d->loop, &d->signal_handles[i]);
        d->signal_handles[i].data = d;
    }
}

static nq_status watch_signals(nq_daemon *d, nq_error *err)
{
    static const int numbers[NQ_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction old;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < NQ_SIGNALS; i++) {
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue; /* nohup */
        int code = uv_signal_start(&d->signal_handles[i], on_signal, numbers[i]);
        if (code != 0)
            return nq_fail(err, NQ_ERR_IO, "cannot watch signals: %s", uv_strerror(code));
    }
    return NQ_OK;
}

nq_status nq_daemon_run(const nq_config *config, nq_store *store, nq_error *err)
{
    uv_loop_t loop;
    nq_daemon d = {.config = config, .loop = &loop};
    int code = uv_loop_init(&loop);
    if (code != 0) {
        nq_store_close(store);
        return nq_fail(err, NQ_ERR_IO, "cannot start: %s", uv_strerror(code));
    }
    nq_status status = nq_input_cache_new(&d.inputs, err);
    if (status == NQ_OK)
        status = nq_store_thread_start(&loop, store, &d.store, err);
    if (status != NQ_OK) {
        nq_store_close(store);
        goto cleanup;
    }
    init_handles(&d);
    status = watch_signals(&d, err);
    if (status == NQ_OK)
        status = nq_scheduler_new(&d, err);
    if (status == NQ_OK)
        status = nq_cache_builder_new(&d, &d.builder, err);
    if (status == NQ_OK)
        status = nq_daemon_listen(&d, err);
    if (status == NQ_OK) {
        nq_log(NQ_LOG_INFO, "daemon_start", "version", "%s", NQ_VERSION, "pid", "%d", (int)getpid(),
               "socket", "%s", config->socket, "state", "%s", config->state, "jobs", "%d",
               config->jobs, "threads", "%d", config->threads, NULL);
        uv_timer_start(&d.housekeeping, on_housekeeping, 0, HOUSEKEEPING_MS);
        nq_scheduler_wake(&d);
    } else {
        close_all(&d);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
cleanup:
    nq_scheduler_free(d.scheduler);
    nq_cache_builder_free(d.builder);
    nq_input_cache_free(d.inputs);
    uv_loop_close(&loop);
    nq_log(NQ_LOG_INFO, "daemon_end", NULL);
    return status;
}
