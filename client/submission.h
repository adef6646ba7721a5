/* A submit request on its way: sent, named, waited for. */
#ifndef NQ_CLIENT_SUBMISSION_H
#define NQ_CLIENT_SUBMISSION_H

#include "client/client.h"
#include "client/format.h"

/*
 * Sends a submit request (consumed; NULL: out of memory). Where the connection breaks before the
 * reply a request with a token, or a dry run, is sent once more. The caller owns *reply.
 */
nq_status nq_submission_send(nq_client *client, json_t *request, json_t **reply, nq_error *err);

/* The job or group of a reply, and its text: "12" or "g3". */
nq_status nq_submission_target(const json_t *reply, nq_target *target, char text[NQ_TEXT],
                               nq_error *err);

/* nq_wait_target() with progress on client->messages; Ctrl-C says that the jobs go on. */
nq_status nq_submission_wait(nq_client *client, nq_target target, const char *name, json_t *ended,
                             nq_error *err);

#endif
