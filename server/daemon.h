/*
 * What the parts of the running daemon share. Everything here belongs to the loop's thread:
 * sockets, child processes, timers. The queue belongs to the store's thread
 * (server/store_thread.h); hashing, listing and copying go to libuv's thread pool.
 */
#ifndef NQ_SERVER_DAEMON_H
#define NQ_SERVER_DAEMON_H

#include "server/config.h"
#include "server/inputs.h"
#include "server/store_thread.h"
#include <uv.h>

typedef struct nq_daemon nq_daemon;
typedef struct nq_connection nq_connection;
typedef struct nq_scheduler nq_scheduler;
typedef struct nq_cache_builder nq_cache_builder;

#define NQ_SIGNALS 3

struct nq_daemon {
    const nq_config *config; /* constant while the daemon runs: read from any thread */
    uv_loop_t *loop;
    nq_store_thread *store;
    nq_input_cache *inputs;
    nq_scheduler *scheduler;
    nq_cache_builder *builder;
    nq_connection *connections; /* doubly linked */
    long connection_count;
    uv_pipe_t listener;
    uv_signal_t signal_handles[NQ_SIGNALS];
    uv_timer_t housekeeping, patience, accept_again;
    bool bound; /* the socket at config->socket is ours */
    bool stopping;
    bool closed;
    int signals;     /* that asked it to stop */
    int outstanding; /* steps under way on the pool and the store's thread */
};

/*
 * Listens, and runs until a signal stops it; workers that run then are told to stop and their jobs
 * go on at the next start. Takes over the store, also on failure. One daemon a process.
 */
nq_status nq_daemon_run(const nq_config *config, nq_store *store, nq_error *err);

/* The socket: made by `listen`, removed by the daemon's end (server/listen.c). */
nq_status nq_daemon_listen(nq_daemon *daemon, nq_error *err);

/* To be called wherever something ended: finishes a shutdown once all is quiet. */
void nq_daemon_settle(nq_daemon *daemon);

/* Posts to the store's thread, counted as outstanding; `done` must call nq_daemon_stepped(). */
void nq_daemon_post(nq_daemon *daemon, nq_store_request *request);
/* uv_queue_work, counted likewise. */
void nq_daemon_queue(nq_daemon *daemon, uv_work_t *work, uv_work_cb run, uv_after_work_cb after);
void nq_daemon_stepped(nq_daemon *daemon);

/* Path of job `id`'s folder: "STATE/jobs/ID". malloc'd; NULL: out of memory. */
char *nq_daemon_job_folder(const nq_config *config, int64_t id);

#endif
