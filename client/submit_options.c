#include "client/submit_options.h"

#include "common/spec.h"
#include <string.h>

enum { KEY_WAIT = 0x200, KEY_PARSABLE, KEY_DRY_RUN, KEY_HOLD, KEY_PRIORITY, KEY_TOKEN };

/* One --model may name several. */
static void add_models(nq_submit_input *input, struct argp_state *state, const char *text)
{
    for (;; text++) {
        char name[2 * NQ_SPEC_NAME];
        int length = (int)strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", length, text);
        if (!nq_spec_name_valid(name))
            argp_error(state, "model: \"%s\" is not a name", name);
        json_array_append_new(input->models, json_string(name));
        text += length;
        if (!*text)
            return;
    }
}

static void set_flag(void *context, struct argp_state *state, const char *key, const char *text)
{
    nq_submit_input *input = context;
    nq_error err = {0};
    if (strcmp(key, "model") == 0)
        add_models(input, state, text);
    else if (nq_spec_set(input->flags, key, text, &err) != NQ_OK)
        argp_error(state, "%s", err.text);
}

static void check(const nq_submit_input *input, struct argp_state *state)
{
    const char *file = input->options.file;
    if (input->base.count > 0 && file)
        argp_error(state, "two spec files: %s and %s", file, input->base.arguments[0]);
    if (input->parsable && input->base.client->json)
        argp_error(state, "--parsable and --json exclude each other");
    if (input->dry_run && input->wait)
        argp_error(state, "--dry-run queues nothing to wait for");
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    nq_submit_input *input = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[1] = &input->options;
        return nq_verb_parse_key(key, argument, state);
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
        input->priority = nq_priority_parse(state, argument);
        return 0;
    case KEY_TOKEN:
        input->token = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        check(input, state);
        return 0;
    default:
        return nq_verb_parse_key(key, argument, state);
    }
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "Submitting:", 1},
    {"wait", KEY_WAIT, NULL, 0, "Show progress until the end; exit with the result", 1},
    {"parsable", KEY_PARSABLE, NULL, 0, "Print the id alone (12, or g3 for a group)", 1},
    {"dry-run", KEY_DRY_RUN, NULL, 0,
     "Queue nothing; print the resolved spec, sizes, time and disk space", 1},
    {"hold", KEY_HOLD, NULL, 0, "Do not start before netqctl release", 1},
    {"priority", KEY_PRIORITY, "N", 0, "-1000..1000, higher ones first (default 0)", 1},
    {"token", KEY_TOKEN, "TEXT", 0, "The same token submitted again is the same job, not another",
     1},
    {0}};

static char *list_presets(int key, const char *text, void *input)
{
    (void)input;
    return nq_preset_help(
        key, text,
        "Several models make one group. Relative paths are taken from the working directory. "
        "Flags override the spec file, which overrides the preset.");
}

nq_status nq_submit_parse(int argc, char **argv, nq_submit_input *input, nq_error *err)
{
    const struct argp argp = {
        .options = own_options,
        .parser = parse,
        .args_doc = "[SPEC.json]",
        .doc = "Queues a job: a network, how it is quantized, and the images to score it on.\v ",
        .children = nq_spec_children(),
        .help_filter = list_presets};
    input->base.most = 1;
    input->options = (nq_spec_options){.set = set_flag, .context = input};
    input->flags = json_object();
    input->models = json_array();
    if (!input->flags || !input->models)
        return nq_fail_nomem(err, "the spec", 0);
    nq_verb_parse(&argp, argc, argv, input);
    return NQ_OK;
}

void nq_submit_free(nq_submit_input *input)
{
    json_decref(input->flags);
    json_decref(input->models);
}
