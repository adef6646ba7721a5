/*
 * The queue on disk: SQLite, WAL, synchronous=FULL. Nothing here knows threads or sockets: one
 * thread at a time uses a store (server/store_thread.h). Everything that changes rows happens
 * between nq_store_begin() and nq_store_commit(); what is committed survives a power cut.
 */
#ifndef NQ_SERVER_STORE_H
#define NQ_SERVER_STORE_H

#include "server/job.h"

typedef struct nq_store nq_store;

/* A growing list of job ids. Zero-initialise; free(ids). */
typedef struct {
    int64_t *ids;
    size_t count, room;
} nq_id_list;
nq_status nq_id_list_add(nq_id_list *list, int64_t id, nq_error *err);
bool nq_id_list_has(const nq_id_list *list, int64_t id);
void nq_id_list_remove(nq_id_list *list, int64_t id);
void nq_id_list_free(nq_id_list *list);

/*
 * Opens or creates the queue in file `path` and brings an older one up to date, migration by
 * migration (schema/). A queue that a newer netqd wrote, another program's database and a damaged
 * file are refused with a sentence.
 */
nq_status nq_store_open(const char *path, nq_store **store, nq_error *err);
/* Also merges the WAL into the file. NULL is allowed. */
void nq_store_close(nq_store *store);

nq_status nq_store_begin(nq_store *store, bool writes, nq_error *err);
nq_status nq_store_commit(nq_store *store, nq_error *err);
void nq_store_rollback(nq_store *store);
/* A part of the transaction that may fail alone: mark, then keep or undo. */
nq_status nq_store_mark(nq_store *store, nq_error *err);
nq_status nq_store_keep(nq_store *store, nq_error *err);
void nq_store_undo(nq_store *store);
/* False where a failure (disk full) made SQLite roll everything back by itself. */
bool nq_store_in_transaction(const nq_store *store);

/*
 * Adds `count` jobs in their present state (queued or held), as one group when `as_group`. Sets
 * their ids and group. A token that this uid used before adds nothing: *duplicate, and ids lists
 * the jobs of that time. NQ_ERR_STATE where more than `most_waiting` jobs would be queued or held.
 */
nq_status nq_store_submit(nq_store *store, nq_job *jobs, size_t count, bool as_group,
                          int64_t most_waiting, nq_id_list *ids, int64_t *group, bool *duplicate,
                          nq_error *err);

/* NQ_ERR_MISSING "there is no job 12". nq_job_clear() afterwards in either case. */
nq_status nq_store_load(nq_store *store, int64_t id, nq_job *job, nq_error *err);
/* *list is malloc'd, in order of name. */
nq_status nq_store_artifacts(nq_store *store, int64_t id, nq_artifact **list, size_t *count,
                             nq_error *err);
nq_status nq_store_count(nq_store *store, nq_job_state state, int64_t *jobs, nq_error *err);
/* {"queued":n, ...} over the whole queue. */
nq_status nq_store_counts(nq_store *store, json_t **counts, nq_error *err);
/* The job object of the protocol, with progress null. */
nq_status nq_store_object(nq_store *store, int64_t id, bool with_spec, json_t **object,
                          nq_error *err);

typedef struct {
    unsigned states;                      /* bit 1 << nq_job_state; 0: any */
    const char *model, *preset, *dataset; /* NULL: any */
    int64_t group;                        /* 0: any */
    int64_t uid;                          /* -1: any */
    int64_t since;                        /* submitted at or after, microseconds */
    int64_t after;                        /* only ids above */
    int64_t most;
} nq_store_filter;
/* *array: job objects without spec, oldest first; *more: there are others. */
nq_status nq_store_list(nq_store *store, const nq_store_filter *filter, json_t **array, bool *more,
                        nq_error *err);

/* Exactly one of the two is not 0. */
typedef struct {
    int64_t job, group;
} nq_selection;
/* The ids; NQ_ERR_MISSING where there is no such job or group. */
nq_status nq_store_select(nq_store *store, nq_selection selection, nq_id_list *ids, nq_error *err);

/* How many of them have not ended. */
nq_status nq_store_unended(nq_store *store, nq_selection selection, int64_t *jobs, nq_error *err);

typedef enum { NQ_CHANGE_CANCEL, NQ_CHANGE_HOLD, NQ_CHANGE_RELEASE } nq_change;
/*
 * Cancels, holds or releases what can be. `all`: the caller may change other people's jobs;
 * otherwise NQ_ERR_DENIED. A named job in a state that does not allow it, or a group without any
 * that does, is NQ_ERR_STATE. *ids: those that changed.
 */
nq_status nq_store_change(nq_store *store, nq_change change, nq_selection selection, uint32_t uid,
                          bool all, int64_t now, nq_id_list *ids, nq_error *err);

/*
 * Takes the oldest queued job of the highest priority that is not in `except`, and marks it
 * running. *found false: there is none. *float_job: the float job whose labels it can be compared
 * with (same checkpoint and dataset, as many images), 0 where there is none.
 */
nq_status nq_store_claim(nq_store *store, const nq_id_list *except, int64_t now, nq_job *job,
                         int64_t *float_job, bool *found, nq_error *err);

/* How a run of a job ended. */
typedef struct {
    nq_job_state state;     /* done, failed, or queued: to be tried again */
    int attempts;           /* to be added */
    char reason[768];       /* "" for done */
    nq_job_summary summary; /* done only, like the artifacts */
    nq_artifact *artifacts; /* malloc'd by whoever fills it */
    size_t artifact_count;
} nq_ending;
/* Applies it to a running job; *applied false (and no change) where the job is not running any
 * more: it was cancelled meanwhile. */
nq_status nq_store_finish(nq_store *store, int64_t id, const nq_ending *ending, int64_t now,
                          bool *applied, nq_error *err);

nq_status nq_store_running(nq_store *store, nq_id_list *ids, nq_error *err);
nq_status nq_store_has(nq_store *store, int64_t id, bool *has, nq_error *err);
/* Forgets jobs that ended before `before`, at most `most`: *ids, whose folders may be removed. */
nq_status nq_store_expire(nq_store *store, int64_t before, int64_t most, nq_id_list *ids,
                          nq_error *err);

/* Calls each(context, job) for the done jobs that may rank (docs/protocol.md: Ranking), by dataset,
 * then model, then id. dataset and model may be NULL. Only what ranking needs is filled. */
typedef nq_status (*nq_store_each)(void *context, const nq_job *job, nq_error *err);
nq_status nq_store_rankable(nq_store *store, const char *dataset, const char *model,
                            nq_store_each each, void *context, nq_error *err);
/* Jobs of a group that are not done or may not rank. */
nq_status nq_store_group_unranked(nq_store *store, int64_t group, int64_t *jobs, nq_error *err);

/* The newest done float job over the whole dataset of each model. */
nq_status nq_store_float_jobs(nq_store *store, const char *dataset_fingerprint, nq_store_each each,
                              void *context, nq_error *err);
/* What the newest done job of this model and kind had to do, and the seconds that it took; zeros
 * where there is none. */
typedef struct {
    int64_t images, samples; /* scored; calibrated with, 0: none or as many as a file has */
    double seconds;
} nq_past_run;
nq_status nq_store_past_run(nq_store *store, const char *model, nq_job_kind kind, nq_past_run *run,
                            nq_error *err);

#endif
