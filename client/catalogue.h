/* Verbs that ask for one array and print it as a table, or the reply as JSON. */
#ifndef NQ_CLIENT_CATALOGUE_H
#define NQ_CLIENT_CATALOGUE_H

#include "client/client.h"

/*
 * Sends `request` (consumed), then prints the reply as JSON, or hands it to print(), having seen
 * that reply[member] is an array.
 */
typedef nq_status (*nq_reply_print)(nq_client *client, const json_t *reply, nq_error *err);
int nq_catalogue(nq_client *client, json_t *request, const char *member, nq_reply_print print);

#endif
