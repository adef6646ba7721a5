/* One connection to netqd: lines of JSON and chunks of bytes (docs/protocol.md), blocking. */
#ifndef NQ_CLIENT_CONNECTION_H
#define NQ_CLIENT_CONNECTION_H

#include "common/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_LINE_MAX  (64u << 20) /* a longer line from the daemon is refused */
#define NQ_CHUNK_MAX 65536u

typedef struct nq_connection nq_connection;

/*
 * Where the daemon listens: `option` if given, else $NETQ_SOCKET, else $XDG_RUNTIME_DIR/netq.sock
 * if that exists, else /run/netq/netq.sock. NULL when out of memory; the caller frees it.
 */
char *nq_socket_path(const char *option);

/* Connects to the socket at `path`. Any failure to reach a daemon is NQ_ERR_IO. */
nq_status nq_connection_open(const char *path, nq_connection **connection, nq_error *err);

/* Takes a connected stream socket, for tests. NULL when out of memory (fd stays the caller's). */
nq_connection *nq_connection_adopt(int fd);

/* NULL is allowed. */
void nq_connection_close(nq_connection *connection);

/* Whether a call failed because the other side is gone: nothing more will come. */
bool nq_connection_lost(const nq_connection *connection);

/*
 * Sends `request` with an id of its own and waits for the reply to it. `request` is consumed (NULL
 * means that building it ran out of memory). On success the caller owns *reply. A refusal of the
 * daemon becomes its sentence in err and the status that its code stands for; a reply that is not
 * one is NQ_ERR_INTERNAL.
 */
nq_status nq_connection_ask(nq_connection *connection, json_t *request, json_t **reply,
                            nq_error *err);

/* The next line, as an object that the caller owns: the events of `watch`. */
nq_status nq_connection_line(nq_connection *connection, json_t **object, nq_error *err);

/*
 * The next chunk of a download into data[NQ_CHUNK_MAX]; *size is 0 once the download has ended
 * well. A download that the daemon broke off fails with the daemon's sentence.
 */
nq_status nq_connection_chunk(nq_connection *connection, uint8_t *data, size_t *size,
                              nq_error *err);

#endif
