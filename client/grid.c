#include "client/grid.h"

#include "client/format.h"
#include "client/specfile.h"
#include "common/spec.h"

#include <stdlib.h>
#include <string.h>

#define BITS "bits"

/* ---- axes ---- */

static json_t *find_axis(const json_t *axes, const char *key)
{
    size_t i;
    json_t *axis;
    json_array_foreach((json_t *)axes, i, axis)
    {
        if (strcmp(nq_view_text(axis, "key"), key) == 0)
            return axis;
    }
    return NULL;
}

/* Two axes that set the same key would overwrite each other. */
static nq_status check_bits(const json_t *axes, nq_error *err)
{
    static const char *const singles[] = {"weights.bits", "activations.bits"};
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        if (find_axis(axes, BITS) && find_axis(axes, singles[i]))
            return nq_fail(err, NQ_ERR_INPUT, "bits sets %s, too: give one of them", singles[i]);
    return NQ_OK;
}

static nq_status set_bits(json_t *spec, const char *text, nq_error *err)
{
    const char *slash = strchr(text, '/');
    char weights[16];
    if (!slash || (size_t)(slash - text) >= sizeof weights)
        return nq_fail(err, NQ_ERR_INPUT, "bits: \"%s\" is not a pair such as 4/8", text);
    snprintf(weights, sizeof weights, "%.*s", (int)(slash - text), text);
    nq_status status = nq_spec_set(spec, "weights.bits", weights, err);
    return status == NQ_OK ? nq_spec_set(spec, "activations.bits", slash + 1, err) : status;
}

static nq_status add_value(json_t *values, const char *key, const char *text, nq_error *err)
{
    json_t *spec = json_object();
    if (!spec)
        return nq_fail_nomem(err, key, 0);
    nq_status status =
        strcmp(key, BITS) == 0 ? set_bits(spec, text, err) : nq_spec_set(spec, key, text, err);
    if (status == NQ_OK &&
        json_array_append_new(values, json_pack("{s:s, s:O}", "text", text, "spec", spec)) != 0)
        status = nq_fail_nomem(err, key, 0);
    json_decref(spec);
    return status;
}

static char separator_of(const char *key)
{
    const nq_spec_field *field = nq_spec_field_find(key);
    return field && (field->type == NQ_FIELD_LIST || field->type == NQ_FIELD_PATH) ? ';' : ',';
}

nq_status nq_grid_add(json_t *axes, const char *key, const char *text, nq_error *err)
{
    json_t *axis = find_axis(axes, key);
    char *copy = strdup(text), separator = separator_of(key);
    if (!axis) {
        axis = json_pack("{s:s, s:[]}", "key", key, "values");
        if (json_array_append_new(axes, axis) != 0)
            axis = NULL;
    }
    nq_status status = copy && axis ? check_bits(axes, err) : nq_fail_nomem(err, key, 0);
    for (char *value = copy; status == NQ_OK && value;) {
        char *end = strchr(value, separator);
        if (end)
            *end = 0;
        status = add_value(json_object_get(axis, "values"), key, value, err);
        value = end ? end + 1 : NULL;
    }
    free(copy);
    return status;
}

/* ---- cells ---- */

void nq_grid_name(const json_t *cell, char name[NQ_GRID_NAME])
{
    const char *key;
    json_t *value;
    size_t used = 0;
    name[0] = 0;
    json_object_foreach((json_t *)cell, key, value)
    {
        bool plain = strcmp(key, "model") == 0 || strcmp(key, "preset") == 0 || !strcmp(key, BITS);
        if (used < NQ_GRID_NAME)
            used += (size_t)snprintf(name + used, NQ_GRID_NAME - used, "%s%s%s%s", used ? " " : "",
                                     plain ? "" : key, plain ? "" : "=", json_string_value(value));
    }
    if (!used)
        snprintf(name, NQ_GRID_NAME, "the job");
}

static nq_job_kind kind_of(const json_t *spec)
{
    const char *name = nq_view_text(spec, "preset");
    const nq_preset *preset = nq_preset_find(*name ? name : "baseline");
    if (!*name && json_object_get(spec, "quantized"))
        return NQ_JOB_QUANTIZED_FILE;
    return preset ? preset->kind : NQ_JOB_QUANTIZE;
}

static void remove_key(json_t *spec, const char *key)
{
    const char *dot = strchr(key, '.');
    char group[NQ_SPEC_NAME];
    if (!dot) {
        json_object_del(spec, key);
        return;
    }
    snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
    json_t *object = json_object_get(spec, group);
    json_object_del(object, dot + 1);
    if (json_is_object(object) && json_object_size(object) == 0)
        json_object_del(spec, group);
}

/* Without what means nothing to its kind of job; such jobs calibrate nothing, either. */
static void remove_foreign(json_t *spec, json_t *cell)
{
    nq_job_kind kind = kind_of(spec);
    for (size_t i = 0; i < nq_spec_field_count && kind != NQ_JOB_QUANTIZE; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        if (field->kinds & (1u << kind) && strcmp(field->key, "calibrate.source") != 0)
            continue;
        remove_key(spec, field->key);
        json_object_del(cell, field->key);
    }
    if (kind != NQ_JOB_QUANTIZE)
        json_object_del(cell, BITS);
}

static nq_status check_cell(const json_t *spec, const json_t *cell, nq_error *err)
{
    nq_spec resolved;
    char name[NQ_GRID_NAME];
    nq_status status = nq_spec_resolve(spec, &resolved, err);
    nq_grid_name(cell, name);
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "%s", name);
}

/* The cell number `n` of the product. Both objects are the caller's. */
static nq_status make_cell(const json_t *axes, const json_t *base, size_t n, json_t **cell,
                           json_t **spec, nq_error *err)
{
    *cell = json_object();
    *spec = json_deep_copy(base);
    int bad = !*cell || !*spec;
    size_t i, left = 1;
    json_t *axis;
    json_array_foreach((json_t *)axes, i, axis)
    {
        left *= json_array_size(json_object_get(axis, "values"));
    }
    json_array_foreach((json_t *)axes, i, axis)
    {
        const json_t *values = json_object_get(axis, "values");
        left /= json_array_size(values);
        const json_t *value = json_array_get(values, n / left % json_array_size(values));
        json_t *copy = json_deep_copy(json_object_get(value, "spec"));
        bad |= !copy || nq_specfile_overlay(*spec, copy) != 0 ||
               json_object_set(*cell, nq_view_text(axis, "key"), json_object_get(value, "text"));
        json_decref(copy);
    }
    if (bad)
        return nq_fail_nomem(err, "the grid", 0);
    remove_foreign(*spec, *cell);
    return nq_specfile_make_absolute(*spec, err);
}

/* Whether `seen` did not have the spec yet. */
static nq_status is_new(json_t *seen, const json_t *spec, bool *new, nq_error *err)
{
    char *text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
    *new = text && !json_object_get(seen, text);
    nq_status status = !text || json_object_set_new(seen, text, json_true()) != 0
                           ? nq_fail_nomem(err, "the grid", 0)
                           : NQ_OK;
    free(text);
    return status;
}

static nq_status count_cells(const json_t *axes, size_t *count, nq_error *err)
{
    size_t i;
    json_t *axis;
    *count = 1;
    json_array_foreach((json_t *)axes, i, axis)
    {
        *count *= json_array_size(json_object_get(axis, "values"));
        if (*count > NQ_GRID_MOST)
            return nq_fail(err, NQ_ERR_INPUT, "the grid has more than %d cells: make it smaller",
                           NQ_GRID_MOST);
    }
    return NQ_OK;
}

nq_status nq_grid_cells(const json_t *axes, const json_t *base, json_t **cells, nq_error *err)
{
    size_t count;
    json_t *seen = json_object(), *rest = json_array();
    *cells = json_array();
    nq_status status = count_cells(axes, &count, err);
    for (size_t n = 0; status == NQ_OK && n < count; n++) {
        json_t *cell = NULL, *spec = NULL;
        bool new = false;
        status = make_cell(axes, base, n, &cell, &spec, err);
        if (status == NQ_OK)
            status = is_new(seen, spec, &new, err);
        if (status == NQ_OK && new)
            status = check_cell(spec, cell, err);
        json_t *list = kind_of(spec) == NQ_JOB_FLOAT ? *cells : rest;
        if (status == NQ_OK && new &&json_array_append_new(
                                   list, json_pack("{s:O, s:O}", "cell", cell, "spec", spec)) != 0)
            status = nq_fail_nomem(err, "the grid", 0);
        json_decref(cell);
        json_decref(spec);
    }
    if (status == NQ_OK && json_array_extend(*cells, rest) != 0)
        status = nq_fail_nomem(err, "the grid", 0);
    json_decref(seen);
    json_decref(rest);
    if (status != NQ_OK) {
        json_decref(*cells);
        *cells = NULL;
    }
    return status;
}
