/* netqctl cancel, hold, release: one operation on several jobs or groups. */
#include "client/client.h"
#include "client/format.h"
#include "client/verbs.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *op;     /* of the protocol */
    const char *member; /* of its reply: the ids */
    const char *past;   /* "cancelled" */
} operation;

static void print_ids(nq_client *client, const operation *op, nq_target target, const json_t *ids)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        fprintf(client->out, "%s job %lld\n", op->past, json_integer_value(id));
    }
    if (json_array_size(ids) == 0)
        fprintf(client->messages, "netqctl: nothing in %s%lld was %s\n", target.group ? "g" : "",
                target.id, op->past);
}

static nq_status control(nq_client *client, const operation *op, const char *text, json_t *all,
                         nq_error *err)
{
    nq_target target;
    nq_status status = nq_target_parse(text, &target, err);
    if (status != NQ_OK)
        return status;
    json_t *request = nq_request(op->op), *reply = NULL;
    nq_target_put(request, target);
    status = nq_client_ask(client, request, &reply, err);
    if (status != NQ_OK)
        return status;
    json_t *ids = json_object_get(reply, op->member);
    if (!json_is_array(ids))
        status =
            nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to %s has no %s", op->op, op->member);
    else if (client->json && json_array_extend(all, ids) != 0)
        status = nq_fail_nomem(err, "ids", 0);
    else if (!client->json)
        print_ids(client, op, target, ids);
    json_decref(reply);
    return status;
}

static int run(nq_client *client, const operation *op, const struct argp *argp, int argc,
               char **argv)
{
    nq_verb_input input = {.client = client, .least = 1, .most = -1};
    nq_verb_parse(argp, argc, argv, &input);
    json_t *all = json_object();
    json_object_set_new(all, op->member, json_array());
    int code = NQ_EXIT_DONE;
    for (int i = 0; i < input.count && code != NQ_EXIT_NO_DAEMON; i++) {
        nq_error err = {0};
        nq_status status =
            control(client, op, input.arguments[i], json_object_get(all, op->member), &err);
        int this = nq_client_finish(client, status, &err);
        code = this != NQ_EXIT_DONE ? this : code;
    }
    if (client->json)
        nq_client_print_json(client, all, false);
    json_decref(all);
    return code;
}

int nq_verb_cancel(nq_client *client, int argc, char **argv)
{
    static const operation op = {"cancel", "cancelled", "cancelled"};
    static const struct argp argp = {
        .parser = nq_verb_parse_key,
        .args_doc = "JOB|gN...",
        .doc = "Cancels jobs, or all jobs of a group that have not ended. A running one is "
               "stopped.",
        .children = nq_common_children};
    return run(client, &op, &argp, argc, argv);
}

int nq_verb_hold(nq_client *client, int argc, char **argv)
{
    static const operation op = {"hold", "jobs", "held"};
    static const struct argp argp = {.parser = nq_verb_parse_key,
                                     .args_doc = "JOB|gN...",
                                     .doc =
                                         "Keeps queued jobs from starting until they are released.",
                                     .children = nq_common_children};
    return run(client, &op, &argp, argc, argv);
}

int nq_verb_release(nq_client *client, int argc, char **argv)
{
    static const operation op = {"release", "jobs", "released"};
    static const struct argp argp = {.parser = nq_verb_parse_key,
                                     .args_doc = "JOB|gN...",
                                     .doc = "Lets held jobs start when their turn comes.",
                                     .children = nq_common_children};
    return run(client, &op, &argp, argc, argv);
}
