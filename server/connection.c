#include "server/connection.h"

#include "common/log.h"
#include "server/verbs.h"
#include "server/watch.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INPUT_STEP      4096
#define ACCEPT_AGAIN_MS 100

static void take_requests(nq_connection *c);

/* ---- ends ---- */

static void on_closed(uv_handle_t *handle)
{
    nq_connection *c = handle->data;
    nq_daemon *d = c->daemon;
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        d->connections = c->next;
    d->connection_count--;
    free(c->input);
    free(c);
    nq_daemon_settle(d);
}

static void free_call(nq_call *call)
{
    if (call->free_state)
        call->free_state(call->state);
    nq_request_clear(&call->request);
    free(call);
}

void nq_connection_close(nq_connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->call) {
        c->call->connection = NULL;
        if (!c->call->busy)
            free_call(c->call);
        c->call = NULL;
    }
    nq_watch_stop(c->watch);
    c->watch = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

void nq_connection_close_idle(nq_daemon *daemon)
{
    for (nq_connection *c = daemon->connections, *next; c; c = next) {
        next = c->next;
        c->close_after_reply = true;
        if (!c->call && (!c->writing || c->watch))
            nq_connection_close(c);
    }
}

/* ---- writing ---- */

static void on_written(uv_write_t *write, int status)
{
    nq_connection *c = write->data;
    c->writing = false;
    free(c->output);
    c->output = NULL;
    if (c->closing)
        return;
    if (status < 0)
        nq_connection_close(c);
    else
        c->written(c);
}

void nq_connection_send(nq_connection *c, const char *data, size_t size, char *owned,
                        void (*written)(nq_connection *connection))
{
    uv_buf_t buffer = uv_buf_init((char *)data, (unsigned)size);
    c->write.data = c;
    c->written = written;
    int code = uv_write(&c->write, (uv_stream_t *)&c->pipe, &buffer, 1, on_written);
    if (code < 0) {
        free(owned);
        nq_connection_close(c);
        return;
    }
    c->output = owned;
    c->writing = true;
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    nq_connection *c = handle->data;
    size_t most = (size_t)c->daemon->config->line_bytes + INPUT_STEP;
    if (c->used == c->room && c->room < most) {
        size_t room = c->room ? c->room * 2 : INPUT_STEP;
        room = room > most ? most : room;
        char *grown = realloc(c->input, room);
        if (grown) {
            c->input = grown;
            c->room = room;
        }
    }
    *buffer = uv_buf_init(c->input ? c->input + c->used : NULL, (unsigned)(c->room - c->used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    (void)buffer;
    nq_connection *c = stream->data;
    if (n == UV_EOF) {
        c->ended = true;
        if (c->watch)
            nq_connection_close(c);
        else
            take_requests(c);
    } else if (n < 0) {
        nq_connection_close(c); /* UV_ENOBUFS where there is no memory, too */
    } else if (c->watch) {
        c->used = 0; /* a watching connection takes no requests */
    } else if (n > 0) {
        c->used += (size_t)n;
        take_requests(c);
    }
}

static void set_reading(nq_connection *c, bool reading)
{
    if (c->closing || c->reading == reading)
        return;
    c->reading = reading;
    if (!reading)
        uv_read_stop((uv_stream_t *)&c->pipe);
    else if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
        nq_connection_close(c);
}

/* The connection's call from here on. NULL when out of memory: then the connection is closed. */
static nq_call *new_call(nq_connection *c)
{
    nq_call *call = calloc(1, sizeof *call);
    if (!call) {
        nq_connection_close(c);
        return NULL;
    }
    call->daemon = c->daemon;
    call->connection = c;
    call->uid = c->uid;
    c->call = call;
    return call;
}

static void begin_call(nq_connection *c, const char *line, size_t size)
{
    nq_call *call = new_call(c);
    if (!call)
        return;
    if (nq_request_parse(line, size, &call->request, &call->err) != NQ_OK)
        nq_call_fail(call);
    else
        nq_verb_run(call);
}

static void refuse_long_line(nq_connection *c)
{
    nq_call *call = new_call(c);
    if (!call)
        return;
    call->code = "too_large";
    c->used = 0;
    c->close_after_reply = true;
    nq_fail(&call->err, NQ_ERR_INPUT, "the request is longer than %ld bytes (limits.line_bytes)",
            c->daemon->config->line_bytes);
    nq_call_fail(call);
}

static bool is_blank(const char *line, size_t size)
{
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t' || line[size - 1] == '\r'))
        size--;
    return size == 0;
}

/* Takes the next complete line, if nothing is being answered; otherwise reads on. */
static void take_requests(nq_connection *c)
{
    while (!c->closing && !c->call && !c->writing && !c->watch) {
        char *newline = c->used ? memchr(c->input, '\n', c->used) : NULL;
        size_t size = newline ? (size_t)(newline - c->input) : c->used;
        if (size > (size_t)c->daemon->config->line_bytes) {
            refuse_long_line(c);
            break;
        }
        if (!newline)
            break;
        if (!is_blank(c->input, size))
            begin_call(c, c->input, size);
        if (c->closing)
            return;
        c->used -= size + 1;
        memmove(c->input, newline + 1, c->used);
    }
    bool waiting = !c->call && !c->writing;
    if (c->ended && waiting)
        nq_connection_close(c);
    else
        set_reading(c, waiting && !c->ended);
}

/* ---- accepting ---- */

static bool find_peer(nq_connection *c)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&c->pipe, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    c->uid = peer.uid;
    return true;
}

static void after_refusal(nq_connection *c)
{
    nq_connection_close(c);
}

static void refuse_connection(nq_connection *c)
{
    size_t size;
    char *line = nq_error_line(NULL, "busy",
                               "too many connections (limits.connections): try again later", &size);
    nq_log(NQ_LOG_WARN, "connections_full", "limit", "%lld",
           (long long)c->daemon->config->connections, NULL);
    if (line)
        nq_connection_send(c, line, size, line, after_refusal);
    else
        nq_connection_close(c);
}

/* A client waits, and memory was short. */
static void on_accept_again(uv_timer_t *timer)
{
    nq_daemon *d = timer->data;
    nq_connection_accept((uv_stream_t *)&d->listener, 0);
}

void nq_connection_accept(uv_stream_t *listener, int status)
{
    nq_daemon *d = listener->data;
    if (status < 0) {
        nq_log(NQ_LOG_WARN, "accept_failed", "why", "%s", uv_strerror(status), NULL);
        return;
    }
    nq_connection *c = calloc(1, sizeof *c);
    if (!c) {
        uv_timer_start(&d->accept_again, on_accept_again, ACCEPT_AGAIN_MS, 0);
        return;
    }
    c->daemon = d;
    uv_pipe_init(d->loop, &c->pipe, 0);
    c->pipe.data = c;
    c->next = d->connections;
    if (c->next)
        c->next->previous = c;
    d->connections = c;
    d->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0 || !find_peer(c) || d->stopping)
        nq_connection_close(c);
    else if (d->connection_count > d->config->connections)
        refuse_connection(c);
    else
        set_reading(c, true);
}

/* ---- calls ---- */

static void call_written(nq_connection *c)
{
    nq_call *call = c->call;
    call->after(call);
}

void nq_call_end(nq_call *call)
{
    nq_connection *c = call->connection;
    free_call(call);
    if (!c)
        return;
    c->call = NULL;
    if (c->close_after_reply)
        nq_connection_close(c);
    else
        take_requests(c);
}

static const char no_memory[] = "{\"ok\":false,\"error\":{\"code\":\"no_memory\",\"message\":\"the "
                                "daemon is out of memory\"}}\n";

void nq_call_fail(nq_call *call)
{
    size_t size;
    if (!call->connection) {
        nq_call_end(call);
        return;
    }
    const char *code = call->code ? call->code : nq_protocol_code(call->err.status);
    char *line = nq_error_line(call->request.id, code, call->err.text, &size);
    call->after = nq_call_end;
    if (line)
        nq_connection_send(call->connection, line, size, line, call_written);
    else
        nq_connection_send(call->connection, no_memory, sizeof no_memory - 1, NULL, call_written);
}

void nq_call_reply_then(nq_call *call, json_t *fields, void (*then)(nq_call *call))
{
    size_t size;
    if (!call->connection) {
        json_decref(fields);
        nq_call_end(call);
        return;
    }
    char *line = fields ? nq_reply_line(call->request.id, fields, &size) : NULL;
    call->after = line ? then : nq_call_end;
    if (line)
        nq_connection_send(call->connection, line, size, line, call_written);
    else
        nq_connection_send(call->connection, no_memory, sizeof no_memory - 1, NULL, call_written);
}

void nq_call_reply(nq_call *call, json_t *fields)
{
    nq_call_reply_then(call, fields, nq_call_end);
}

static void step_done(nq_call *call)
{
    nq_daemon *d = call->daemon;
    call->busy = false;
    if (call->status != NQ_OK)
        nq_call_fail(call);
    else
        call->after(call);
    nq_daemon_stepped(d);
}

static void pool_run(uv_work_t *work)
{
    nq_call *call = work->data;
    call->status = call->step(call, &call->err);
}

static void pool_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    step_done(work->data);
}

void nq_call_on_pool(nq_call *call, nq_status (*step)(nq_call *call, nq_error *err),
                     void (*after)(nq_call *call))
{
    call->busy = true;
    call->step = step;
    call->after = after;
    call->work.data = call;
    nq_daemon_queue(call->daemon, &call->work, pool_run, pool_done);
}

static nq_status store_run(nq_store *store, nq_store_request *request, nq_error *err)
{
    nq_call *call = request->context;
    return call->store_step(call, store, err);
}

static void store_done(nq_store_request *request)
{
    nq_call *call = request->context;
    call->status = request->status;
    if (request->status != NQ_OK)
        call->err = request->err;
    step_done(call);
}

void nq_call_on_store(nq_call *call, bool writes,
                      nq_status (*step)(nq_call *call, nq_store *store, nq_error *err),
                      void (*after)(nq_call *call))
{
    call->busy = true;
    call->store_step = step;
    call->after = after;
    call->store = (nq_store_request){
        .work = store_run, .done = store_done, .writes = writes, .context = call};
    nq_daemon_post(call->daemon, &call->store);
}

bool nq_call_is_trusted(const nq_call *call)
{
    return call->uid == 0 || call->uid == geteuid();
}
