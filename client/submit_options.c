#include "client/submit_options.h"

#include "client/specfile.h"
#include "common/spec.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_FIELDS = 64,
    DOC_SIZE = 768,
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

static void set_flag(nq_submit_input *input, struct argp_state *state, const char *key,
                     const char *text)
{
    nq_error err = {0};
    if (strcmp(key, "model") == 0)
        add_models(input, state, text);
    else if (nq_spec_set(input->flags, key, text, &err) != NQ_OK)
        argp_error(state, "%s", err.text);
}

static void set_pair(nq_submit_input *input, struct argp_state *state, const char *pair)
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
    nq_submit_input *input = state->input;
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
    static const char *const names[] = {
        [NQ_FIELD_STRING] = "NAME", [NQ_FIELD_PATH] = "FILE",
        [NQ_FIELD_INT] = "N",       [NQ_FIELD_BOOL] = "true|false",
        [NQ_FIELD_ENUM] = "WORD",   [NQ_FIELD_LIST] = "LAYER[,LAYER]"};
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
    static char flags[MOST_FIELDS][NQ_SPEC_NAME], docs[MOST_FIELDS][DOC_SIZE];
    if (options[0].doc)
        return options;
    memcpy(options, own, sizeof own);
    for (size_t i = 0; i < nq_spec_field_count && i < MOST_FIELDS; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        char values[NQ_SPEC_VALUES];
        nq_spec_describe(field, values);
        snprintf(docs[i], sizeof docs[i], "%s [%s]", field->help, values);
        nq_specfile_flag(field->key, flags[i], sizeof flags[i]);
        options[OWN + i] = (struct argp_option){.name = flags[i],
                                                .key = KEY_FIELD + (int)i,
                                                .arg = placeholder(field),
                                                .doc = docs[i],
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

nq_status nq_submit_parse(int argc, char **argv, nq_submit_input *input, nq_error *err)
{
    const struct argp argp = {
        .options = all_options(),
        .parser = parse,
        .args_doc = "[SPEC.json]",
        .doc = "Queues a job: a network, how it is quantized, and the images to score it on.\v ",
        .children = nq_common_children,
        .help_filter = list_presets};
    input->base.most = 1;
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
