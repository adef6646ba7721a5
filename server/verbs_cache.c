/* cache, cache_build, cache_drop: the crops that are kept of each dataset. */
#include "server/verbs.h"

#include "common/crop_folder.h"
#include "common/json.h"
#include "common/log.h"
#include "server/cache_builder.h"
#include "server/text.h"
#include <stdlib.h>
#include <string.h>

/* A dataset of the configuration, or a file that is of none. */
typedef struct {
    char dataset[NQ_CACHED_NAME > NQ_SPEC_NAME ? NQ_CACHED_NAME : NQ_SPEC_NAME];
    const nq_crop_file *file; /* NULL: there is none */
    int64_t images;           /* of the dataset as it is now; -1: not known */
    uint32_t cached, stale;
    const char *state;
    char warning[256]; /* why the dataset could not be listed */
    bool dropped;
} cache_row;

typedef struct {
    nq_crop_file *files;
    size_t file_count;
    cache_row *rows;
    size_t row_count;
} cache_view;

static void free_view(void *state)
{
    cache_view *v = state;
    free(v->files);
    free(v->rows);
    free(v);
}

/* ---- on the pool: looking ---- */

static const nq_crop_file *file_named(const cache_view *v, const char *name)
{
    for (size_t i = 0; i < v->file_count; i++)
        if (strcmp(v->files[i].file, name) == 0)
            return &v->files[i];
    return NULL;
}

static const char *state_of(const cache_row *row)
{
    if (row->cached == 0 && row->stale == 0)
        return "none";
    if (row->cached == 0)
        return "stale";
    return row->cached == row->images ? "valid" : "partial";
}

static void look_at_dataset(const nq_call *call, const nq_config_dataset *d, cache_view *v,
                            cache_row *row)
{
    const nq_config *config = call->daemon->config;
    nq_inputs in = {0};
    nq_dataset dataset = {0};
    nq_error why = {0};
    snprintf(row->dataset, sizeof row->dataset, "%s", d->name);
    nq_status status = nq_inputs_dataset(d, &in, &why);
    if (status == NQ_OK)
        status = nq_inputs_list(&in, &dataset, &why);
    if (status == NQ_OK)
        status = nq_crop_folder_survey(config->cache_directory, &dataset, &row->cached, &row->stale,
                                       &why);
    if (status == NQ_OK) {
        char name[NQ_SHA256_TEXT];
        nq_crop_file_name(&dataset, name);
        row->file = file_named(v, name);
        row->images = (int64_t)dataset.count;
        row->state = row->file && !row->file->sound ? "damaged" : state_of(row);
    } else {
        row->images = -1;
        row->state = "unknown";
        snprintf(row->warning, sizeof row->warning, "%.255s", why.text);
    }
    nq_dataset_free(&dataset);
    nq_inputs_free(&in);
}

static bool is_listed(const cache_view *v, size_t rows, const nq_crop_file *file)
{
    for (size_t i = 0; i < rows; i++)
        if (v->rows[i].file == file)
            return true;
    return false;
}

/* A file of a dataset as it was, of a folder that a job named, or of nobody knows what. */
static void look_at_file(const nq_config *config, const nq_crop_file *file, cache_row *row)
{
    row->file = file;
    row->images = file->sound ? (int64_t)file->records : -1;
    memcpy(row->dataset, file->name, sizeof file->name);
    bool configured = file->sound && nq_config_dataset_find(config, file->name);
    *(configured ? &row->stale : &row->cached) = file->filled;
    row->state = !file->sound ? "damaged" : configured ? "stale" : "other";
}

static nq_status look(nq_call *call, nq_error *err)
{
    cache_view *v = call->state;
    const nq_config *config = call->daemon->config;
    nq_status status = nq_crop_folder_list(config->cache_directory, &v->files, &v->file_count, err);
    if (status != NQ_OK)
        return status;
    size_t most = config->dataset_count + v->file_count;
    v->rows = calloc(most + 1, sizeof *v->rows);
    if (!v->rows)
        return nq_fail_nomem(err, "caches", most * sizeof *v->rows);
    for (size_t i = 0; i < config->dataset_count; i++)
        look_at_dataset(call, &config->datasets[i], v, &v->rows[v->row_count++]);
    for (size_t i = 0; i < v->file_count; i++)
        if (!is_listed(v, v->row_count, &v->files[i]))
            look_at_file(config, &v->files[i], &v->rows[v->row_count++]);
    return NQ_OK;
}

/* ---- cache ---- */

static json_t *row_json(const cache_row *row)
{
    const nq_crop_file *f = row->file;
    return json_pack(
        "{s:o, s:s?, s:o, s:I, s:I, s:I, s:o, s:b, s:s, s:o}", "dataset",
        *row->dataset ? nq_text_json(row->dataset) : json_null(), "file", f ? f->file : NULL,
        "images", row->images >= 0 ? json_integer(row->images) : json_null(), "cached",
        (json_int_t)row->cached, "stale", (json_int_t)row->stale, "bytes",
        f ? (json_int_t)f->bytes : 0, "used", f ? json_real((double)f->used_ns / 1e9) : json_null(),
        "in_use", f ? (int)f->in_use : 0, "state", row->state, "warning",
        *row->warning ? nq_text_json(row->warning) : json_null());
}

static void looked(nq_call *call)
{
    const cache_view *v = call->state;
    const nq_config *config = call->daemon->config;
    json_t *array = json_array();
    json_int_t bytes = 0;
    int bad = !array;
    for (size_t i = 0; i < v->file_count; i++)
        bytes += (json_int_t)v->files[i].bytes;
    for (size_t i = 0; i < v->row_count && !bad; i++)
        bad |= json_array_append_new(array, row_json(&v->rows[i]));
    json_t *reply =
        bad ? NULL
            : json_pack("{s:o, s:I, s:I, s:I, s:O, s:o}", "directory",
                        nq_text_json(config->cache_directory), "limit",
                        (json_int_t)config->cache_limit_mb * 1000000, "keep_free",
                        (json_int_t)config->cache_keep_free_mb * 1000000, "bytes", bytes, "caches",
                        array, "build", nq_cache_builder_json(call->daemon->builder));
    json_decref(array);
    nq_call_reply(call, reply);
}

/* With `build` only how the building goes: a client that waits for it asks often. */
void nq_verb_cache(nq_call *call)
{
    if (nq_request_flag(&call->request, "build")) {
        nq_call_reply(call,
                      json_pack("{s:o}", "build", nq_cache_builder_json(call->daemon->builder)));
        return;
    }
    if (nq_call_make_state(call, sizeof(cache_view), free_view))
        nq_call_on_pool(call, look, looked);
}

/* ---- cache_build ---- */

static nq_status find_dataset(const nq_config *config, const char *name,
                              const nq_config_dataset **dataset, nq_error *err)
{
    *dataset = nq_config_dataset_find(config, name);
    if (!*dataset)
        return nq_fail(err, NQ_ERR_MISSING,
                       "the daemon's configuration names no dataset %s: only those can be built",
                       name);
    if (config->cache_limit_mb == 0)
        return nq_fail(err, NQ_ERR_STATE, "crops are not kept: limit_mb of [cache] is 0");
    return NQ_OK;
}

void nq_verb_cache_build(nq_call *call)
{
    const nq_config_dataset *dataset;
    const char *name = nq_request_text(&call->request, "dataset", "");
    nq_status status = find_dataset(call->daemon->config, name, &dataset, &call->err);
    if (status == NQ_OK) {
        status = nq_cache_builder_begin(call->daemon->builder, dataset, &call->err);
        call->code = status == NQ_ERR_STATE ? "busy" : NULL;
    }
    if (status == NQ_OK)
        nq_call_reply(call, json_pack("{s:s}", "building", dataset->name));
    else
        nq_call_fail(call);
}

/* ---- cache_drop ---- */

static bool is_meant(const nq_request *request, const cache_row *row)
{
    const char *name = nq_request_text(request, "dataset", NULL);
    if (name)
        return strcmp(row->dataset, name) == 0 || strcmp(row->file->file, name) == 0;
    bool outdated = strcmp(row->state, "stale") == 0 || strcmp(row->state, "damaged") == 0;
    return nq_request_flag(request, "all") || (nq_request_flag(request, "stale") && outdated);
}

static nq_status drop(nq_call *call, nq_error *err)
{
    cache_view *v = call->state;
    nq_status status = look(call, err);
    for (size_t i = 0; i < v->row_count && status == NQ_OK; i++) {
        cache_row *row = &v->rows[i];
        if (!row->file || !is_meant(&call->request, row))
            continue;
        status = nq_crop_folder_remove(call->daemon->config->cache_directory, row->file->file, err);
        row->dropped = status == NQ_OK;
    }
    return status;
}

static void dropped(nq_call *call)
{
    const cache_view *v = call->state;
    json_t *array = json_array();
    int bad = !array;
    for (size_t i = 0; i < v->row_count && !bad; i++) {
        const cache_row *row = &v->rows[i];
        if (!row->dropped)
            continue;
        nq_log(NQ_LOG_INFO, "cache_dropped", "file", "%s", row->file->file, "dataset", "%s",
               row->dataset, "uid", "%u", call->uid, NULL);
        bad |= json_array_append_new(
            array, json_pack("{s:o, s:s, s:I}", "dataset",
                             *row->dataset ? nq_text_json(row->dataset) : json_null(), "file",
                             row->file->file, "bytes", (json_int_t)row->file->bytes));
    }
    json_t *reply = bad ? NULL : json_pack("{s:O}", "dropped", array);
    json_decref(array);
    nq_call_reply(call, reply);
}

void nq_verb_cache_drop(nq_call *call)
{
    const char *name = nq_request_text(&call->request, "dataset", NULL);
    if (!nq_call_is_trusted(call)) {
        nq_fail(&call->err, NQ_ERR_DENIED,
                "caches are everybody's: only root and the daemon's own user drop them");
        nq_call_fail(call);
        return;
    }
    if (!nq_call_make_state(call, sizeof(cache_view), free_view))
        return;
    if (name || nq_request_flag(&call->request, "all"))
        nq_cache_builder_cancel(call->daemon->builder, name);
    nq_call_on_pool(call, drop, dropped);
}
