/* netqctl cache: the crops that the daemon keeps of each dataset: shown, built, dropped. */
#include "client/catalogue.h"
#include "client/format.h"
#include "client/table.h"
#include "client/verbs.h"
#include "common/text.h"

#include <string.h>
#include <unistd.h>

#define ASK_AGAIN_US 300000

typedef struct {
    nq_verb_input base;
    bool wait, stale, all;
} cache_input;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    cache_input *input = state->input;
    switch (key) {
    case 'w':
        input->wait = true;
        return 0;
    case 's':
        input->stale = true;
        return 0;
    case 'a':
        input->all = true;
        return 0;
    default:
        return nq_verb_parse_key(key, argument, state);
    }
}

/* ---- show ---- */

static nq_colour colour_of(const char *state)
{
    if (strcmp(state, "valid") == 0)
        return NQ_GREEN;
    bool wrong = strcmp(state, "stale") == 0 || strcmp(state, "damaged") == 0;
    return wrong ? NQ_YELLOW : NQ_PLAIN;
}

static void add_row(nq_table *table, const json_t *cache)
{
    char bytes[NQ_TEXT], used[NQ_TEXT];
    const char *state = nq_view_text(cache, "state");
    long long images = nq_view_int(cache, "images", -1);
    nq_format_bytes(nq_view_int(cache, "bytes", -1), bytes);
    nq_format_time(nq_view_real(cache, "used"), used);
    nq_table_add(table, nq_view_text(cache, "dataset"));
    nq_table_add_coloured(table, state, colour_of(state));
    if (images >= 0)
        nq_table_add_format(table, "%lld/%lld", nq_view_int(cache, "cached", 0), images);
    else
        nq_table_add(table, "-");
    nq_table_add_format(table, "%lld", nq_view_int(cache, "stale", 0));
    nq_table_add(table, bytes);
    nq_table_add(table, json_is_true(json_object_get(cache, "in_use")) ? "now" : used);
    nq_table_add(table, nq_view_text(cache, "file"));
}

static void print_build(nq_client *client, const json_t *build)
{
    const json_t *progress = json_object_get(build, "progress");
    char name[NQ_TEXT], message[1024];
    const char *state = nq_view_text(build, "state");
    nq_text_clean(nq_view_text(build, "dataset"), name, sizeof name);
    nq_text_clean(nq_view_text(build, "message"), message, sizeof message);
    if (strcmp(state, "running") == 0)
        fprintf(client->out, "building %s: %lld of %lld\n", name, nq_view_int(progress, "done", 0),
                nq_view_int(progress, "total", 0));
    else if (strcmp(state, "failed") == 0)
        fprintf(client->out, "building %s failed: %s\n", name, message);
}

static nq_status print_caches(nq_client *client, const json_t *reply, nq_error *err)
{
    static const char *const headings[] = {"DATASET", "STATE",      ">CROPS", ">STALE",
                                           ">SIZE",   "?LAST USED", "?FILE",  NULL};
    nq_table *table = nq_table_new(headings);
    char directory[1024], bytes[NQ_TEXT], limit[NQ_TEXT];
    size_t i;
    json_t *cache;
    json_array_foreach(json_object_get(reply, "caches"), i, cache)
    {
        add_row(table, cache);
    }
    nq_text_clean(nq_view_text(reply, "directory"), directory, sizeof directory);
    nq_format_bytes(nq_view_int(reply, "bytes", -1), bytes);
    nq_format_bytes(nq_view_int(reply, "limit", -1), limit);
    nq_status status = nq_table_print(table, client->out, err);
    fprintf(client->out, "%s of at most %s in %s\n", bytes, limit, directory);
    print_build(client, json_object_get(reply, "build"));
    return status;
}

/* ---- build ---- */

static void show_progress(nq_client *client, const json_t *build, bool over)
{
    const json_t *progress = json_object_get(build, "progress");
    if (!nq_stream_is_live(client->messages))
        return;
    if (over)
        fprintf(client->messages, "\r\033[K");
    else
        fprintf(client->messages, "\r%lld of %lld\033[K", nq_view_int(progress, "done", 0),
                nq_view_int(progress, "total", 0));
    fflush(client->messages);
}

/* Until the daemon builds nothing any more. */
static nq_status wait_build(nq_client *client, const char *dataset, nq_error *err)
{
    for (;;) {
        json_t *request = nq_request("cache"), *reply = NULL;
        json_object_set_new(request, "build", json_true());
        nq_status status = nq_client_ask(client, request, &reply, err);
        const json_t *build = json_object_get(reply, "build");
        const char *state = nq_view_text(build, "state");
        bool over = status != NQ_OK || strcmp(state, "running") != 0;
        show_progress(client, build, over);
        if (status == NQ_OK && strcmp(nq_view_text(build, "dataset"), dataset) != 0)
            status = nq_fail(err, NQ_ERR_STATE, "the daemon does not build %s any more", dataset);
        else if (status == NQ_OK && strcmp(state, "failed") == 0)
            status = nq_fail(err, NQ_ERR_IO, "%s", nq_view_text(build, "message"));
        json_decref(reply);
        if (over || status != NQ_OK)
            return status;
        usleep(ASK_AGAIN_US);
    }
}

static int build(nq_client *client, const char *dataset, bool wait)
{
    nq_error err = {0};
    json_t *request = nq_request("cache_build"), *reply = NULL;
    json_object_set_new(request, "dataset", json_string(dataset));
    nq_status status = nq_client_ask(client, request, &reply, &err);
    if (status == NQ_OK && wait)
        status = wait_build(client, dataset, &err);
    if (status == NQ_OK && client->json)
        nq_client_print_json(client, reply, true);
    else if (status == NQ_OK)
        fprintf(client->out, wait ? "built %s\n" : "building %s\n", dataset);
    json_decref(reply);
    return nq_client_finish(client, status, &err);
}

/* ---- drop ---- */

static nq_status print_dropped(nq_client *client, const json_t *reply, nq_error *err)
{
    const json_t *dropped = json_object_get(reply, "dropped");
    size_t i;
    json_t *cache;
    (void)err;
    json_array_foreach(dropped, i, cache)
    {
        char name[NQ_TEXT], bytes[NQ_TEXT];
        nq_text_clean(nq_view_text(cache, "dataset"), name, sizeof name);
        nq_format_bytes(nq_view_int(cache, "bytes", -1), bytes);
        fprintf(client->out, "dropped %s, %s\n", *name ? name : nq_view_text(cache, "file"), bytes);
    }
    if (json_array_size(dropped) == 0)
        fprintf(client->messages, "netqctl: there was nothing to drop\n");
    return NQ_OK;
}

static int drop(nq_client *client, const cache_input *input, const char *dataset)
{
    json_t *request = nq_request("cache_drop");
    if (dataset)
        json_object_set_new(request, "dataset", json_string(dataset));
    if (input->stale)
        json_object_set_new(request, "stale", json_true());
    if (input->all)
        json_object_set_new(request, "all", json_true());
    return nq_catalogue(client, request, "dropped", print_dropped);
}

int nq_verb_cache(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"wait", 'w', NULL, 0, "build: wait until all crops are there", 0},
        {"stale", 's', NULL, 0, "drop: what no dataset has any use for", 0},
        {"all", 'a', NULL, 0, "drop: everything", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[show | build DATASET | drop DATASET]",
        .doc = "Decoding and resizing an image is done once: the daemon keeps the result for later "
               "jobs. Shows what is kept of each dataset; builds: makes all of it now, without a "
               "job; drops: removes it. It comes back by itself.",
        .children = nq_common_children};
    cache_input input = {.base = {.client = client, .most = 2}};
    nq_verb_parse(&argp, argc, argv, &input);
    const char *action = input.base.count > 0 ? input.base.arguments[0] : "show";
    const char *dataset = input.base.count > 1 ? input.base.arguments[1] : NULL;
    int drops = (dataset != NULL) + input.stale + input.all;
    nq_error err = {0};
    if (strcmp(action, "show") == 0 && drops == 0 && !input.wait)
        return nq_catalogue(client, nq_request("cache"), "caches", print_caches);
    if (strcmp(action, "build") == 0 && dataset && drops == 1)
        return build(client, dataset, input.wait);
    if (strcmp(action, "drop") == 0 && drops == 1 && !input.wait)
        return drop(client, &input, dataset);
    nq_fail(&err, NQ_ERR_INPUT,
            "cache: takes show, build DATASET [--wait], or drop with DATASET, --stale or --all");
    nq_client_finish(client, NQ_ERR_INPUT, &err);
    return NQ_EXIT_USAGE;
}
