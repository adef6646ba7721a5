/* netqctl status: what runs and waits, or one job in detail. */
#include "client/client.h"
#include "client/job.h"
#include "client/table.h"
#include "client/verbs.h"

#include <limits.h>

static nq_status print_table(nq_client *client, const json_t *jobs, nq_error *err)
{
    static const char *const headings[] = {"JOB",    "GROUP",    "STATE", "MODEL",
                                           "PRESET", "?DATASET", "STAGE", ">DONE",
                                           ">LEFT",  "REASON",   NULL};
    nq_table *table = nq_table_new(headings);
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        char count[NQ_TEXT], left[NQ_TEXT], outcome[NQ_LONG_TEXT];
        long long group = nq_view_int(job, "group", -1);
        const char *state = nq_view_text(job, "state");
        nq_job_count(job, count);
        nq_job_left(job, left);
        nq_job_outcome(job, outcome);
        nq_table_add_format(table, "%lld", nq_view_int(job, "job", -1));
        if (group >= 0)
            nq_table_add_format(table, "g%lld", group);
        else
            nq_table_add(table, "");
        nq_table_add_coloured(table, state, nq_colour_of_state(state));
        nq_table_add(table, nq_view_text(job, "model"));
        nq_table_add(table, nq_view_text(job, "preset"));
        nq_table_add(table, nq_view_text(job, "dataset"));
        nq_table_add(table, nq_view_text(json_object_get(job, "progress"), "stage"));
        nq_table_add(table, count);
        nq_table_add(table, left);
        nq_table_add(table, outcome);
    }
    return nq_table_print(table, client->out, err);
}

/* "1 running, 3 queued, 12 done", in the order of a job's life. */
static void print_counts(nq_client *client, const json_t *counts)
{
    static const char *const states[] = {"running", "queued", "held",
                                         "done",    "failed", "cancelled"};
    const char *comma = "";
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        long long n = nq_view_int(counts, states[i], 0);
        if (n > 0)
            fprintf(client->out, "%s%lld %s", comma, n, states[i]);
        comma = n > 0 ? ", " : comma;
    }
    fprintf(client->out, "%s\n", *comma ? "" : "the queue is empty");
}

static nq_status show_queue(nq_client *client, const json_t *filter, nq_error *err)
{
    json_t *jobs = NULL, *counts = NULL;
    nq_status status = nq_jobs_list(client, filter, LLONG_MAX, &jobs, &counts, err);
    if (status != NQ_OK)
        return status;
    if (client->json) {
        nq_jobs_print_json(client, jobs, counts);
    } else {
        if (json_array_size(jobs) > 0)
            status = print_table(client, jobs, err);
        if (status == NQ_OK && !json_object_get(filter, "group"))
            print_counts(client, counts);
    }
    json_decref(jobs);
    json_decref(counts);
    return status;
}

static nq_status show_target(nq_client *client, const char *text, nq_error *err)
{
    nq_target target;
    nq_status status = nq_target_parse(text, &target, err);
    if (status != NQ_OK)
        return status;
    if (target.group) {
        json_t *filter = json_pack("{s:I}", "group", (json_int_t)target.id);
        status = show_queue(client, filter, err);
        json_decref(filter);
        return status;
    }
    json_t *job = NULL;
    status = nq_job_fetch(client, target.id, &job, err);
    if (status == NQ_OK && client->json)
        nq_client_print_json(client, job, false);
    else if (status == NQ_OK)
        nq_job_print(job, client->out);
    json_decref(job);
    return status;
}

int nq_verb_status(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = nq_verb_parse_key,
        .args_doc = "[JOB|gN]",
        .doc = "Without an argument: the jobs that run or wait, with the reason why they wait. "
               "Otherwise one job in detail, or the jobs of a group.",
        .children = nq_common_children};
    nq_verb_input input = {.client = client, .most = 1};
    nq_error err = {0};
    nq_verb_parse(&argp, argc, argv, &input);
    if (input.count > 0)
        return nq_client_finish(client, show_target(client, input.arguments[0], &err), &err);
    json_t *filter = json_pack("{s:[s,s,s]}", "state", "running", "queued", "held");
    nq_status status = show_queue(client, filter, &err);
    json_decref(filter);
    return nq_client_finish(client, status, &err);
}
