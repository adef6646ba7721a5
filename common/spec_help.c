/* The table of the job spec as text: `netqctl spec`, `netqctl submit --help` and docs/job-spec.md.
 */
#include "common/spec.h"

#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 79, TEXT_SIZE = NQ_SPEC_VALUES / 2 };

/* "2..8", "per_tensor | per_channel", "a path": what may stand there. */
static void describe_values(const nq_spec_field *field, char text[TEXT_SIZE])
{
    size_t at = 0;
    *text = 0;
    for (size_t i = 0; field->choices && field->choices[i] && at < TEXT_SIZE; i++)
        at += (size_t)snprintf(text + at, TEXT_SIZE - at, "%s%s", i ? ", " : "", field->choices[i]);
    if (at > 0)
        return;
    if (field->type == NQ_FIELD_BOOL)
        snprintf(text, TEXT_SIZE, field->high ? "true, false" : "false");
    else if (field->type == NQ_FIELD_INT && field->high == INT64_MAX)
        snprintf(text, TEXT_SIZE, "%lld or more", field->low);
    else if (field->type == NQ_FIELD_INT || field->type == NQ_FIELD_INT_OR_AUTO)
        snprintf(text, TEXT_SIZE, "%lld..%lld%s", field->low, field->high,
                 field->type == NQ_FIELD_INT ? "" : ", auto");
    else if (field->type == NQ_FIELD_MEGABYTES)
        snprintf(text, TEXT_SIZE, "a number of MB");
    else if (field->type == NQ_FIELD_LIST)
        snprintf(text, TEXT_SIZE, "layer names");
    else
        snprintf(text, TEXT_SIZE, field->type == NQ_FIELD_PATH ? "a path" : "a name");
}

static const char *describe_standard(const nq_spec_field *field)
{
    if (!field->standard)
        return NULL;
    return *field->standard ? field->standard : "[]";
}

void nq_spec_describe(const nq_spec_field *field, char text[NQ_SPEC_VALUES])
{
    const char *standard = describe_standard(field);
    char values[TEXT_SIZE];
    describe_values(field, values);
    snprintf(text, NQ_SPEC_VALUES, "%s%s%s", values, standard ? "; default " : "",
             standard ? standard : "");
}

/* Words from column HELP_COLUMN on, broken before HELP_WIDTH; the cursor is at `column`. */
static void print_words(FILE *out, const char *text, int column)
{
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column < HELP_COLUMN)
            column += fprintf(out, "%*s", HELP_COLUMN - column, "");
        else if (column > HELP_COLUMN)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", length, text);
        text += length + (text[length] == ' ');
    }
    fputc('\n', out);
}

static void print_plain(FILE *out)
{
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        char values[NQ_SPEC_VALUES], text[1024];
        nq_spec_describe(field, values);
        snprintf(text, sizeof text, "%s [%s]", field->help, values);
        int column = fprintf(out, "  %s ", field->key);
        print_words(out, text, column);
    }
    fprintf(out, "\nPresets:\n");
    for (size_t i = 0; i < nq_preset_count; i++)
        print_words(out, nq_presets[i].help, fprintf(out, "  %s ", nq_presets[i].name));
}

static const char markdown_head[] =
    "# The job spec\n"
    "\n"
    "<!-- Printed by `netqctl spec --markdown` from the table in common/spec_table.c: change that "
    "and\n"
    "     print it again. -->\n"
    "\n"
    "A job is described by one JSON object. Everything but `model` has a default:\n"
    "\n"
    "    {\"model\": \"resnet18\", \"preset\": \"w4a8\", \"weights\": {\"granularity\": "
    "\"per_tensor\"}, \"limit\": 1000}\n"
    "\n"
    "It is built in layers: defaults, then the preset, then the keys of the spec file, then the "
    "flags of\n"
    "`netqctl submit`, where `weights.bits` is `--weights-bits` (or `--set weights.bits=4`). "
    "Unknown keys,\n"
    "values out of range and keys that contradict each other are errors that name the key.\n"
    "`netqctl submit --dry-run` prints the resolved spec: every key that means something to the "
    "job, in\n"
    "this order. Submitting that object again is the same job.\n"
    "\n"
    "Names consist of letters, digits and any of `. _ - + :`, at most 63 of them, the first a "
    "letter or a\n"
    "digit. Paths are absolute and must lie under one of the daemon's allowed roots; `netqctl` "
    "makes relative\n"
    "ones absolute.\n"
    "\n";

static void print_markdown_keys(FILE *out)
{
    fprintf(out, "## Keys\n\n| key | values | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        const char *standard = describe_standard(field), *tick = standard ? "`" : "";
        char values[TEXT_SIZE];
        describe_values(field, values);
        fprintf(out, "| `%s` | %s | %s%s%s | %s |\n", field->key, values, tick,
                standard ? standard : "", tick, field->help);
    }
    fprintf(out, "\nThe keys `weights`, `activations`, `calibrate` (but for `calibrate.source` "
                 "`none`) and `keep_8bit`\nmean nothing to the presets `float` and `quantized` and "
                 "are errors there; `quantized` means something\nto its preset only.\n");
}

static void print_markdown_presets(FILE *out)
{
    fprintf(out, "\n## Presets\n\n| preset | sets | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < nq_preset_count; i++) {
        fprintf(out, "| `%s` | %s", nq_presets[i].name,
                *nq_presets[i].settings ? "" : "the defaults above");
        for (const char *const *s = nq_presets[i].settings; *s; s += 2)
            fprintf(out, "%s`%s` %s", s == nq_presets[i].settings ? "" : ", ", s[0], s[1]);
        fprintf(out, " | %s |\n", nq_presets[i].help);
    }
}

void nq_spec_print_help(FILE *out, int markdown)
{
    if (!markdown) {
        print_plain(out);
        return;
    }
    fputs(markdown_head, out);
    print_markdown_keys(out);
    print_markdown_presets(out);
}
