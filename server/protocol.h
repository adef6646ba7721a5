/* One line of a client: which operation, with which keys. Hostile input. docs/protocol.md */
#ifndef NQ_SERVER_PROTOCOL_H
#define NQ_SERVER_PROTOCOL_H

#include "common/error.h"
#include <jansson.h>
#include <stddef.h>

typedef enum {
    NQ_OP_HELLO,
    NQ_OP_SUBMIT,
    NQ_OP_STATUS,
    NQ_OP_LIST,
    NQ_OP_WATCH,
    NQ_OP_CANCEL,
    NQ_OP_HOLD,
    NQ_OP_RELEASE,
    NQ_OP_GET,
    NQ_OP_LOGS,
    NQ_OP_MODELS,
    NQ_OP_DATASETS,
    NQ_OP_LEADERBOARD,
    NQ_OP_DIFF,
    NQ_OP_CACHE,
    NQ_OP_CACHE_BUILD,
    NQ_OP_CACHE_DROP
} nq_op;
#define NQ_OP_COUNT 17

#define NQ_LIST_MOST  10000 /* jobs in one reply of `list` */
#define NQ_SPECS_MOST 10000 /* jobs in one submit */
#define NQ_ID_BYTES   256   /* longest string that a client may use as `id` */

typedef struct {
    nq_op op;
    json_t *id;     /* an integer or string; NULL where the client gave none */
    json_t *object; /* the request; every key is known to the operation and has a legal value */
} nq_request;

/*
 * Parses one line (without its newline) and checks it completely but for the spec itself:
 * NQ_ERR_INPUT where it is not JSON, has no operation, an unknown one, an unknown key, a value of a
 * wrong type or out of range, or lacks a key. request->id is set where it could be read even if the
 * rest is wrong, so that the error can carry it. nq_request_clear() in either case.
 */
nq_status nq_request_parse(const char *line, size_t size, nq_request *request, nq_error *err);
void nq_request_clear(nq_request *request);

/* Keys of a checked request; `otherwise` where the client did not give them. */
long long nq_request_int(const nq_request *request, const char *key, long long otherwise);
const char *nq_request_text(const nq_request *request, const char *key, const char *otherwise);
int nq_request_flag(const nq_request *request, const char *key);

const char *nq_op_name(nq_op op);

/* The protocol's error code for a status: "bad_request" for NQ_ERR_INPUT, otherwise its own name.
 */
const char *nq_protocol_code(nq_status status);

/*
 * A whole reply line as malloc'd text with its newline: {"id":ID,"ok":true,...fields} or
 * {"id":ID,"ok":false,"error":{"code","message"}}. `fields` is taken over (NULL: none). NULL: out
 * of memory.
 */
char *nq_reply_line(const json_t *id, json_t *fields, size_t *size);
char *nq_error_line(const json_t *id, const char *code, const char *message, size_t *size);

#endif
