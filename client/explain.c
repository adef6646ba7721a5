/* netqctl explain: where a quantized network loses, from the per-layer report in metrics.json. */
#include "client/client.h"
#include "client/format.h"
#include "client/metrics.h"
#include "client/table.h"
#include "client/verbs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 10

typedef struct {
    nq_verb_input base;
    bool all;
} explain_input;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    explain_input *input = state->input;
    if (key != 'a')
        return nq_verb_parse_key(key, argument, state);
    input->all = true;
    return 0;
}

/* A job that drew no samples has weights to compare and nothing else. Nothing lost sorts last. */
static double loss_key(const json_t *layer)
{
    bool measured = !json_is_null(json_object_get(layer, "seen"));
    const json_t *value = json_object_get(layer, measured ? "output_db" : "weight_db");
    return json_is_number(value) ? json_number_value(value) : INFINITY;
}

static int by_loss(const void *a, const void *b)
{
    double x = loss_key(*(json_t *const *)a), y = loss_key(*(json_t *const *)b);
    return (x > y) - (x < y);
}

/* A new array of the layers, the one with the least signal-to-noise ratio first. */
static json_t *sorted(const json_t *layers)
{
    size_t count = json_array_size(layers);
    json_t **order = calloc(count + 1, sizeof *order), *list = json_array();
    for (size_t i = 0; order && i < count; i++)
        order[i] = json_array_get(layers, i);
    if (order)
        qsort(order, count, sizeof *order, by_loss);
    for (size_t i = 0; order && i < count; i++)
        json_array_append(list, order[i]);
    free(order);
    return list;
}

static void add_decibels(nq_table *table, const json_t *layer, const char *key)
{
    const json_t *value = json_object_get(layer, key);
    if (json_is_number(value))
        nq_table_add_format(table, "%.1f", json_number_value(value));
    else
        nq_table_add(table, "-");
}

static void add_range(nq_table *table, const json_t *layer, const char *key)
{
    const json_t *pair = json_object_get(layer, key);
    if (json_is_array(pair))
        nq_table_add_format(table, "%.3g..%.3g", json_number_value(json_array_get(pair, 0)),
                            json_number_value(json_array_get(pair, 1)));
    else
        nq_table_add(table, "-");
}

static nq_status print_layers(nq_client *client, const json_t *layers, size_t most, nq_error *err)
{
    static const char *const headings[] = {"LAYER",   "OP",      "W BITS", "W SNR",
                                           "A BITS",  "OUT SNR", "SEEN",   "RANGE",
                                           "CLIPPED", "W BYTES", NULL};
    nq_table *table = nq_table_new(headings);
    for (size_t i = 0; table && i < json_array_size(layers) && i < most; i++) {
        const json_t *layer = json_array_get(layers, i);
        bool weights = json_object_get(layer, "weight_bits") != NULL;
        nq_table_add(table, nq_view_text(layer, "name"));
        nq_table_add(table, nq_view_text(layer, "op"));
        nq_table_add_format(table, weights ? "%lld" : "-", nq_view_int(layer, "weight_bits", 0));
        add_decibels(table, layer, "weight_db");
        nq_table_add_format(table, "%lld", nq_view_int(layer, "bits", 0));
        add_decibels(table, layer, "output_db");
        add_range(table, layer, "seen");
        add_range(table, layer, "range");
        nq_table_add_format(table,
                            json_is_number(json_object_get(layer, "clipped")) ? "%.3f %%" : "-",
                            100 * nq_view_real(layer, "clipped"));
        nq_table_add_format(table, weights ? "%lld" : "-", nq_view_int(layer, "weight_bytes", 0));
    }
    return nq_table_print(table, client->out, err);
}

/* What weights.bits auto has made of its budget, before the layers. */
static void print_mixed(const nq_client *client, const json_t *mixed)
{
    char kl[NQ_TEXT], size[NQ_TEXT], budget[NQ_TEXT];
    if (!json_is_object(mixed))
        return;
    nq_format_real(nq_view_real(mixed, "kl"), 4, kl);
    nq_format_real(nq_view_real(mixed, "size") / 1e6, 6, size);
    nq_format_real(nq_view_real(mixed, "budget") / 1e6, 6, budget);
    fprintf(client->out,
            "Mixed precision: %s MB of a budget of %s; the layers' divergences, each alone, add up "
            "to %s nats (frontier.svg).\n\n",
            size, budget, kl);
}

static nq_status explain(nq_client *client, const explain_input *input, nq_error *err)
{
    nq_target target;
    json_t *metrics = NULL;
    nq_status status = nq_target_parse(input->base.arguments[0], &target, err);
    if (status == NQ_OK && target.group)
        status = nq_fail(err, NQ_ERR_INPUT, "explain takes one job: name one of the group's");
    if (status == NQ_OK)
        status = nq_metrics_fetch(client, target.id, &metrics, err);
    const json_t *layers = json_object_get(metrics, "layers");
    if (status == NQ_OK && !json_is_array(layers))
        status = nq_fail(
            err, NQ_ERR_MISSING,
            "job %lld has no per-layer report: only jobs that quantize a checkpoint do", target.id);
    if (status == NQ_OK) {
        json_t *worst = sorted(layers);
        size_t most = input->all ? json_array_size(worst) : SHOWN;
        if (client->json) {
            nq_client_print_json(client, worst, true);
        } else {
            print_mixed(client, json_object_get(metrics, "mixed_precision"));
            status = print_layers(client, worst, most, err);
        }
        json_decref(worst);
    }
    json_decref(metrics);
    return status;
}

int nq_verb_explain(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"all", 'a', NULL, 0, "All layers, not the ten worst", 0}, {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "JOB",
                                     .doc = "Shows where a quantized network loses: its layers by "
                                            "the signal-to-noise ratio of their output "
                                            "against the float network's, in dB, the worst first. "
                                            "SEEN is what the float network spans on the "
                                            "calibration samples, RANGE what the integers hold. "
                                            "A job that drew no samples compares weights only.",
                                     .children = nq_common_children};
    explain_input input = {.base = {.client = client, .least = 1, .most = 1}};
    nq_error err = {0};
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status = explain(client, &input, &err);
    return nq_client_finish(client, status, &err);
}
