#include "client/client.h"

#include "common/json.h"
#include "common/version.h"
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- talking to the daemon ---- */

nq_status nq_client_connect(nq_client *client, nq_error *err)
{
    if (client->connection)
        return NQ_OK;
    char *path = nq_socket_path(client->socket_option);
    if (!path)
        return nq_fail_nomem(err, "the socket path", 0);
    nq_status status = nq_connection_open(path, &client->connection, err);
    client->lost = status == NQ_ERR_IO;
    free(path);
    return status;
}

void nq_client_close(nq_client *client)
{
    nq_connection_close(client->connection);
    client->connection = NULL;
}

json_t *nq_request(const char *op)
{
    return json_pack("{s:s}", "op", op);
}

nq_status nq_client_ask(nq_client *client, json_t *request, json_t **reply, nq_error *err)
{
    *reply = NULL;
    nq_status status = nq_client_connect(client, err);
    if (status != NQ_OK) {
        json_decref(request);
        return status;
    }
    status = nq_connection_ask(client->connection, request, reply, err);
    client->lost = status != NQ_OK && nq_connection_lost(client->connection);
    if (client->lost)
        nq_client_close(client);
    return status;
}

nq_status nq_client_reconnect(nq_client *client, nq_error *err)
{
    const int step_ms = 100;
    const struct timespec step = {.tv_nsec = step_ms * 1000000L};
    nq_client_close(client);
    for (int waited = 0;; waited += step_ms) {
        nq_status status = nq_client_connect(client, err);
        if (status == NQ_OK || !client->lost || waited >= client->patience_ms)
            return status;
        nanosleep(&step, NULL);
    }
}

int nq_client_finish(nq_client *client, nq_status status, const nq_error *err)
{
    if (status == NQ_OK)
        return NQ_EXIT_DONE;
    fprintf(client->messages, "netqctl: %s\n", err->text);
    if (client->lost)
        return NQ_EXIT_NO_DAEMON;
    if (status == NQ_ERR_INPUT)
        return NQ_EXIT_USAGE;
    return status == NQ_ERR_CANCELLED ? NQ_EXIT_CANCELLED : NQ_EXIT_FAILED;
}

void nq_client_print_json(nq_client *client, json_t *value, bool bare)
{
    if (bare) {
        json_object_del(value, "ok");
        json_object_del(value, "id");
    }
    json_dumpf(value, client->out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    fputc('\n', client->out);
}

/* ---- terminals ---- */

bool nq_stream_is_live(FILE *stream)
{
    const char *terminal = getenv("TERM");
    return isatty(fileno(stream)) && terminal && strcmp(terminal, "dumb") != 0;
}

bool nq_stream_has_colour(FILE *stream)
{
    const char *never = getenv("NO_COLOR");
    return nq_stream_is_live(stream) && !(never && *never);
}

int nq_stream_width(FILE *stream)
{
    struct winsize size;
    if (!isatty(fileno(stream)) || ioctl(fileno(stream), TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

/* ---- jobs and groups ---- */

nq_status nq_target_parse(const char *text, nq_target *target, nq_error *err)
{
    const char *digits = text + (*text == 'g');
    char *end;
    errno = 0;
    target->group = *text == 'g';
    target->id = strtoll(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || errno || target->id < 1)
        return nq_fail(err, NQ_ERR_INPUT, "\"%s\" is neither a job (12) nor a group (g12)", text);
    return NQ_OK;
}

void nq_target_put(json_t *request, nq_target target)
{
    json_object_set_new(request, target.group ? "group" : "job", json_integer(target.id));
}

/* ---- command lines ---- */

enum { KEY_JSON = 0x100 };

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    nq_client *client = state->input;
    switch (key) {
    case 's':
        client->socket_option = argument;
        return 0;
    case KEY_JSON:
        client->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option common_options[] = {
    {"socket", 's', "PATH", 0,
     "The daemon's socket (default $NETQ_SOCKET, $XDG_RUNTIME_DIR/netq.sock or "
     "/run/netq/netq.sock)",
     -1},
    {"json", KEY_JSON, NULL, 0, "Data as JSON on standard output; messages stay on standard error",
     -1},
    {0}};
static const struct argp common_argp = {.options = common_options, .parser = parse_common};
const struct argp_child nq_common_children[] = {{&common_argp, 0, NULL, -1}, {0}};

error_t nq_verb_parse_key(int key, char *argument, struct argp_state *state)
{
    nq_verb_input *input = state->input;
    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = input->client;
        return 0;
    case ARGP_KEY_ARGS:
        input->arguments = state->argv + state->next;
        input->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (input->count < input->least)
            argp_error(state, "an argument is missing");
        if (input->most >= 0 && input->count > input->most)
            argp_error(state, "\"%s\" is one argument too many", input->arguments[input->most]);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void nq_verb_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_parse(argp, argc, argv, 0, NULL, input);
}

typedef struct {
    nq_client *client;
    const nq_verb *verb;
    int rest; /* index of the verb in argv */
} main_input;

static const char *nearest_verb(const char *word)
{
    const nq_verb *nearest = nq_verbs;
    for (const nq_verb *verb = nq_verbs; verb->name; verb++)
        if (nq_edit_distance(word, verb->name) < nq_edit_distance(word, nearest->name))
            nearest = verb;
    return nearest->name;
}

static error_t parse_main(int key, char *argument, struct argp_state *state)
{
    main_input *input = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = input->client;
        return 0;
    case ARGP_KEY_ARG:
        for (const nq_verb *verb = nq_verbs; verb->name && !input->verb; verb++)
            if (strcmp(verb->name, argument) == 0)
                input->verb = verb;
        if (!input->verb)
            argp_error(state, "there is no verb \"%s\"; the nearest is \"%s\"", argument,
                       nearest_verb(argument));
        input->rest = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_state_help(state, state->err_stream, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The verbs stand in the help where argp puts the text after the options. */
static char *list_verbs(int key, const char *text, void *input)
{
    (void)input;
    char *list = NULL;
    size_t size;
    FILE *stream = key == ARGP_KEY_HELP_POST_DOC ? open_memstream(&list, &size) : NULL;
    if (!stream)
        return (char *)text;
    fputs("Verbs:\n", stream);
    for (const nq_verb *verb = nq_verbs; verb->name; verb++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", verb->name, verb->arguments);
        fprintf(stream, "  %-27s %s\n", usage, verb->help);
    }
    fputs("\nnetqctl VERB --help says more of each. A group is written g12. Exit status: 0 done, "
          "1 failed, 2 wrong usage, 3 cancelled, 4 no daemon.",
          stream);
    fclose(stream);
    return list;
}

static int run_verb(nq_client *client, const nq_verb *verb, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, "netqctl %s", verb->name);
    argv[0] = name;
    int code = verb->run(client, argc, argv);
    nq_client_close(client);
    if (fflush(client->out) == 0 && !ferror(client->out))
        return code;
    fprintf(client->messages, "netqctl: cannot write to standard output\n");
    return code == NQ_EXIT_DONE ? NQ_EXIT_FAILED : code;
}

int nq_client_main(int argc, char **argv)
{
    nq_client client = {.out = stdout, .messages = stderr, .patience_ms = 30000};
    main_input input = {.client = &client};
    const struct argp argp = {
        .parser = parse_main,
        .args_doc = "VERB [ARGUMENT...]",
        .doc = "Submits quantization jobs to netqd, watches them and fetches what they made.\v ",
        .children = nq_common_children,
        .help_filter = list_verbs};
    setlocale(LC_CTYPE, "");
    setvbuf(stderr, NULL, _IOLBF, 0);
    argp_program_version = "netqctl " NQ_VERSION;
    argp_err_exit_status = NQ_EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &input) != 0 || !input.verb)
        return NQ_EXIT_USAGE;
    return run_verb(&client, input.verb, argc - input.rest, argv + input.rest);
}
