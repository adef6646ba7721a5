/* netqctl datasets: counts, labels, fingerprint, and whether labels and preprocessing are right. */
#include "client/catalogue.h"
#include "client/format.h"
#include "client/table.h"
#include "client/verbs.h"
#include "common/text.h"

#include <math.h>
#include <string.h>

static void add_count(nq_table *table, long long count)
{
    if (count < 0)
        nq_table_add(table, "-");
    else
        nq_table_add_format(table, "%lld", count);
}

static nq_status print_table(nq_client *client, const json_t *datasets, nq_error *err)
{
    static const char *const headings[] = {"NAME",        ">IMAGES", ">CLASSES", "LABELS FROM",
                                           "FINGERPRINT", "PATH",    NULL};
    nq_table *table = nq_table_new(headings);
    size_t i;
    json_t *dataset;
    json_array_foreach(datasets, i, dataset)
    {
        nq_table_add(table, nq_view_text(dataset, "name"));
        add_count(table, nq_view_int(dataset, "images", -1));
        add_count(table, nq_view_int(dataset, "classes", -1));
        nq_table_add(table, nq_view_text(dataset, "labels"));
        nq_table_add_format(table, "%.16s", nq_view_text(dataset, "fingerprint"));
        nq_table_add(table, nq_view_text(dataset, "path"));
    }
    return nq_table_print(table, client->out, err);
}

static void print_warnings(nq_client *client, const json_t *dataset)
{
    char name[NQ_TEXT], text[1024];
    bool colour = nq_stream_has_colour(client->out);
    size_t i;
    json_t *warning;
    nq_text_clean(nq_view_text(dataset, "name"), name, sizeof name);
    json_array_foreach(json_object_get(dataset, "warnings"), i, warning)
    {
        const char *sentence = json_string_value(warning);
        nq_text_clean(sentence ? sentence : "", text, sizeof text);
        fprintf(client->out, "%s: %swarning:%s %s\n", name, nq_colour_on(NQ_YELLOW, colour),
                nq_colour_off(NQ_YELLOW, colour), text);
    }
}

static void print_verdicts(nq_client *client, const json_t *dataset)
{
    bool colour = nq_stream_has_colour(client->out);
    size_t i;
    json_t *score;
    json_array_foreach(json_object_get(dataset, "float"), i, score)
    {
        char name[NQ_TEXT], model[NQ_TEXT], verdict[1024], top1[NQ_TEXT], expected[NQ_TEXT] = "";
        const char *text = nq_view_text(score, "verdict");
        bool wrong = strncmp(text, "your labels", 11) == 0;
        nq_colour shade = wrong ? NQ_RED : strcmp(text, "ok") == 0 ? NQ_GREEN : NQ_PLAIN;
        nq_text_clean(nq_view_text(dataset, "name"), name, sizeof name);
        nq_text_clean(nq_view_text(score, "model"), model, sizeof model);
        nq_text_clean(text, verdict, sizeof verdict);
        nq_format_real(nq_view_real(score, "top1"), 2, top1);
        if (isfinite(nq_view_real(score, "expected")))
            snprintf(expected, sizeof expected, ", expected %.2f", nq_view_real(score, "expected"));
        fprintf(client->out, "%s: float %s (job %lld) has top-1 %s%s: %s%s%s\n", name, model,
                nq_view_int(score, "job", -1), top1, expected, nq_colour_on(shade, colour), verdict,
                nq_colour_off(shade, colour));
    }
}

static nq_status print_datasets(nq_client *client, const json_t *reply, nq_error *err)
{
    const json_t *datasets = json_object_get(reply, "datasets");
    size_t i;
    json_t *dataset;
    if (json_array_size(datasets) == 0)
        fprintf(client->messages, "netqctl: the daemon's configuration names no dataset\n");
    nq_status status = print_table(client, datasets, err);
    json_array_foreach(datasets, i, dataset)
    {
        print_warnings(client, dataset);
        print_verdicts(client, dataset);
    }
    return status;
}

int nq_verb_datasets(nq_client *client, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = nq_verb_parse_key,
        .args_doc = "[NAME]",
        .doc = "Lists the datasets that the daemon's configuration names. Where a float job of a "
               "known checkpoint has scored one, its accuracy is compared with the expected one: "
               "a miss means that the labels or the preprocessing are wrong.",
        .children = nq_common_children};
    nq_verb_input input = {.client = client, .most = 1};
    nq_verb_parse(&argp, argc, argv, &input);
    json_t *request = nq_request("datasets");
    if (input.count > 0)
        json_object_set_new(request, "name", json_string(input.arguments[0]));
    return nq_catalogue(client, request, "datasets", print_datasets);
}
