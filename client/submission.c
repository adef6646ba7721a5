#include "client/submission.h"

#include "client/waiting.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

nq_status nq_submission_send(nq_client *client, json_t *request, json_t **reply, nq_error *err)
{
    json_t *again = NULL;
    *reply = NULL;
    nq_status status = nq_client_connect(client, err);
    if (status != NQ_OK) {
        json_decref(request);
        return status;
    }
    if (json_object_get(request, "token") || json_object_get(request, "dry_run"))
        again = json_deep_copy(request);
    status = nq_client_ask(client, request, reply, err);
    if (status != NQ_OK && client->lost && again && nq_client_reconnect(client, err) == NQ_OK)
        return nq_client_ask(client, again, reply, err);
    json_decref(again);
    return status;
}

nq_status nq_submission_target(const json_t *reply, nq_target *target, char text[NQ_TEXT],
                               nq_error *err)
{
    const json_t *jobs = json_object_get(reply, "jobs");
    long long group = nq_view_int(reply, "group", -1);
    const json_t *first = json_array_get(jobs, 0);
    if (!json_is_integer(first))
        return nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to submit names no job");
    *target = (nq_target){group >= 0, group >= 0 ? group : json_integer_value(first)};
    snprintf(text, NQ_TEXT, "%s%lld", target->group ? "g" : "", target->id);
    return NQ_OK;
}

static char interrupted_text[300];

static void interrupted(int signal_number)
{
    ssize_t written = write(STDERR_FILENO, interrupted_text, strlen(interrupted_text));
    (void)written;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

nq_status nq_submission_wait(nq_client *client, nq_target target, const char *name, json_t *ended,
                             nq_error *err)
{
    snprintf(interrupted_text, sizeof interrupted_text,
             "\nnetqctl: %s goes on without this terminal (netqctl wait %s, netqctl cancel %s)\n",
             name, name, name);
    signal(SIGINT, interrupted);
    nq_progress *progress = nq_progress_for(client->messages);
    nq_status status = nq_wait_target(client, target, progress, ended, err);
    nq_progress_end(progress);
    signal(SIGINT, SIG_DFL);
    return status;
}
