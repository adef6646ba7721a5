/* netqctl models and spec, and what the verbs that print a reply share. */
#include "client/catalogue.h"

#include "client/format.h"
#include "client/table.h"
#include "client/verbs.h"
#include "common/spec.h"

int nq_catalogue(nq_client *client, json_t *request, const char *member, nq_reply_print print)
{
    nq_error err = {0};
    json_t *reply = NULL;
    nq_status status = nq_client_ask(client, request, &reply, &err);
    if (status == NQ_OK && !json_is_array(json_object_get(reply, member)))
        status = nq_fail(&err, NQ_ERR_INTERNAL, "the daemon's reply has no %s", member);
    if (status == NQ_OK && client->json)
        nq_client_print_json(client, reply, true);
    else if (status == NQ_OK)
        status = print(client, reply, &err);
    json_decref(reply);
    return nq_client_finish(client, status, &err);
}

/* ---- models ---- */

static nq_status print_models(nq_client *client, const json_t *reply, nq_error *err)
{
    static const char *const headings[] = {"NAME",          "ARCHITECTURE", ">SIZE",
                                           "?>FLOAT TOP-1", "CHECKPOINT",   NULL};
    const json_t *models = json_object_get(reply, "models");
    nq_table *table = nq_table_new(headings);
    size_t i;
    json_t *model;
    json_array_foreach(models, i, model)
    {
        char size[NQ_TEXT], top1[NQ_TEXT];
        nq_format_bytes(nq_view_int(model, "bytes", -1), size);
        nq_format_real(nq_view_real(model, "float_top1"), 2, top1);
        nq_table_add(table, nq_view_text(model, "name"));
        nq_table_add(table, nq_view_text(model, "arch"));
        nq_table_add(table, size);
        nq_table_add(table, top1);
        nq_table_add(table, nq_view_text(model, "checkpoint"));
    }
    if (json_array_size(models) == 0)
        fprintf(client->messages, "netqctl: the daemon's configuration names no model\n");
    return nq_table_print(table, client->out, err);
}

int nq_verb_models(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {.parser = nq_verb_parse_key,
                                     .doc = "Lists the models that the daemon's configuration "
                                            "names, with their checkpoints.",
                                     .children = nq_common_children};
    nq_verb_input input = {.client = client};
    nq_verb_parse(&argp, argc, argv, &input);
    return nq_catalogue(client, nq_request("models"), "models", print_models);
}

/* ---- spec ---- */

typedef struct {
    nq_verb_input base;
    bool markdown;
} spec_input;

static error_t parse_spec(int key, char *argument, struct argp_state *state)
{
    spec_input *input = state->input;
    if (key != 'm')
        return nq_verb_parse_key(key, argument, state);
    input->markdown = true;
    return 0;
}

static json_t *spec_json(void)
{
    json_t *keys = json_array(), *presets = json_array();
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        char values[NQ_SPEC_VALUES];
        nq_spec_describe(&nq_spec_fields[i], values);
        json_array_append_new(
            keys, json_pack("{s:s, s:s, s:s?, s:s}", "key", nq_spec_fields[i].key, "values", values,
                            "default", nq_spec_fields[i].standard, "help", nq_spec_fields[i].help));
    }
    for (size_t i = 0; i < nq_preset_count; i++)
        json_array_append_new(presets, json_pack("{s:s, s:s}", "name", nq_presets[i].name, "help",
                                                 nq_presets[i].help));
    return json_pack("{s:o, s:o}", "keys", keys, "presets", presets);
}

int nq_verb_spec(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"markdown", 'm', NULL, 0, "As docs/job-spec.md", 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_spec,
        .doc = "Prints every key of a job spec with its values, default and meaning, and the "
               "presets. Asks no daemon.",
        .children = nq_common_children};
    spec_input input = {.base = {.client = client}};
    nq_verb_parse(&argp, argc, argv, &input);
    if (client->json) {
        json_t *table = spec_json();
        nq_client_print_json(client, table, false);
        json_decref(table);
    } else {
        nq_spec_print_help(client->out, input.markdown);
    }
    return NQ_EXIT_DONE;
}
