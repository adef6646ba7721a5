#include "client/spec_options.h"

#include "client/client.h"
#include "client/specfile.h"
#include "common/spec.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_FIELDS = 64,
    DOC_SIZE = 768,
    KEY_SPEC_FILE = 0x280,
    KEY_SET,
    KEY_FIELD = 0x300 /* + its row in the table */
};

void nq_spec_options_pair(const nq_spec_options *options, struct argp_state *state,
                          const char *option, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char key[NQ_SPEC_NAME];
    if (!equals)
        argp_error(state, "--%s %s: write KEY=VALUE", option, pair);
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    options->set(options->context, state, key, equals + 1);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    nq_spec_options *options = state->input;
    if (key >= KEY_FIELD && key < KEY_FIELD + (int)nq_spec_field_count) {
        options->set(options->context, state, nq_spec_fields[key - KEY_FIELD].key, argument);
        return 0;
    }
    switch (key) {
    case KEY_SPEC_FILE:
        options->file = argument;
        return 0;
    case KEY_SET:
        nq_spec_options_pair(options, state, "set", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *placeholder(const nq_spec_field *field)
{
    static const char *const names[] = {
        [NQ_FIELD_STRING] = "NAME",  [NQ_FIELD_PATH] = "FILE",
        [NQ_FIELD_INT] = "N",        [NQ_FIELD_INT_OR_AUTO] = "N|auto",
        [NQ_FIELD_MEGABYTES] = "MB", [NQ_FIELD_BOOL] = "true|false",
        [NQ_FIELD_ENUM] = "WORD",    [NQ_FIELD_LIST] = "LAYER[,LAYER]"};
    return strcmp(field->key, "model") == 0 ? "NAME[,NAME]" : names[field->type];
}

/* The table's rows as options, once for the process. */
static const struct argp_option *all_options(void)
{
    static const struct argp_option own[] = {
        {NULL, 0, NULL, 0, "The job (netqctl spec says more):", 2},
        {"spec", KEY_SPEC_FILE, "FILE", 0,
         "The spec file, as if given as argument; - is standard input", 2},
        {"set", KEY_SET, "KEY=VALUE", 0, "Set any key of the spec, as weights.bits=4", 2}};
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

const struct argp_child *nq_spec_children(void)
{
    static struct argp argp = {.parser = parse};
    static struct argp_child children[3];
    argp.options = all_options();
    children[0] = nq_common_children[0];
    children[1] = (struct argp_child){&argp, 0, NULL, 0};
    return children;
}

long long nq_priority_parse(struct argp_state *state, const char *text)
{
    char *end;
    errno = 0;
    long long priority = strtoll(text, &end, 10);
    if (!*text || *end || errno || priority < -1000 || priority > 1000)
        argp_error(state, "--priority: \"%s\" is not in -1000..1000", text);
    return priority;
}

char *nq_preset_help(int key, const char *text, const char *more)
{
    char *list = NULL;
    size_t size;
    FILE *stream = key == ARGP_KEY_HELP_POST_DOC ? open_memstream(&list, &size) : NULL;
    if (!stream)
        return (char *)text;
    fputs("Presets:\n", stream);
    for (size_t i = 0; i < nq_preset_count; i++)
        fprintf(stream, "  %-10s %s\n", nq_presets[i].name, nq_presets[i].help);
    fprintf(stream, "\n%s", more);
    fclose(stream);
    return list;
}
