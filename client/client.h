/* netqctl: what its verbs share. A verb is one file and one line of the table in verbs.c. */
#ifndef NQ_CLIENT_CLIENT_H
#define NQ_CLIENT_CLIENT_H

#include "client/connection.h"
#include "common/error.h"
#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The exit codes of netqctl. */
enum {
    NQ_EXIT_DONE = 0,
    NQ_EXIT_FAILED = 1,
    NQ_EXIT_USAGE = 2,
    NQ_EXIT_CANCELLED = 3,
    NQ_EXIT_NO_DAEMON = 4
};

typedef struct {
    FILE *out;      /* data */
    FILE *messages; /* everything else */
    const char *socket_option;
    bool json;                 /* --json: data as JSON */
    nq_connection *connection; /* made by the first nq_client_ask() */
    bool lost;                 /* the last failure was that no daemon is there */
    int patience_ms;           /* how long a wait survives without a daemon */
} nq_client;

typedef struct {
    const char *name;
    const char *arguments; /* for the list of verbs in --help */
    const char *help;
    int (*run)(nq_client *client, int argc, char **argv); /* argv[0] is "netqctl VERB" */
} nq_verb;
extern const nq_verb nq_verbs[]; /* ended by a row without name */

/* The program: returns its exit code. */
int nq_client_main(int argc, char **argv);

/*
 * The command line of a verb. Its argp has nq_common_children; its input begins with a
 * nq_verb_input, and its parser hands every key that is not its own to nq_verb_parse_key(), which
 * collects the arguments and sees that there are least..most of them (most < 0: any number).
 * nq_verb_parse() exits on --help and on wrong usage, as argp does.
 */
typedef struct {
    nq_client *client;
    int least, most;
    char **arguments;
    int count;
} nq_verb_input;
extern const struct argp_child nq_common_children[];
error_t nq_verb_parse_key(int key, char *argument, struct argp_state *state);
void nq_verb_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Connects if need be. NQ_ERR_IO and client->lost where there is no daemon. */
nq_status nq_client_connect(nq_client *client, nq_error *err);

/* {"op":op}, to be filled; NULL when out of memory, which nq_client_ask() reports. */
json_t *nq_request(const char *op);

/* nq_connection_ask() on the client's connection. Consumes request; the caller owns *reply. */
nq_status nq_client_ask(nq_client *client, json_t *request, json_t **reply, nq_error *err);

/* Closes the connection, then tries to connect until it succeeds or the client's patience ends. */
nq_status nq_client_reconnect(nq_client *client, nq_error *err);
void nq_client_close(nq_client *client);

/* Prints the sentence of a failure to `messages` and returns the exit code that it means. */
int nq_client_finish(nq_client *client, nq_status status, const nq_error *err);

/* One line of JSON to `out`; with `bare`, without the members ok and id. */
void nq_client_print_json(nq_client *client, json_t *value, bool bare);

/* Whether colours and cursor movements may be sent to this stream, and its width in columns (0: no
 * terminal, nothing is cut). */
bool nq_stream_is_live(FILE *stream);
bool nq_stream_has_colour(FILE *stream);
int nq_stream_width(FILE *stream);

/* What the user named: a job (12) or a group (g12). */
typedef struct {
    bool group;
    long long id;
} nq_target;
nq_status nq_target_parse(const char *text, nq_target *target, nq_error *err);

/* Puts "job" or "group" into a request (which may be NULL). */
void nq_target_put(json_t *request, nq_target target);

#endif
