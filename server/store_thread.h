/*
 * The one thread that owns the queue. Requests that arrive together share a transaction, so that a
 * burst costs one fsync; each is answered on the loop's thread after the commit.
 */
#ifndef NQ_SERVER_STORE_THREAD_H
#define NQ_SERVER_STORE_THREAD_H

#include "server/store.h"
#include <uv.h>

typedef struct nq_store_thread nq_store_thread;
typedef struct nq_store_request nq_store_request;

/*
 * Embedded in whatever asks; it must stay in place until `done` was called. `work` runs on the
 * store's thread, inside a transaction; what it changed is undone when it fails, without touching
 * its neighbours. `done` runs on the loop's thread after the commit: status and err are those of
 * `work`, or of the commit.
 */
struct nq_store_request {
    nq_status (*work)(nq_store *store, nq_store_request *request, nq_error *err);
    void (*done)(nq_store_request *request);
    bool writes;
    void *context;
    nq_status status;
    nq_error err;
    nq_store_request *next;
};

/* Takes over the store. */
nq_status nq_store_thread_start(uv_loop_t *loop, nq_store *store, nq_store_thread **thread,
                                nq_error *err);
/* From the loop's thread. */
void nq_store_thread_post(nq_store_thread *thread, nq_store_request *request);
/*
 * Works off what was posted (their `done` is called from here), closes the store and the handle on
 * the loop; `closed` is called when the memory is free.
 */
void nq_store_thread_stop(nq_store_thread *thread, void (*closed)(void *context), void *context);

/* The two halves of the thread's work, apart from threads: runs a list of requests in one
 * transaction for those that write and one for the others, setting status and err of each. */
void nq_store_batch(nq_store *store, nq_store_request *list);

#endif
