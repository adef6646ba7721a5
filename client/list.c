/* netqctl list: all jobs, with filters. */
#include "client/client.h"
#include "client/job.h"
#include "client/table.h"
#include "client/verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MINE = 0x200, KEY_UID, KEY_AFTER, KEY_LIMIT };

typedef struct {
    nq_verb_input base;
    json_t *filter;
    long long most;
} list_input;

static long long number(struct argp_state *state, const char *name, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        argp_error(state, "--%s: \"%s\" is not a number", name, text);
    return value;
}

static void add_states(json_t *filter, const char *text)
{
    json_t *states = json_object_get(filter, "state");
    if (!states && json_object_set_new(filter, "state", json_array()) == 0)
        states = json_object_get(filter, "state");
    for (;; text++) {
        size_t length = strcspn(text, ",");
        json_array_append_new(states, json_stringn(text, length));
        text += length;
        if (!*text)
            return;
    }
}

static void add_group(struct argp_state *state, json_t *filter, const char *text)
{
    nq_target target;
    nq_error err = {0};
    nq_status status = nq_target_parse(text, &target, &err);
    if (status != NQ_OK)
        argp_error(state, "--group: %s", err.text);
    json_object_set_new(filter, "group", json_integer(target.id));
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    list_input *input = state->input;
    nq_error err = {0};
    double since;
    switch (key) {
    case 'S':
        add_states(input->filter, argument);
        return 0;
    case 'm':
        return json_object_set_new(input->filter, "model", json_string(argument)), 0;
    case 'p':
        return json_object_set_new(input->filter, "preset", json_string(argument)), 0;
    case 'd':
        return json_object_set_new(input->filter, "dataset", json_string(argument)), 0;
    case 'g':
        return add_group(state, input->filter, argument), 0;
    case KEY_MINE:
        return json_object_set_new(input->filter, "mine", json_true()), 0;
    case KEY_UID:
        json_object_set_new(input->filter, "uid", json_integer(number(state, "uid", argument)));
        return 0;
    case 't':
        if (nq_format_parse_since(argument, time(NULL), &since, &err) != NQ_OK)
            argp_error(state, "--since: %s", err.text);
        return json_object_set_new(input->filter, "since", json_real(since)), 0;
    case KEY_AFTER:
        json_object_set_new(input->filter, "after", json_integer(number(state, "after", argument)));
        return 0;
    case 'n':
        input->most = number(state, "limit", argument);
        return 0;
    default:
        return nq_verb_parse_key(key, argument, state);
    }
}

static const struct argp_option options[] = {
    {"state", 'S', "STATE[,STATE]", 0, "queued, held, running, done, failed or cancelled", 0},
    {"model", 'm', "NAME", 0, "Jobs of this model", 0},
    {"preset", 'p', "NAME", 0, "Jobs of this preset", 0},
    {"dataset", 'd', "NAME", 0, "Jobs on this dataset", 0},
    {"group", 'g', "gN", 0, "Jobs of this group", 0},
    {"mine", KEY_MINE, NULL, 0, "Jobs that I submitted", 0},
    {"uid", KEY_UID, "N", 0, "Jobs that this user submitted", 0},
    {"since", 't', "TIME", 0, "Submitted since 2026-11-24, \"2026-11-24 13:05\", or 2h ago", 0},
    {"after", KEY_AFTER, "JOB", 0, "Jobs with a higher number", 0},
    {"limit", 'n', "N", 0, "At most so many, the oldest", 0},
    {0}};

static nq_status print_table(nq_client *client, const json_t *jobs, nq_error *err)
{
    static const char *const headings[] = {"JOB",    "GROUP",    "STATE",      "MODEL",
                                           "PRESET", "?DATASET", "?SUBMITTED", "?>TOOK",
                                           ">TOP-1", ">RATIO",   "REASON",     NULL};
    nq_table *table = nq_table_new(headings);
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        const json_t *result = json_object_get(job, "result");
        const char *state = nq_view_text(job, "state");
        char submitted[NQ_TEXT], took[NQ_TEXT], top1[NQ_TEXT], ratio[NQ_TEXT], group[NQ_TEXT] = "";
        nq_format_time(nq_view_real(job, "submitted"), submitted);
        nq_format_duration(nq_view_real(job, "ended") - nq_view_real(job, "started"), took);
        nq_format_real(nq_view_real(result, "top1"), 2, top1);
        nq_format_real(nq_view_real(result, "compression_ratio"), 2, ratio);
        if (nq_view_int(job, "group", -1) >= 0)
            snprintf(group, sizeof group, "g%lld", nq_view_int(job, "group", -1));
        nq_table_add_format(table, "%lld", nq_view_int(job, "job", -1));
        nq_table_add(table, group);
        nq_table_add_coloured(table, state, nq_colour_of_state(state));
        nq_table_add(table, nq_view_text(job, "model"));
        nq_table_add(table, nq_view_text(job, "preset"));
        nq_table_add(table, nq_view_text(job, "dataset"));
        nq_table_add(table, submitted);
        nq_table_add(table, took);
        nq_table_add(table, top1);
        nq_table_add(table, ratio);
        nq_table_add(table, nq_view_text(job, "reason"));
    }
    return nq_table_print(table, client->out, err);
}

static nq_status list(nq_client *client, const list_input *input, nq_error *err)
{
    json_t *jobs = NULL, *counts = NULL;
    nq_status status = nq_jobs_list(client, input->filter, input->most, &jobs, &counts, err);
    if (status != NQ_OK)
        return status;
    if (client->json) {
        nq_jobs_print_json(client, jobs, counts);
    } else if (json_array_size(jobs) > 0)
        status = print_table(client, jobs, err);
    else
        fprintf(client->messages, "netqctl: no such jobs\n");
    json_decref(jobs);
    json_decref(counts);
    return status;
}

int nq_verb_list(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .doc = "Lists jobs, oldest first. Several filters must all "
                                            "hold; several states are alternatives.",
                                     .children = nq_common_children};
    list_input input = {.base = {.client = client}, .filter = json_object(), .most = LLONG_MAX};
    nq_error err = {0};
    if (!input.filter)
        return nq_client_finish(client, nq_fail_nomem(&err, "the request", 0), &err);
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status = list(client, &input, &err);
    json_decref(input.filter);
    return nq_client_finish(client, status, &err);
}
