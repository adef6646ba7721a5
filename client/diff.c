/* netqctl diff: labels that two jobs give differently, class by class. */
#include "client/catalogue.h"
#include "client/format.h"
#include "client/table.h"
#include "client/verbs.h"

enum { EXAMPLES = 10 };

static nq_status print_classes(nq_client *client, const json_t *classes, nq_error *err)
{
    static const char *const headings[] = {">CLASS",   ">IMAGES", ">CHANGED", ">A RIGHT",
                                           ">B RIGHT", "NAME",    NULL};
    nq_table *table = nq_table_new(headings);
    size_t i;
    json_t *class;
    json_array_foreach(classes, i, class)
    {
        nq_table_add_format(table, "%lld", nq_view_int(class, "class", -1));
        nq_table_add_format(table, "%lld", nq_view_int(class, "images", -1));
        nq_table_add_format(table, "%lld", nq_view_int(class, "changed", -1));
        nq_table_add_format(table, "%lld", nq_view_int(class, "a_right", -1));
        nq_table_add_format(table, "%lld", nq_view_int(class, "b_right", -1));
        nq_table_add(table, nq_view_text(class, "name"));
    }
    return nq_table_print(table, client->out, err);
}

static nq_status print_examples(nq_client *client, const json_t *examples, nq_error *err)
{
    static const char *const headings[] = {">CLASS", ">A", ">B", "IMAGE", NULL};
    nq_table *table = nq_table_new(headings);
    for (size_t i = 0; i < json_array_size(examples) && i < EXAMPLES; i++) {
        const json_t *example = json_array_get(examples, i);
        nq_table_add_format(table, "%lld", nq_view_int(example, "class", -1));
        nq_table_add_format(table, "%lld", nq_view_int(example, "a", -1));
        nq_table_add_format(table, "%lld", nq_view_int(example, "b", -1));
        nq_table_add(table, nq_view_text(example, "image"));
    }
    return nq_table_print(table, client->out, err);
}

static nq_status print_diff(nq_client *client, const json_t *reply, nq_error *err)
{
    const json_t *classes = json_object_get(reply, "classes");
    const json_t *examples = json_object_get(reply, "examples");
    fprintf(client->out, "%lld of %lld labels differ; A has %lld right, B %lld\n",
            nq_view_int(reply, "changed", -1), nq_view_int(reply, "images", -1),
            nq_view_int(reply, "a_right", -1), nq_view_int(reply, "b_right", -1));
    fprintf(client->out,
            "A alone has %lld right, B alone %lld: B loses %.2f points of top-1, standard error "
            "%.2f\n",
            nq_view_int(reply, "lost", -1), nq_view_int(reply, "won", -1),
            nq_view_real(reply, "drop"), nq_view_real(reply, "standard_error"));
    if (json_array_size(classes) == 0)
        return NQ_OK;
    fputc('\n', client->out);
    nq_status status = print_classes(client, classes, err);
    if (status != NQ_OK || json_array_size(examples) == 0)
        return status;
    fprintf(client->out, "\nexamples (--json has up to 100):\n");
    return print_examples(client, examples, err);
}

int nq_verb_diff(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = nq_verb_parse_key,
        .args_doc = "A B",
        .doc = "Compares the labels of two jobs on the same dataset: how many changed, in which "
               "classes, and the first images.",
        .children = nq_common_children};
    nq_verb_input input = {.client = client, .least = 2, .most = 2};
    nq_error err = {0};
    nq_target targets[2] = {{0}};
    nq_verb_parse(&argp, argc, argv, &input);
    for (int i = 0; i < 2; i++) {
        nq_status status = nq_target_parse(input.arguments[i], &targets[i], &err);
        if (status == NQ_OK && targets[i].group)
            status = nq_fail(&err, NQ_ERR_INPUT, "%s is a group: compare jobs", input.arguments[i]);
        if (status != NQ_OK)
            return nq_client_finish(client, status, &err);
    }
    json_t *request = nq_request("diff");
    json_object_set_new(request, "a", json_integer(targets[0].id));
    json_object_set_new(request, "b", json_integer(targets[1].id));
    return nq_catalogue(client, request, "classes", print_diff);
}
