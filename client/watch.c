/* netqctl watch and wait: follow jobs as they change, or until they end. */
#include "client/client.h"
#include "client/job.h"
#include "client/verbs.h"
#include "client/waiting.h"

#include <errno.h>
#include <string.h>

/* ---- watch ---- */

typedef struct {
    nq_client *client;
    nq_progress *progress;
} watcher;

static bool saw(void *context, const json_t *job)
{
    const watcher *w = context;
    if (!job)
        return false;
    if (w->client->json) {
        nq_client_print_json(w->client, (json_t *)job, false);
        fflush(w->client->out);
    } else
        nq_progress_show(w->progress, job);
    return false;
}

int nq_verb_watch(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = nq_verb_parse_key,
        .args_doc = "[JOB|gN]",
        .doc = "Follows all jobs, one job or one group as they change. Ends when the job, or all "
               "jobs of the group, have ended; without an argument only when interrupted. With "
               "--json a line with the job's object for each change.",
        .children = nq_common_children};
    nq_verb_input input = {.client = client, .most = 1};
    nq_error err = {0};
    nq_target target;
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status = input.count > 0 ? nq_target_parse(input.arguments[0], &target, &err) : NQ_OK;
    if (status != NQ_OK)
        return nq_client_finish(client, status, &err);
    watcher w = {client, client->json ? NULL : nq_progress_for(client->out)};
    status = nq_watch(client, input.count > 0 ? &target : NULL, saw, &w, &err);
    nq_progress_end(w.progress);
    return nq_client_finish(client, status, &err);
}

/* ---- wait ---- */

typedef struct {
    nq_verb_input base;
    bool quiet;
} wait_input;

static error_t parse_wait(int key, char *argument, struct argp_state *state)
{
    wait_input *input = state->input;
    if (key != 'q')
        return nq_verb_parse_key(key, argument, state);
    input->quiet = true;
    return 0;
}

static nq_status wait_all(nq_client *client, const wait_input *input, json_t *ended, nq_error *err)
{
    nq_target target;
    nq_status status = ended ? NQ_OK : nq_fail_nomem(err, "the jobs", 0);
    for (int i = 0; status == NQ_OK && i < input->base.count; i++)
        status = nq_target_parse(input->base.arguments[i], &target, err);
    nq_progress *progress =
        status == NQ_OK && !input->quiet ? nq_progress_for(client->messages) : NULL;
    for (int i = 0; status == NQ_OK && i < input->base.count; i++) {
        nq_target_parse(input->base.arguments[i], &target, err);
        status = nq_wait_target(client, target, progress, ended, err);
    }
    nq_progress_end(progress);
    return status;
}

int nq_verb_wait(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"quiet", 'q', NULL, 0, "No progress on standard error", 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_wait,
        .args_doc = "JOB|gN...",
        .doc = "Waits until all the jobs have ended, through a restart of the daemon. The exit "
               "status is 0 if all are done, 1 if any failed, else 3 if any was cancelled. With "
               "--json their objects.",
        .children = nq_common_children};
    wait_input input = {.base = {.client = client, .least = 1, .most = -1}};
    nq_error err = {0};
    nq_verb_parse(&argp, argc, argv, &input);
    json_t *ended = json_array();
    nq_status status = wait_all(client, &input, ended, &err);
    return nq_wait_finish(client, status, ended, &err);
}
