/* netqctl sweep: a grid of jobs as one group, waited for and compared. */
#include "client/sweep.h"

#include "client/format.h"
#include "client/metrics.h"
#include "client/spec_options.h"
#include "client/specfile.h"
#include "client/submission.h"
#include "client/table.h"
#include "client/verbs.h"
#include "client/waiting.h"
#include "common/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BITS = 0x200, KEY_GRID, KEY_SVG, KEY_DETACH, KEY_DRY_RUN, KEY_PRIORITY, KEY_TOKEN };

typedef struct {
    nq_verb_input base;
    nq_spec_options options;
    json_t *axes;
    const char *svg, *token;
    bool detach, dry_run;
    long long priority;
} sweep_input;

/* ---- the command line ---- */

static void add_axis(void *context, struct argp_state *state, const char *key, const char *text)
{
    sweep_input *input = context;
    nq_error err = {0};
    if (nq_grid_add(input->axes, key, text, &err) != NQ_OK)
        argp_error(state, "%s", err.text);
}

static void check(const sweep_input *input, struct argp_state *state)
{
    const char *file = input->options.file;
    if (input->base.count > 0 && file)
        argp_error(state, "two spec files: %s and %s", file, input->base.arguments[0]);
    if (input->svg && (input->detach || input->dry_run))
        argp_error(state, "--svg draws results: run the same sweep again without %s",
                   input->detach ? "--detach" : "--dry-run");
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    sweep_input *input = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[1] = &input->options;
        return nq_verb_parse_key(key, argument, state);
    case KEY_BITS:
        add_axis(input, state, "bits", argument);
        return 0;
    case KEY_GRID:
        nq_spec_options_pair(&input->options, state, "grid", argument);
        return 0;
    case KEY_SVG:
        input->svg = argument;
        return 0;
    case KEY_DETACH:
        input->detach = true;
        return 0;
    case KEY_DRY_RUN:
        input->dry_run = true;
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
    {NULL, 0, NULL, 0, "The grid:", 1},
    {"bits", KEY_BITS, "W/A[,W/A]", 0, "Pairs of bits, as 8/8,6/6,4/8: weights, activations", 1},
    {"grid", KEY_GRID, "KEY=VALUE[,VALUE]", 0,
     "Any key with several values, as weights.bits=4,6,8; lists and paths between semicolons", 1},
    {"svg", KEY_SVG, "FILE", 0, "Draw the frontiers into FILE", 1},
    {"detach", KEY_DETACH, NULL, 0, "Submit, and do not wait; the same sweep again does", 1},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Queue nothing; list the cells, with sizes and time", 1},
    {"priority", KEY_PRIORITY, "N", 0, "-1000..1000, higher ones first (default 0)", 1},
    {"token", KEY_TOKEN, "TEXT", 0, "Another text begins the same grid anew", 1},
    {0}};

static char *list_presets(int key, const char *text, void *input)
{
    (void)input;
    return nq_preset_help(
        key, text,
        "Every key takes several values here, as --preset w8a8,w4a8 --calibrate-seed 1,2,3: the "
        "grid is all their combinations. A cell of preset float is the reference of its model; "
        "keys that mean nothing to it are left out of it.");
}

/* ---- submitting ---- */

static nq_status make_cells(const sweep_input *input, json_t **cells, nq_error *err)
{
    const char *file = input->base.count > 0 ? input->base.arguments[0] : input->options.file;
    json_t *base = NULL;
    *cells = NULL;
    nq_status status = NQ_OK;
    if (file)
        status = nq_specfile_load(file, &base, err);
    else if (!(base = json_object()))
        status = nq_fail_nomem(err, "the spec", 0);
    if (status == NQ_OK)
        status = nq_grid_cells(input->axes, base, cells, err);
    json_decref(base);
    return status;
}

/* The same grid and --token are the same group, whenever they are submitted. */
static json_t *token_of(const sweep_input *input, const json_t *specs)
{
    uint8_t digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    char *dump = json_dumps(specs, JSON_COMPACT | JSON_SORT_KEYS);
    nq_hash *hash = nq_hash_new();
    if (dump && hash) {
        if (input->token)
            nq_hash_add(hash, input->token, strlen(input->token) + 1);
        nq_hash_add(hash, dump, strlen(dump));
    }
    json_t *token = NULL;
    if (hash) {
        nq_hash_end(hash, digest);
        nq_hash_text(digest, text);
        token = dump ? json_sprintf("sweep-%s", text) : NULL;
    }
    free(dump);
    return token;
}

static json_t *build_request(const sweep_input *input, const json_t *cells)
{
    json_t *specs = json_array(), *request = nq_request("submit");
    size_t i;
    json_t *cell;
    int bad = !specs || !request;
    json_array_foreach((json_t *)cells, i, cell)
    {
        bad |= json_array_append(specs, json_object_get(cell, "spec"));
    }
    bad |= json_object_set(request, "specs", specs);
    if (input->priority)
        bad |= json_object_set_new(request, "priority", json_integer(input->priority));
    if (input->dry_run)
        bad |= json_object_set_new(request, "dry_run", json_true());
    else
        bad |= json_object_set_new(request, "token", token_of(input, specs));
    json_decref(specs);
    if (!bad)
        return request;
    json_decref(request);
    return NULL;
}

static nq_status check_count(const json_t *cells, const json_t *jobs, const char *name,
                             nq_error *err)
{
    if (json_array_size(jobs) == json_array_size(cells))
        return NQ_OK;
    return nq_fail(err, NQ_ERR_STATE,
                   "%s has %zu of this grid's %zu jobs left, the daemon has forgotten the others "
                   "(keep_days): --token TEXT begins the grid anew",
                   name, json_array_size(jobs), json_array_size(cells));
}

static void tell(nq_client *client, const json_t *reply, const char *name, bool detach)
{
    const char *known =
        json_is_true(json_object_get(reply, "duplicate")) ? ", submitted before" : "";
    size_t count = json_array_size(json_object_get(reply, "jobs"));
    fprintf(detach ? client->out : client->messages, "%s: %zu jobs%s\n", name, count, known);
}

/* ---- results ---- */

/* The ended jobs in the order of the cells. */
static nq_status order_jobs(const json_t *ids, const json_t *ended, json_t **jobs, nq_error *err)
{
    json_t *by_id = json_object();
    char key[NQ_TEXT];
    size_t i;
    json_t *value;
    int bad = !(*jobs = json_array()) || !by_id;
    json_array_foreach((json_t *)ended, i, value)
    {
        snprintf(key, sizeof key, "%lld", nq_view_int(value, "job", -1));
        bad |= json_object_set(by_id, key, value);
    }
    nq_status status = bad ? nq_fail_nomem(err, "the jobs", 0) : NQ_OK;
    for (i = 0; status == NQ_OK && i < json_array_size(ids); i++) {
        long long id = (long long)json_integer_value(json_array_get(ids, i));
        snprintf(key, sizeof key, "%lld", id);
        if (!json_object_get(by_id, key))
            status = nq_fail(err, NQ_ERR_MISSING, "job %lld of the sweep is gone", id);
        else if (json_array_append(*jobs, json_object_get(by_id, key)) != 0)
            status = nq_fail_nomem(err, "the jobs", 0);
    }
    json_decref(by_id);
    return status;
}

/* Drop and standard error of a cell, from the images whose verdict changed. */
static nq_status pair_with_float(nq_client *client, const nq_sweep_cell *reference,
                                 nq_sweep_cell *cell, nq_error *err)
{
    json_t *request = nq_request("diff"), *reply = NULL;
    int bad = json_object_set(request, "a", json_object_get(reference->job, "job")) |
              json_object_set(request, "b", json_object_get(cell->job, "job"));
    if (bad) {
        json_decref(request);
        request = NULL;
    }
    nq_status status = nq_client_ask(client, request, &reply, err);
    if (status == NQ_OK) {
        cell->drop = nq_view_real(reply, "drop");
        cell->error = nq_view_real(reply, "standard_error");
    }
    json_decref(reply);
    return status;
}

/* A job that ran after a float job knows how far its logits are from that one's. */
static nq_status find_kl(nq_client *client, nq_sweep_cell *cell, nq_error *err)
{
    json_t *metrics = NULL;
    if (!cell->done || !isfinite(nq_view_real(json_object_get(cell->job, "result"), "agreement")))
        return NQ_OK;
    nq_status status = nq_metrics_fetch(client, nq_view_int(cell->job, "job", -1), &metrics, err);
    const json_t *result = json_object_get(metrics, "result");
    cell->kl = nq_view_real(json_object_get(result, "kl_from_float"), "mean");
    json_decref(metrics);
    return status;
}

static void compare_with_float(nq_client *client, nq_sweep *sweep)
{
    nq_error err = {0};
    nq_status status = NQ_OK;
    for (size_t i = 0; i < sweep->count && status == NQ_OK; i++) {
        nq_sweep_cell *cell = &sweep->cells[i];
        size_t reference = cell->done ? sweep->series[cell->series].reference : SIZE_MAX;
        if (reference != SIZE_MAX && !cell->is_float)
            status = pair_with_float(client, &sweep->cells[reference], cell, &err);
        if (status == NQ_OK)
            status = find_kl(client, cell, &err);
    }
    if (status != NQ_OK)
        fprintf(client->messages, "netqctl: the comparison with float is not complete: %s\n",
                err.text);
}

static nq_status report(nq_client *client, const sweep_input *input, long long group,
                        const json_t *cells, const json_t *jobs, nq_error *err)
{
    nq_sweep sweep;
    nq_status status = nq_sweep_create(group, cells, jobs, &sweep, err);
    if (status == NQ_OK)
        compare_with_float(client, &sweep);
    if (status == NQ_OK)
        status = client->json ? nq_sweep_print_json(client, &sweep, err)
                              : nq_sweep_print(client, &sweep, err);
    if (status == NQ_OK && input->svg)
        status = nq_sweep_draw(&sweep, input->svg, err);
    nq_sweep_free(&sweep);
    return status;
}

static nq_status wait_and_report(nq_client *client, const sweep_input *input, const json_t *cells,
                                 const json_t *ids, nq_target target, const char *name, int *code,
                                 nq_error *err)
{
    json_t *ended = json_array(), *jobs = NULL;
    nq_status status = nq_submission_wait(client, target, name, ended, err);
    if (status == NQ_OK)
        status = order_jobs(ids, ended, &jobs, err);
    if (status == NQ_OK)
        status = report(client, input, target.id, cells, jobs, err);
    if (status == NQ_OK)
        *code = nq_wait_exit(ended);
    json_decref(jobs);
    json_decref(ended);
    return status;
}

/* ---- dry run ---- */

static nq_status print_plans(nq_client *client, const json_t *cells, json_t *reply, nq_error *err)
{
    static const char *const headings[] = {"CELL", ">SIZE", ">TIME", NULL};
    const json_t *plans = json_object_get(reply, "plans");
    double seconds = 0;
    char name[NQ_GRID_NAME], text[NQ_TEXT];
    if (json_array_size(plans) != json_array_size(cells))
        return nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply has not one plan a cell");
    if (client->json) {
        nq_client_print_json(client, reply, true);
        return NQ_OK;
    }
    nq_table *table = nq_table_new(headings);
    for (size_t i = 0; i < json_array_size(cells); i++) {
        const json_t *plan = json_array_get(plans, i);
        nq_grid_name(json_object_get(json_array_get(cells, i), "cell"), name);
        nq_table_add(table, name);
        nq_format_bytes(nq_view_int(plan, "new_model_size", -1), text);
        nq_table_add(table, text);
        nq_format_duration(nq_view_real(plan, "seconds"), text);
        nq_table_add(table, text);
        seconds += nq_view_real(plan, "seconds");
    }
    nq_status status = nq_table_print(table, client->out, err);
    nq_format_duration(seconds, text);
    fprintf(client->out, "\n%zu cells, about %s of jobs\n", json_array_size(cells), text);
    return status;
}

static nq_status sweep(nq_client *client, const sweep_input *input, int *code, nq_error *err)
{
    json_t *cells = NULL, *reply = NULL;
    nq_target target = {0};
    char name[NQ_TEXT] = "";
    nq_status status = make_cells(input, &cells, err);
    if (status == NQ_OK)
        status = nq_submission_send(client, build_request(input, cells), &reply, err);
    const json_t *ids = json_object_get(reply, "jobs");
    if (status == NQ_OK && input->dry_run)
        status = print_plans(client, cells, reply, err);
    else if (status == NQ_OK) {
        status = nq_submission_target(reply, &target, name, err);
        if (status == NQ_OK)
            status = check_count(cells, ids, name, err);
        if (status == NQ_OK && input->detach && client->json)
            nq_client_print_json(client, reply, true);
        else if (status == NQ_OK)
            tell(client, reply, name, input->detach);
        if (status == NQ_OK && !input->detach)
            status = wait_and_report(client, input, cells, ids, target, name, code, err);
    }
    json_decref(cells);
    json_decref(reply);
    return status;
}

int nq_verb_sweep(nq_client *client, int argc, char **argv)
{
    const struct argp argp = {
        .options = own_options,
        .parser = parse,
        .args_doc = "[SPEC.json]",
        .doc = "Runs every combination of the given values as one group of jobs, waits for them, "
               "and prints what each reached and the Pareto frontier of compression ratio against "
               "top-1 for each model. The same sweep again submits nothing twice: it waits for the "
               "jobs that there are.\v ",
        .children = nq_spec_children(),
        .help_filter = list_presets};
    sweep_input input = {.base = {.client = client, .most = 1}, .axes = json_array()};
    nq_error err = {0};
    int code = NQ_EXIT_DONE;
    input.options = (nq_spec_options){.set = add_axis, .context = &input};
    if (!input.axes)
        return nq_client_finish(client, nq_fail_nomem(&err, "the grid", 0), &err);
    nq_verb_parse(&argp, argc, argv, &input);
    nq_status status = sweep(client, &input, &code, &err);
    json_decref(input.axes);
    return status == NQ_OK ? code : nq_client_finish(client, status, &err);
}
