/* A pool of pinned compute threads that share one counter. */
#ifndef NQ_COMMON_POOL_H
#define NQ_COMMON_POOL_H

#include "common/error.h"
#include <stddef.h>

typedef struct nq_pool nq_pool;

/*
 * One call works on one item. `thread` is 0..threads-1 and names the caller's own room (scratch
 * memory, decoder). Return other than NQ_OK to stop the run: items not yet begun are skipped.
 */
typedef nq_status (*nq_pool_work)(void *context, size_t item, int thread, nq_error *err);

/* Starts `threads` >= 1 threads; each is pinned to one of the CPUs this process may use when there
 * are at least `threads` of them. The calling thread does not compute. */
nq_status nq_pool_create(int threads, nq_pool **pool, nq_error *err);
void nq_pool_free(nq_pool *pool);
int nq_pool_threads(const nq_pool *pool);

/*
 * Runs work(context, i, thread) for i in 0..items-1, handed out by one atomic counter, and waits.
 * On failures the error of the lowest failed item is returned, whatever the number of threads.
 * One run at a time.
 */
nq_status nq_pool_run(nq_pool *pool, size_t items, nq_pool_work work, void *context, nq_error *err);

#endif
