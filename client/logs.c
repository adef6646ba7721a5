/* netqctl logs: a job's log, followed if wanted. */
#include "client/client.h"
#include "client/download.h"
#include "client/job.h"
#include "client/verbs.h"

#include <stdlib.h>
#include <time.h>

typedef struct {
    nq_verb_input base;
    bool follow;
} logs_input;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    logs_input *input = state->input;
    if (key != 'f')
        return nq_verb_parse_key(key, argument, state);
    input->follow = true;
    return 0;
}

/* Prints what is beyond the first *printed bytes. */
static nq_status print_more(nq_client *client, long long id, FILE *out, uint64_t *printed,
                            nq_error *err)
{
    json_t *request = nq_request("logs"), *reply = NULL;
    nq_target_put(request, (nq_target){.id = id});
    nq_status status = nq_client_ask(client, request, &reply, err);
    if (status == NQ_OK)
        status = nq_download_stream(client, reply, out, *printed, printed, err);
    json_decref(reply);
    return status;
}

static nq_status logs(nq_client *client, const logs_input *input, FILE *out, nq_error *err)
{
    const struct timespec pause = {.tv_sec = 1};
    nq_target target;
    uint64_t printed = 0;
    nq_status status = nq_target_parse(input->base.arguments[0], &target, err);
    if (status == NQ_OK && target.group)
        status = nq_fail(err, NQ_ERR_INPUT, "a group has no log: name one of its jobs");
    for (bool ended = !input->follow; status == NQ_OK;) {
        json_t *job = NULL;
        if (input->follow)
            status = nq_job_fetch(client, target.id, &job, err);
        ended = ended || nq_job_ended(job);
        /* The state was asked for first, so that an ended job's log is complete. */
        if (status == NQ_OK)
            status = print_more(client, target.id, out, &printed, err);
        if (status == NQ_ERR_MISSING && job && !ended)
            status = NQ_OK; /* it has not started yet */
        json_decref(job);
        if (ended || status != NQ_OK)
            break;
        nanosleep(&pause, NULL);
    }
    return status;
}

/* {"log":TEXT}, once there is all of it; bytes that are no UTF-8 become '?'. */
static nq_status logs_json(nq_client *client, const logs_input *input, nq_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return nq_fail_nomem(err, "the log", 0);
    nq_status status = logs(client, input, out, err);
    if (fclose(out) != 0 && status == NQ_OK)
        status = nq_fail_nomem(err, "the log", size);
    if (status == NQ_OK) {
        json_t *value = json_stringn(text, size);
        for (size_t i = 0; !value && i < size; i++)
            if ((unsigned char)text[i] >= 0x80)
                text[i] = '?';
        json_t *object = json_pack("{s:o}", "log", value ? value : json_stringn(text, size));
        nq_client_print_json(client, object, false);
        json_decref(object);
    }
    free(text);
    return status;
}

int nq_verb_logs(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"follow", 'f', NULL, 0, "Print what is added until the job ends", 0}, {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "JOB",
                                     .doc = "Prints the log of a job so far.",
                                     .children = nq_common_children};
    logs_input input = {.base = {.client = client, .least = 1, .most = 1}};
    nq_error err = {0};
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status =
        client->json ? logs_json(client, &input, &err) : logs(client, &input, client->out, &err);
    return nq_client_finish(client, status, &err);
}
