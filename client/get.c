/* netqctl get: downloads an artifact and checks its sha256. */
#include "client/client.h"
#include "client/download.h"
#include "client/verbs.h"

#include <string.h>

typedef struct {
    nq_verb_input base;
    const char *output;
} get_input;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    get_input *input = state->input;
    if (key == 'o') {
        input->output = strcmp(argument, "-") == 0 ? NULL : argument;
        return 0;
    }
    if (key == ARGP_KEY_SUCCESS && input->base.client->json && !input->output)
        argp_error(state, "--json needs -o FILE, since the data would mix");
    return nq_verb_parse_key(key, argument, state);
}

static nq_status get(nq_client *client, const get_input *input, nq_error *err)
{
    nq_target target;
    nq_status status = nq_target_parse(input->base.arguments[0], &target, err);
    if (status != NQ_OK)
        return status;
    json_t *request = nq_request("get"), *reply = NULL;
    nq_target_put(request, target);
    if (input->base.count > 1)
        json_object_set_new(request, "file", json_string(input->base.arguments[1]));
    status = nq_client_ask(client, request, &reply, err);
    if (status == NQ_OK)
        status = input->output ? nq_download_file(client, reply, input->output, err)
                               : nq_download_stream(client, reply, client->out, 0, NULL, err);
    if (status == NQ_OK && client->json)
        nq_client_print_json(client, reply, true);
    json_decref(reply);
    return status;
}

int nq_verb_get(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "Write to FILE, whole or not at all, instead of standard output",
         0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "JOB|gN [FILE]",
        .doc = "Fetches an artifact of a job (netqctl status JOB lists them; default output.txt), "
               "or the output.txt of a whole group, and checks its sha256.",
        .children = nq_common_children};
    get_input input = {.base = {.client = client, .least = 1, .most = 2}};
    nq_error err = {0};
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status = get(client, &input, &err);
    return nq_client_finish(client, status, &err);
}
