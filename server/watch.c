#include "server/watch.h"

#include "server/scheduler.h"
#include <stdlib.h>
#include <string.h>

#define JOBS_AT_ONCE 64

struct nq_watch {
    nq_daemon *daemon;
    nq_connection *connection; /* NULL once it is closed */
    nq_selection selection;    /* both 0: everything */
    nq_id_list changed;
    bool asking;
    /* The question under way: jobs asked for, and the answer. */
    nq_store_request request;
    nq_id_list asked;
    json_t *objects;
    int64_t unended; /* jobs of the selection that have not ended */
};

static void flush(nq_watch *w);

static void free_watch(nq_watch *w)
{
    nq_id_list_free(&w->changed);
    nq_id_list_free(&w->asked);
    json_decref(w->objects);
    free(w);
}

void nq_watch_stop(nq_watch *watch)
{
    if (!watch)
        return;
    watch->connection = NULL;
    if (!watch->asking)
        free_watch(watch);
}

static bool selects(const nq_watch *w, int64_t id, int64_t group)
{
    if (w->selection.job)
        return w->selection.job == id;
    return !w->selection.group || w->selection.group == group;
}

/* Without memory for an id the watcher would miss a change: it is let go, and connects again. */
static void note(nq_watch *w, int64_t id)
{
    if (nq_id_list_has(&w->changed, id))
        return;
    if (nq_id_list_add(&w->changed, id, NULL) != NQ_OK)
        nq_connection_close(w->connection);
}

void nq_watch_changed(nq_daemon *daemon, int64_t id, int64_t group)
{
    for (nq_connection *c = daemon->connections, *next; c; c = next) {
        next = c->next;
        if (!c->watch || !selects(c->watch, id, group))
            continue;
        note(c->watch, id);
        if (c->watch)
            flush(c->watch);
    }
}

/* On the store's thread. */
static nq_status ask(nq_store *store, nq_store_request *request, nq_error *err)
{
    nq_watch *w = request->context;
    nq_status status = NQ_OK;
    w->unended = 1;
    if (w->selection.job || w->selection.group)
        status = nq_store_unended(store, w->selection, &w->unended, err);
    for (size_t i = 0; i < w->asked.count && status == NQ_OK; i++) {
        json_t *object;
        status = nq_store_object(store, w->asked.ids[i], false, &object, err);
        if (status == NQ_ERR_MISSING)
            status = NQ_OK; /* forgotten meanwhile (keep_days) */
        else if (status == NQ_OK && json_array_append_new(w->objects, object) != 0)
            status = nq_fail_nomem(err, "an event", 0);
    }
    return status;
}

static void sent(nq_connection *c)
{
    if (c->watch)
        flush(c->watch);
}

/* One line for each object, and the end; NULL: out of memory. */
static char *make_events(nq_watch *w, size_t *size)
{
    char *text = strdup("");
    size_t i;
    json_t *object;
    *size = 0;
    json_array_foreach(w->objects, i, object)
    {
        nq_scheduler_add_progress(w->daemon, object);
        json_t *event = json_pack("{s:s, s:O}", "event", "job", "job", object);
        char *line = event ? json_dumps(event, JSON_COMPACT) : NULL, *longer = NULL;
        json_decref(event);
        size_t n = line ? strlen(line) : 0;
        if (text && line && (longer = realloc(text, *size + n + 2))) {
            memcpy(longer + *size, line, n);
            longer[*size + n] = '\n';
            *size += n + 1;
        }
        free(line);
        if (!longer)
            free(text);
        text = longer;
    }
    static const char end[] = "{\"event\":\"end\"}\n";
    if (text && w->unended == 0 && w->changed.count == 0) {
        char *longer = realloc(text, *size + sizeof end);
        if (!longer)
            free(text);
        else
            memcpy(longer + *size, end, sizeof end);
        text = longer;
        *size += sizeof end - 1;
    }
    return text;
}

static void answered(nq_store_request *request)
{
    nq_watch *w = request->context;
    nq_daemon *d = w->daemon;
    size_t size;
    w->asking = false;
    if (!w->connection) {
        free_watch(w);
    } else {
        char *text = request->status == NQ_OK ? make_events(w, &size) : NULL;
        json_decref(w->objects);
        w->objects = NULL;
        if (!text)
            nq_connection_close(w->connection);
        else if (size > 0)
            nq_connection_send(w->connection, text, size, text, sent);
        else
            free(text);
        if (text && size == 0)
            flush(w);
    }
    nq_daemon_stepped(d);
}

/* Asks for what has changed, unless the connection still has something to write. */
static void flush(nq_watch *w)
{
    nq_connection *c = w->connection;
    if (w->asking || c->writing || c->call || w->changed.count == 0 || w->daemon->stopping)
        return;
    size_t n = w->changed.count < JOBS_AT_ONCE ? w->changed.count : JOBS_AT_ONCE;
    w->asked.count = 0;
    w->objects = json_array();
    for (size_t i = 0; i < n; i++)
        if (!w->objects || nq_id_list_add(&w->asked, w->changed.ids[i], NULL) != NQ_OK) {
            nq_connection_close(c);
            return;
        }
    w->changed.count -= n;
    memmove(w->changed.ids, w->changed.ids + n, w->changed.count * sizeof *w->changed.ids);
    w->asking = true;
    w->request = (nq_store_request){.work = ask, .done = answered, .context = w};
    nq_daemon_post(w->daemon, &w->request);
}

/* ---- the verb ---- */

static void free_state(void *state)
{
    if (state)
        free_watch(state);
}

static nq_status find_jobs(nq_call *call, nq_store *store, nq_error *err)
{
    nq_watch *w = call->state;
    return w->selection.job || w->selection.group
               ? nq_store_select(store, w->selection, &w->changed, err)
               : nq_store_running(store, &w->changed, err);
}

static void start(nq_call *call)
{
    nq_connection *c = call->connection;
    nq_call_end(call);
    if (c->watch)
        flush(c->watch);
}

/* The watch stands before the client knows, so that it misses nothing that it may cause; and not at
 * all where the client is told that there is no memory. */
static void reply(nq_call *call)
{
    nq_connection *c = call->connection;
    if (c) {
        c->watch = call->state;
        c->watch->connection = c;
        call->state = NULL;
    }
    nq_call_reply_then(call, json_object(), start);
    if (c && !c->closing && c->call->after != start) {
        nq_watch_stop(c->watch);
        c->watch = NULL;
    }
}

void nq_watch_begin(nq_call *call)
{
    nq_watch *w = calloc(1, sizeof *w);
    if (!w) {
        nq_fail_nomem(&call->err, "a watch", sizeof *w);
        nq_call_fail(call);
        return;
    }
    w->daemon = call->daemon;
    w->selection = (nq_selection){.job = nq_request_int(&call->request, "job", 0),
                                  .group = nq_request_int(&call->request, "group", 0)};
    call->state = w;
    call->free_state = free_state;
    nq_call_on_store(call, false, find_jobs, reply);
}
