/* A client's connection, and one request of it on its way through threads to its reply. */
#ifndef NQ_SERVER_CONNECTION_H
#define NQ_SERVER_CONNECTION_H

#include "server/daemon.h"
#include "server/protocol.h"

typedef struct nq_call nq_call;
typedef struct nq_watch nq_watch;

struct nq_connection {
    nq_daemon *daemon;
    uv_pipe_t pipe;
    uint32_t uid; /* of the peer */
    char *input;  /* bytes not yet taken as requests */
    size_t used, room;
    bool reading, ended, closing; /* ended: the client will send nothing more */
    bool close_after_reply;
    nq_call *call;   /* the request that is being answered: one at a time */
    nq_watch *watch; /* set once `watch` was answered: no requests any more */
    uv_write_t write;
    bool writing; /* one write at a time */
    char *output; /* freed when written; may be NULL */
    void (*written)(nq_connection *connection);
    nq_connection *next, *previous;
};

/* The listener's callback. */
void nq_connection_accept(uv_stream_t *listener, int status);
void nq_connection_close(nq_connection *connection);
/* Closes all that wait for nothing, and watchers; the others after their present reply. */
void nq_connection_close_idle(nq_daemon *daemon);

/*
 * Sends `size` bytes at `data`; frees `owned` when they are written. `written` is called then,
 * unless the connection has been closed. Nothing else may be on its way.
 */
void nq_connection_send(nq_connection *connection, const char *data, size_t size, char *owned,
                        void (*written)(nq_connection *connection));

/*
 * A request. Its verb runs in steps: on the loop's thread, on the pool, on the store's thread; at
 * the end it replies. The client may be gone meanwhile (connection NULL): steps go on, replies are
 * dropped.
 */
struct nq_call {
    nq_daemon *daemon;
    nq_connection *connection;
    uint32_t uid;
    nq_request request;
    const char *code; /* error code instead of the status's own, set by a step that fails */
    nq_error err;
    void *state; /* the verb's own; freed by free_state */
    void (*free_state)(void *state);
    /* Of the step under way. */
    bool busy;
    nq_status (*step)(nq_call *call, nq_error *err);
    nq_status (*store_step)(nq_call *call, nq_store *store, nq_error *err);
    void (*after)(nq_call *call);
    nq_status status;
    uv_work_t work;
    nq_store_request store;
};

/* Runs `step` on the pool or on the store's thread, then `after` on the loop's thread. When the
 * step fails the client gets its error and the call ends; `after` is not called. */
void nq_call_on_pool(nq_call *call, nq_status (*step)(nq_call *call, nq_error *err),
                     void (*after)(nq_call *call));
void nq_call_on_store(nq_call *call, bool writes,
                      nq_status (*step)(nq_call *call, nq_store *store, nq_error *err),
                      void (*after)(nq_call *call));

/* Sends the reply with these fields (taken over; NULL only when out of memory) and ends the call.
 */
void nq_call_reply(nq_call *call, json_t *fields);
/* The same, but goes on with `then` once it is written; the call must be ended there. */
void nq_call_reply_then(nq_call *call, json_t *fields, void (*then)(nq_call *call));
/* Sends call->err under call->code or its status's code, and ends the call. */
void nq_call_fail(nq_call *call);
/* Ends the call; the connection takes its next request. */
void nq_call_end(nq_call *call);

/* Root and the daemon's own user may do as they like with other people's jobs. */
bool nq_call_is_trusted(const nq_call *call);

#endif
