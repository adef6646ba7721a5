/* One job that runs: from the row to the worker's end. What the scheduler's files share. */
#ifndef NQ_SERVER_SLOT_H
#define NQ_SERVER_SLOT_H

#include "server/daemon.h"
#include "server/progress.h"
#include "server/reconcile.h"

typedef enum {
    NQ_SLOT_FREE,
    NQ_SLOT_CLAIMING,  /* asks the queue for a job */
    NQ_SLOT_PREPARING, /* writes job.json, on the pool */
    NQ_SLOT_RUNNING,   /* the worker lives */
    NQ_SLOT_ENDING     /* reconciles, on the pool; then tells the queue */
} nq_slot_state;

typedef enum {
    NQ_KILL_NONE,
    NQ_KILL_CANCELLED,
    NQ_KILL_STALLED,
    NQ_KILL_TIME,
    NQ_KILL_SHUTDOWN
} nq_kill_reason;

typedef struct nq_slot nq_slot;
struct nq_slot {
    nq_daemon *daemon;
    void (*ended)(nq_slot *slot); /* the worker has ended as slot->end says */
    nq_slot_state state;
    nq_job job;        /* its row as it was claimed; its id is 0 where the worker has no job */
    int64_t float_job; /* whose labels it is compared with; 0: none */
    bool found;
    char *folder;
    uv_work_t work;
    nq_store_request request;

    /* Preparing. */
    int log_fd; /* worker.log; -1: none */
    nq_status prepared;
    nq_error err;

    /* Running. */
    uv_process_t process;
    uv_pipe_t pipe;   /* descriptor 3 of the worker */
    uv_timer_t timer; /* the next deadline: stall, time limit, SIGKILL, a retry */
    uv_timer_t pause; /* between two reads of the pipe */
    char input[4096];
    nq_progress_state progress;
    uint64_t begun, heard; /* loop time in ms: start, latest valid message */
    nq_kill_reason kill;
    uint64_t kill_at; /* when SIGKILL follows; 0: never */

    /* Ending. */
    nq_worker_end end;
    nq_ending ending;
    double wait_seconds;
    bool applied;
    unsigned store_failures;
};

/* ---- the worker process (server/worker_process.c) ---- */

/* Starts the worker of a prepared slot; slot->ended is called when it ends. On failure slot->end
 * says why. */
bool nq_slot_spawn(nq_slot *slot);
/* SIGTERM now, SIGKILL a few seconds later. */
void nq_slot_kill(nq_slot *slot, nq_kill_reason reason);
void nq_slot_kill_at_once(nq_slot *slot);
/* ---- the job's folder (server/job_folder.c), on the pool ---- */

/* Makes the folder, job.json and worker.log of slot->job; sets log_fd. */
nq_status nq_slot_prepare(nq_slot *slot, nq_error *err);
/* The same for the task of filling the crop cache of a dataset. The folder is made anew. */
nq_status nq_slot_prepare_cache(nq_slot *slot, const nq_config_dataset *dataset, nq_error *err);

#endif
