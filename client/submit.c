/* netqctl submit: from flags and a spec file to one job or a group. */
#include "client/client.h"
#include "client/job.h"
#include "client/specfile.h"
#include "client/table.h"
#include "client/verbs.h"
#include "client/waiting.h"
#include "common/spec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MOST_FIELDS = 64,
    KEY_SPEC_FILE = 0x200,
    KEY_SET,
    KEY_WAIT,
    KEY_PARSABLE,
    KEY_DRY_RUN,
    KEY_HOLD,
    KEY_PRIORITY,
    KEY_TOKEN,
    KEY_FIELD = 0x300 /* + its row in the table */
};

typedef struct {
    nq_verb_input base;
    const char *file;
    json_t *flags;  /* what the flags set, as a spec */
    json_t *models; /* array: each --model */
    bool wait, parsable, dry_run, hold;
    long long priority;
    const char *token;
} submit_input;

/* ---- the command line ---- */

static void set_flag(submit_input *input, struct argp_state *state, const char *key,
                     const char *text)
{
    nq_error err = {0};
    if (strcmp(key, "model") == 0) {
        for (;; text++) {
            size_t length = strcspn(text, ",");
            json_array_append_new(input->models, json_stringn(text, length));
            text += length;
            if (!*text)
                return;
        }
    }
    if (nq_spec_set(input->flags, key, text, &err) != NQ_OK)
        argp_error(state, "%s", err.text);
}

static void set_pair(submit_input *input, struct argp_state *state, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char key[NQ_SPEC_NAME];
    if (!equals)
        argp_error(state, "--set %s: write KEY=VALUE", pair);
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    set_flag(input, state, key, equals + 1);
}

static long long priority_of(struct argp_state *state, const char *text)
{
    char *end;
    errno = 0;
    long long priority = strtoll(text, &end, 10);
    if (!*text || *end || errno || priority < -1000 || priority > 1000)
        argp_error(state, "--priority: \"%s\" is not in -1000..1000", text);
    return priority;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    submit_input *input = state->input;
    if (key >= KEY_FIELD && key < KEY_FIELD + (int)nq_spec_field_count) {
        set_flag(input, state, nq_spec_fields[key - KEY_FIELD].key, argument);
        return 0;
    }
    switch (key) {
    case KEY_SPEC_FILE:
        input->file = argument;
        return 0;
    case KEY_SET:
        set_pair(input, state, argument);
        return 0;
    case KEY_WAIT:
        input->wait = true;
        return 0;
    case KEY_PARSABLE:
        input->parsable = true;
        return 0;
    case KEY_DRY_RUN:
        input->dry_run = true;
        return 0;
    case KEY_HOLD:
        input->hold = true;
        return 0;
    case KEY_PRIORITY:
        input->priority = priority_of(state, argument);
        return 0;
    case KEY_TOKEN:
        input->token = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (input->base.count > 0 && input->file)
            argp_error(state, "two spec files: %s and %s", input->file, input->base.arguments[0]);
        if (input->parsable && input->base.client->json)
            argp_error(state, "--parsable and --json exclude each other");
        if (input->dry_run && input->wait)
            argp_error(state, "--dry-run queues nothing to wait for");
        return 0;
    default:
        return nq_verb_parse_key(key, argument, state);
    }
}

static const char *placeholder(const nq_spec_field *field)
{
    static const char *const names[] = {[NQ_FIELD_STRING] = "NAME",
                                        [NQ_FIELD_PATH] = "FILE",
                                        [NQ_FIELD_INT] = "N",
                                        [NQ_FIELD_ENUM] = "WORD",
                                        [NQ_FIELD_LIST] = "LAYER[,LAYER]"};
    return strcmp(field->key, "model") == 0 ? "NAME[,NAME]" : names[field->type];
}

/* The table's rows as options, once for the process. */
static const struct argp_option *all_options(void)
{
    static const struct argp_option own[] = {
        {NULL, 0, NULL, 0, "Submitting:", 1},
        {"spec", KEY_SPEC_FILE, "FILE", 0,
         "The spec file, as if given as argument; - is "
         "standard input",
         1},
        {"set", KEY_SET, "KEY=VALUE", 0, "Set any key of the spec, as weights.bits=4", 1},
        {"wait", KEY_WAIT, NULL, 0, "Show progress until the end; exit with the result", 1},
        {"parsable", KEY_PARSABLE, NULL, 0, "Print the id alone (12, or g3 for a group)", 1},
        {"dry-run", KEY_DRY_RUN, NULL, 0,
         "Queue nothing; print the resolved spec, sizes, time and disk space", 1},
        {"hold", KEY_HOLD, NULL, 0, "Do not start before netqctl release", 1},
        {"priority", KEY_PRIORITY, "N", 0, "-1000..1000, higher ones first (default 0)", 1},
        {"token", KEY_TOKEN, "TEXT", 0,
         "The same token submitted again is the same job, not another", 1},
        {NULL, 0, NULL, 0, "The job (netqctl spec says more):", 2}};
    enum { OWN = sizeof own / sizeof *own };
    static struct argp_option options[OWN + MOST_FIELDS + 1];
    static char flags[MOST_FIELDS][NQ_SPEC_NAME];
    if (options[0].doc)
        return options;
    memcpy(options, own, sizeof own);
    for (size_t i = 0; i < nq_spec_field_count && i < MOST_FIELDS; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        nq_specfile_flag(field->key, flags[i], sizeof flags[i]);
        options[OWN + i] = (struct argp_option){.name = flags[i],
                                                .key = KEY_FIELD + (int)i,
                                                .arg = placeholder(field),
                                                .doc = field->help,
                                                .group = 2};
    }
    return options;
}

static char *list_presets(int key, const char *text, void *input)
{
    (void)input;
    char *list = NULL;
    size_t size;
    FILE *stream = key == ARGP_KEY_HELP_POST_DOC ? open_memstream(&list, &size) : NULL;
    if (!stream)
        return (char *)text;
    fputs("Presets:\n", stream);
    for (size_t i = 0; i < nq_preset_count; i++)
        fprintf(stream, "  %-10s %s\n", nq_presets[i].name, nq_presets[i].help);
    fputs("\nSeveral models make one group. Relative paths are taken from the working directory. "
          "Flags override the spec file, which overrides the preset.",
          stream);
    fclose(stream);
    return list;
}

/* ---- the request ---- */

/* Puts the members of `flags` over those of `spec`, one level deep. */
static int overlay(json_t *spec, const json_t *flags)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)flags, key, value)
    {
        json_t *below = json_object_get(spec, key);
        int failed = json_is_object(value) && json_is_object(below)
                         ? json_object_update(below, value)
                         : json_object_set(spec, key, value);
        if (failed)
            return failed;
    }
    return 0;
}

static nq_status written_spec(const submit_input *input, json_t **spec, nq_error *err)
{
    const char *file = input->base.count > 0 ? input->base.arguments[0] : input->file;
    nq_status status = NQ_OK;
    *spec = NULL;
    if (file)
        status = nq_specfile_load(file, spec, err);
    else
        *spec = json_object();
    if (status == NQ_OK && (!*spec || overlay(*spec, input->flags) != 0))
        status = nq_fail_nomem(err, "the spec", 0);
    if (status == NQ_OK)
        status = nq_specfile_make_absolute(*spec, err);
    if (status == NQ_OK && json_array_size(input->models) > 1 &&
        (json_object_get(*spec, "checkpoint") || json_object_get(*spec, "quantized")))
        status = nq_fail(err, NQ_ERR_INPUT,
                         "checkpoint and quantized are one model's: they cannot go with several "
                         "models");
    return status;
}

/* A token of our own makes it safe to send a request again after a broken connection. */
static json_t *token_of(const submit_input *input)
{
    unsigned char random[16];
    char text[2 * sizeof random + 1];
    if (input->token)
        return json_string(input->token);
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return NULL;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return json_string(text);
}

static json_t *specs_of(const submit_input *input, const json_t *spec)
{
    json_t *specs = json_array();
    for (size_t i = 0; specs && i < json_array_size(input->models); i++) {
        json_t *copy = json_deep_copy(spec);
        json_object_set(copy, "model", json_array_get(input->models, i));
        json_array_append_new(specs, copy);
    }
    return specs;
}

static nq_status build_request(const submit_input *input, json_t **request, nq_error *err)
{
    json_t *spec = NULL;
    *request = NULL;
    nq_status status = written_spec(input, &spec, err);
    if (status == NQ_OK)
        *request = nq_request("submit");
    if (*request) {
        if (json_array_size(input->models) > 1)
            json_object_set_new(*request, "specs", specs_of(input, spec));
        else {
            if (json_array_size(input->models) == 1)
                json_object_set(spec, "model", json_array_get(input->models, 0));
            json_object_set(*request, "spec", spec);
        }
        if (input->priority)
            json_object_set_new(*request, "priority", json_integer(input->priority));
        if (input->hold)
            json_object_set_new(*request, "hold", json_true());
        if (input->dry_run)
            json_object_set_new(*request, "dry_run", json_true());
        else
            json_object_set_new(*request, "token", token_of(input));
    }
    json_decref(spec);
    return status;
}

static nq_status send_submit(nq_client *client, const submit_input *input, json_t **reply,
                             nq_error *err)
{
    json_t *request = NULL;
    nq_status status = build_request(input, &request, err);
    if (status == NQ_OK)
        status = nq_client_connect(client, err);
    if (status != NQ_OK) {
        json_decref(request);
        return status;
    }
    json_t *again = json_deep_copy(request);
    status = nq_client_ask(client, request, reply, err);
    if (status != NQ_OK && client->lost && again && !input->dry_run &&
        nq_client_reconnect(client, err) == NQ_OK)
        return nq_client_ask(client, again, reply, err);
    json_decref(again);
    return status;
}

/* ---- what comes back ---- */

static void print_plan(const nq_client *client, const json_t *plan)
{
    char before[NQ_TEXT], after[NQ_TEXT], seconds[NQ_TEXT], disk[NQ_TEXT];
    char *spec = json_dumps(json_object_get(plan, "spec"), JSON_REAL_PRECISION(15));
    nq_format_bytes(nq_view_int(plan, "original_model_size", -1), before);
    nq_format_bytes(nq_view_int(plan, "new_model_size", -1), after);
    nq_format_bytes(nq_view_int(plan, "disk_bytes", -1), disk);
    nq_format_duration(nq_view_real(plan, "seconds"), seconds);
    fprintf(client->out, "%s\n", spec ? spec : "");
    fprintf(client->out, "  model file   about %s, was %s\n", after, before);
    fprintf(client->out, "  images       %lld\n", nq_view_int(plan, "images", -1));
    fprintf(client->out, "  time         %s%s\n", strcmp(seconds, "-") ? "about " : "",
            strcmp(seconds, "-") ? seconds : "not known yet: no such job has run here");
    fprintf(client->out, "  disk space   %s\n", disk);
    free(spec);
}

static nq_status print_plans(nq_client *client, json_t *reply, nq_error *err)
{
    const json_t *plans = json_object_get(reply, "plans");
    if (!json_is_array(plans))
        return nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to submit has no plans");
    size_t i;
    json_t *plan;
    if (client->json)
        nq_client_print_json(client, reply, true);
    else
        json_array_foreach(plans, i, plan)
        {
            print_plan(client, plan);
        }
    return NQ_OK;
}

/* What to wait for, and its text: "12" or "g3". */
static nq_status target_of(const json_t *reply, nq_target *target, char text[NQ_TEXT],
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

static void print_submitted(nq_client *client, const submit_input *input, json_t *reply,
                            const char *name)
{
    const json_t *jobs = json_object_get(reply, "jobs");
    bool known = json_is_true(json_object_get(reply, "duplicate"));
    if (input->parsable)
        fprintf(client->out, "%s\n", name);
    else if (client->json && !input->wait)
        nq_client_print_json(client, reply, true);
    else if (!client->json) {
        fprintf(client->out, "%s %s %s", known ? "already submitted:" : "submitted",
                json_is_integer(json_object_get(reply, "group")) ? "group" : "job", name);
        for (size_t i = 0; i < json_array_size(jobs) && *name == 'g'; i++)
            fprintf(client->out, "%s %lld", i ? "," : ": jobs",
                    json_integer_value(json_array_get(jobs, i)));
        fputc('\n', client->out);
    }
    fflush(client->out);
}

/* ---- waiting ---- */

static char interrupted_text[160];

static void interrupted(int signal_number)
{
    ssize_t written = write(STDERR_FILENO, interrupted_text, strlen(interrupted_text));
    (void)written;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int wait_for(nq_client *client, nq_target target, const char *name)
{
    nq_error err = {0};
    json_t *ended = json_array();
    snprintf(interrupted_text, sizeof interrupted_text,
             "\nnetqctl: %s goes on without this terminal (netqctl wait %s, netqctl cancel %s)\n",
             name, name, name);
    signal(SIGINT, interrupted);
    nq_progress *progress = nq_progress_for(client->messages);
    nq_status status = nq_wait_target(client, target, progress, ended, &err);
    nq_progress_end(progress);
    signal(SIGINT, SIG_DFL);
    int code = nq_client_finish(client, status, &err);
    if (status == NQ_OK) {
        code = nq_wait_exit(ended);
        json_t *all = json_pack("{s:O}", "jobs", ended);
        if (client->json)
            nq_client_print_json(client, all, false);
        json_decref(all);
    }
    json_decref(ended);
    return code;
}

static int submit(nq_client *client, const submit_input *input)
{
    nq_error err = {0};
    json_t *reply = NULL;
    nq_target target = {0};
    char name[NQ_TEXT] = "";
    nq_status status = send_submit(client, input, &reply, &err);
    if (status == NQ_OK && input->dry_run)
        status = print_plans(client, reply, &err);
    else if (status == NQ_OK)
        status = target_of(reply, &target, name, &err);
    if (status == NQ_OK && !input->dry_run)
        print_submitted(client, input, reply, name);
    json_decref(reply);
    if (status == NQ_OK && input->wait)
        return wait_for(client, target, name);
    return nq_client_finish(client, status, &err);
}

int nq_verb_submit(nq_client *client, int argc, char **argv)
{
    const struct argp argp = {
        .options = all_options(),
        .parser = parse,
        .args_doc = "[SPEC.json]",
        .doc = "Queues a job: a network, how it is quantized, and the images to score it on.\v ",
        .children = nq_common_children,
        .help_filter = list_presets};
    submit_input input = {
        .base = {.client = client, .most = 1}, .flags = json_object(), .models = json_array()};
    nq_verb_parse(&argp, argc, argv, &input);
    int code = submit(client, &input);
    json_decref(input.flags);
    json_decref(input.models);
    return code;
}
