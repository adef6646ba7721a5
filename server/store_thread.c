#include "server/store_thread.h"

#include <stdlib.h>

struct nq_store_thread {
    nq_store *store;
    uv_thread_t thread;
    uv_async_t finished_signal;
    uv_mutex_t mutex;
    uv_cond_t wake;
    nq_store_request *waiting, **waiting_end;   /* under mutex */
    nq_store_request *finished, **finished_end; /* under mutex */
    bool stopping;                              /* under mutex */
    void (*closed)(void *context);
    void *closed_context;
};

static void run_one(nq_store *store, nq_store_request *r)
{
    r->status = nq_store_mark(store, &r->err);
    if (r->status != NQ_OK)
        return;
    r->status = r->work(store, r, &r->err);
    if (r->status == NQ_OK)
        r->status = nq_store_keep(store, &r->err);
    if (r->status != NQ_OK)
        nq_store_undo(store);
}

/* Those of the list that write, or those that don't, in one transaction: all that went well is
 * durable, or nobody is told so. */
static void run_transaction(nq_store *store, nq_store_request *list, bool writes)
{
    nq_error err = {0};
    nq_store_request *r = list;
    while (r && r->writes != writes)
        r = r->next;
    if (!r)
        return;
    nq_status status = nq_store_begin(store, writes, &err);
    for (; r && status == NQ_OK; r = r->next) {
        if (r->writes != writes)
            continue;
        run_one(store, r);
        if (r->status != NQ_OK && !nq_store_in_transaction(store)) {
            status = r->status;
            err = r->err;
        }
    }
    if (status == NQ_OK)
        status = nq_store_commit(store, &err);
    for (r = list; r && status != NQ_OK; r = r->next) {
        if (r->writes != writes)
            continue;
        r->status = status;
        r->err = err;
    }
}

void nq_store_batch(nq_store *store, nq_store_request *list)
{
    run_transaction(store, list, true);
    run_transaction(store, list, false);
}

static void thread_main(void *argument)
{
    nq_store_thread *t = argument;
    uv_mutex_lock(&t->mutex);
    for (;;) {
        while (!t->waiting && !t->stopping)
            uv_cond_wait(&t->wake, &t->mutex);
        nq_store_request *list = t->waiting;
        if (!list)
            break;
        t->waiting = NULL;
        t->waiting_end = &t->waiting;
        uv_mutex_unlock(&t->mutex);
        nq_store_batch(t->store, list);
        uv_mutex_lock(&t->mutex);
        *t->finished_end = list;
        while (*t->finished_end)
            t->finished_end = &(*t->finished_end)->next;
        uv_async_send(&t->finished_signal);
    }
    uv_mutex_unlock(&t->mutex);
}

static void answer(nq_store_thread *t)
{
    uv_mutex_lock(&t->mutex);
    nq_store_request *list = t->finished;
    t->finished = NULL;
    t->finished_end = &t->finished;
    uv_mutex_unlock(&t->mutex);
    while (list) {
        nq_store_request *r = list;
        list = list->next;
        r->next = NULL;
        r->done(r);
    }
}

static void on_finished(uv_async_t *handle)
{
    answer(handle->data);
}

static void tell_to_stop(nq_store_thread *t)
{
    uv_mutex_lock(&t->mutex);
    t->stopping = true;
    uv_cond_signal(&t->wake);
    uv_mutex_unlock(&t->mutex);
}

nq_status nq_store_thread_start(uv_loop_t *loop, nq_store *store, nq_store_thread **out,
                                nq_error *err)
{
    nq_store_thread *t = calloc(1, sizeof *t);
    if (!t)
        return nq_fail_nomem(err, "the queue's thread", sizeof *t);
    t->store = store;
    t->waiting_end = &t->waiting;
    t->finished_end = &t->finished;
    t->finished_signal.data = t;
    if (uv_mutex_init(&t->mutex) != 0) {
        free(t);
        return nq_fail_nomem(err, "the queue's thread", sizeof *t);
    }
    if (uv_cond_init(&t->wake) != 0) {
        uv_mutex_destroy(&t->mutex);
        free(t);
        return nq_fail_nomem(err, "the queue's thread", sizeof *t);
    }
    int code = uv_thread_create(&t->thread, thread_main, t);
    if (code == 0 && (code = uv_async_init(loop, &t->finished_signal, on_finished)) != 0) {
        tell_to_stop(t);
        uv_thread_join(&t->thread);
    }
    if (code != 0) {
        uv_cond_destroy(&t->wake);
        uv_mutex_destroy(&t->mutex);
        free(t);
        return nq_fail(err, NQ_ERR_IO, "cannot start the queue's thread: %s", uv_strerror(code));
    }
    *out = t;
    return NQ_OK;
}

void nq_store_thread_post(nq_store_thread *t, nq_store_request *request)
{
    request->next = NULL;
    request->status = NQ_OK;
    request->err = (nq_error){0};
    uv_mutex_lock(&t->mutex);
    *t->waiting_end = request;
    t->waiting_end = &request->next;
    uv_cond_signal(&t->wake);
    uv_mutex_unlock(&t->mutex);
}

static void on_closed(uv_handle_t *handle)
{
    nq_store_thread *t = handle->data;
    void (*closed)(void *) = t->closed;
    void *context = t->closed_context;
    uv_cond_destroy(&t->wake);
    uv_mutex_destroy(&t->mutex);
    free(t);
    closed(context);
}

void nq_store_thread_stop(nq_store_thread *t, void (*closed)(void *context), void *context)
{
    tell_to_stop(t);
    uv_thread_join(&t->thread);
    answer(t);
    nq_store_close(t->store);
    t->closed = closed;
    t->closed_context = context;
    uv_close((uv_handle_t *)&t->finished_signal, on_closed);
}
