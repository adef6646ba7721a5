#include "common/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    struct nq_pool *pool;
    int number;
    pthread_t id;
} pool_thread;

struct nq_pool {
    int threads;
    pool_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned long run; /* number of the current run; a thread works when it changes */
    int busy;
    bool stop;
    /* of the current run */
    nq_pool_work work;
    void *context;
    size_t items;
    atomic_size_t next;
    atomic_bool failed;
    size_t failed_item;
    nq_error failure;
};

static void note_failure(nq_pool *pool, size_t item, const nq_error *err)
{
    pthread_mutex_lock(&pool->lock);
    if (!atomic_load(&pool->failed) || item < pool->failed_item) {
        pool->failed_item = item;
        pool->failure = *err;
    }
    atomic_store(&pool->failed, true);
    pthread_mutex_unlock(&pool->lock);
}

/* Items are handed out in order, so every item below a failed one has been begun, and ends, too. */
static void work_off(nq_pool *pool, int number)
{
    while (!atomic_load(&pool->failed)) {
        size_t item = atomic_fetch_add(&pool->next, 1);
        if (item >= pool->items)
            return;
        nq_error err = {0};
        nq_status status = pool->work(pool->context, item, number, &err);
        if (status != NQ_OK) {
            err.status = status;
            note_failure(pool, item, &err);
        }
    }
}

static void *thread_main(void *argument)
{
    pool_thread *self = argument;
    nq_pool *pool = self->pool;
    unsigned long seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->run == seen && !pool->stop)
            pthread_cond_wait(&pool->begin, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->run;
        pthread_mutex_unlock(&pool->lock);
        work_off(pool, self->number);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->end);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The CPU for thread `number` among those the process may use; false when they are too few to pin.
 */
static bool pick_cpu(int number, int threads, cpu_set_t *one)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < threads)
        return false;
    CPU_ZERO(one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && number-- == 0) {
            CPU_SET(cpu, one);
            return true;
        }
    return false;
}

nq_status nq_pool_create(int threads, nq_pool **out, nq_error *err)
{
    *out = NULL;
    nq_pool *pool = calloc(1, sizeof *pool);
    if (!pool || !(pool->thread = calloc((size_t)threads, sizeof *pool->thread))) {
        free(pool);
        return nq_fail_nomem(err, "compute threads", sizeof *pool);
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
    for (int i = 0; i < threads; i++) {
        pool->thread[i] = (pool_thread){.pool = pool, .number = i};
        int code = pthread_create(&pool->thread[i].id, NULL, thread_main, &pool->thread[i]);
        if (code) {
            nq_pool_free(pool);
            return nq_fail_errno(err, code, "cannot start compute thread %d of %d", i + 1, threads);
        }
        pool->threads = i + 1;
        cpu_set_t one;
        if (pick_cpu(i, threads, &one))
            pthread_setaffinity_np(pool->thread[i].id, sizeof one, &one);
    }
    *out = pool;
    return NQ_OK;
}

void nq_pool_free(nq_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads; i++)
        pthread_join(pool->thread[i].id, NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    free(pool->thread);
    free(pool);
}

int nq_pool_threads(const nq_pool *pool)
{
    return pool->threads;
}

nq_status nq_pool_run(nq_pool *pool, size_t items, nq_pool_work work, void *context, nq_error *err)
{
    pthread_mutex_lock(&pool->lock);
    pool->work = work;
    pool->context = context;
    pool->items = items;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->failed, false);
    pool->busy = pool->threads;
    pool->run++;
    pthread_cond_broadcast(&pool->begin);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->end, &pool->lock);
    nq_status status = atomic_load(&pool->failed) ? pool->failure.status : NQ_OK;
    if (status != NQ_OK && err)
        *err = pool->failure;
    pthread_mutex_unlock(&pool->lock);
    return status;
}
