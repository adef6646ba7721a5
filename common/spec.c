#include "common/spec.h"

#include "common/json.h"
#include "common/spec_value.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_FIELDS = 64, KEY_SIZE = 64 };

/* ---- looking things up ---- */

bool nq_spec_name_valid(const char *name)
{
    static const char *const first =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strlen(name);
    if (length == 0 || length >= NQ_SPEC_NAME || !strchr(first, name[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!strchr(first, name[i]) && !strchr("._-+:", name[i]))
            return false;
    return true;
}

const nq_spec_field *nq_spec_field_find(const char *key)
{
    for (size_t i = 0; i < nq_spec_field_count; i++)
        if (strcmp(nq_spec_fields[i].key, key) == 0)
            return &nq_spec_fields[i];
    return NULL;
}

const nq_preset *nq_preset_find(const char *name)
{
    for (size_t i = 0; i < nq_preset_count; i++)
        if (strcmp(nq_presets[i].name, name) == 0)
            return &nq_presets[i];
    return NULL;
}

/* "bits" alone is as near to "weights.bits" as a slip of one letter. */
static nq_status unknown_key(const char *key, nq_error *err)
{
    char nearest[KEY_SIZE] = "";
    int least = KEY_SIZE;
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        const char *full = nq_spec_fields[i].key, *dot = strchr(full, '.');
        int distance = nq_edit_distance(key, full);
        char group[KEY_SIZE] = "";
        snprintf(group, sizeof group, "%.*s", dot ? (int)(dot - full) : 0, full);
        int leaf = dot ? nq_edit_distance(key, dot + 1) + 1 : distance;
        int whole = dot ? nq_edit_distance(key, group) : distance;
        int near = leaf < distance ? leaf : distance;
        if (near < least)
            snprintf(nearest, sizeof nearest, "%s", full);
        least = near < least ? near : least;
        if (whole < least) {
            snprintf(nearest, sizeof nearest, "%s", group);
            least = whole;
        }
    }
    return nq_fail(err, NQ_ERR_INPUT, "%s: there is no such key; the nearest is %s", key, nearest);
}

static nq_status find_preset(const char *name, const nq_preset **preset, nq_error *err)
{
    const char *names[MOST_FIELDS] = {NULL};
    for (size_t i = 0; i < nq_preset_count && i < MOST_FIELDS - 1; i++)
        names[i] = nq_presets[i].name;
    *preset = nq_preset_find(name);
    if (*preset)
        return NQ_OK;
    return nq_fail(err, NQ_ERR_INPUT, "preset: there is no \"%s\"; the nearest is \"%s\"", name,
                   nq_nearest(name, names));
}

/* Keys that mean something only together with the value of another. */
static bool key_read(const char *key, const nq_spec *spec, const char **needs)
{
    if (strcmp(key, "weights.size_budget_mb") == 0) {
        *needs = "weights.bits auto";
        return spec->weights.bits == 0;
    }
    if (strcmp(key, "activations.percentile") == 0) {
        *needs = "activations.range percentile";
        return spec->activations.range == NQ_RANGE_PERCENTILE;
    }
    if (strcmp(key, "calibrate.file") == 0 || strcmp(key, "calibrate.synthetic") == 0) {
        *needs = "calibrate.source file";
        return spec->calibrate.source == NQ_CALIBRATE_FILE;
    }
    if (strcmp(key, "calibrate.samples") == 0 || strcmp(key, "calibrate.seed") == 0 ||
        strcmp(key, "calibrate.views") == 0) {
        *needs = "samples (calibrate.source gaussian, uniform, file or distill)";
        return spec->kind != NQ_JOB_QUANTIZE || spec->calibrate.source != NQ_CALIBRATE_NONE;
    }
    if (strcmp(key, "calibrate.loss") == 0 || strcmp(key, "calibrate.init") == 0 ||
        strcmp(key, "calibrate.steps") == 0 || strcmp(key, "calibrate.batch") == 0) {
        *needs = "calibrate.source distill";
        return spec->calibrate.source == NQ_CALIBRATE_DISTILL;
    }
    if (strcmp(key, "repair.equalize_by") == 0) {
        *needs = "repair.equalize true";
        return spec->repair.equalize;
    }
    if (strcmp(key, "repair.equalize_exponent") == 0) {
        *needs = "repair.equalize_by activations";
        return spec->repair.equalize && spec->repair.equalize_by == NQ_EQUALIZE_ACTIVATIONS;
    }
    if (strncmp(key, "gptq.", 5) == 0) {
        *needs = "weights.rounding gptq";
        return spec->weights.rounding == NQ_ROUND_GPTQ;
    }
    return true;
}

double nq_spec_choice(const char *key, int index)
{
    return strtod(nq_spec_field_find(key)->choices[index], NULL);
}

double nq_spec_choice_or(const char *key, int index, double automatic)
{
    return index > 0 ? nq_spec_choice(key, index) : automatic;
}

/* The value at a dotted key of a nested object, or NULL. */
static json_t *member_at(const json_t *spec, const char *key)
{
    const char *dot = strchr(key, '.');
    if (!dot)
        return json_object_get(spec, key);
    char group[KEY_SIZE];
    snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
    return json_object_get(json_object_get(spec, group), dot + 1);
}

/* Puts value (a reference that is given away) at a dotted key, making the group where needed. */
static nq_status put_member(json_t *spec, const char *key, json_t *value, nq_error *err)
{
    const char *dot = strchr(key, '.');
    json_t *object = spec;
    char group[KEY_SIZE];
    if (dot) {
        snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
        object = json_object_get(spec, group);
        if (!object && json_object_set_new(spec, group, json_object()) == 0)
            object = json_object_get(spec, group);
    }
    if (object && !json_is_object(object)) {
        json_decref(value);
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be an object, not %s", group,
                       nq_json_type_name(object));
    }
    if (json_object_set_new(object, dot ? dot + 1 : key, value) != 0)
        return nq_fail_nomem(err, key, 0);
    return NQ_OK;
}

/* ---- flags ---- */

nq_status nq_spec_set(json_t *spec, const char *key, const char *text, nq_error *err)
{
    const nq_spec_field *field = nq_spec_field_find(key);
    if (!field)
        return unknown_key(key, err);
    nq_spec *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        return nq_fail_nomem(err, key, sizeof *scratch);
    json_t *value = NULL;
    nq_status status = nq_spec_value_of_text(field, text, &value, err);
    if (status == NQ_OK)
        status = nq_spec_take(field, value, scratch, err);
    free(scratch);
    if (status == NQ_OK)
        return put_member(spec, key, value, err);
    json_decref(value);
    return status;
}

static nq_status take_words(const nq_spec_field *field, const char *text, nq_spec *spec,
                            nq_error *err)
{
    json_t *value = NULL;
    nq_status status = nq_spec_value_of_text(field, text, &value, err);
    if (status == NQ_OK)
        status = nq_spec_take(field, value, spec, err);
    json_decref(value);
    return status;
}

/* ---- resolving ---- */

static nq_status check_group(const char *group, const json_t *members, nq_error *err)
{
    const char *inner;
    json_t *value;
    if (!json_is_object(members))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be an object, not %s", group,
                       nq_json_type_name(members));
    json_object_foreach((json_t *)members, inner, value)
    {
        char full[2 * KEY_SIZE];
        snprintf(full, sizeof full, "%.63s.%.63s", group, inner);
        if (!nq_spec_field_find(full) || strchr(inner, '.'))
            return unknown_key(full, err);
    }
    return NQ_OK;
}

static nq_status check_keys(const json_t *written, nq_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(written))
        return nq_fail(err, NQ_ERR_INPUT, "the spec must be a JSON object, not %s",
                       nq_json_type_name(written));
    json_object_foreach((json_t *)written, key, value)
    {
        size_t length = strlen(key);
        bool group = false;
        for (size_t i = 0; i < nq_spec_field_count && !group; i++)
            group = strncmp(nq_spec_fields[i].key, key, length) == 0 &&
                    nq_spec_fields[i].key[length] == '.';
        if (group) {
            nq_status status = check_group(key, value, err);
            if (status != NQ_OK)
                return status;
        } else if (strchr(key, '.') && nq_spec_field_find(key)) {
            int before = (int)(strchr(key, '.') - key);
            return nq_fail(err, NQ_ERR_INPUT, "%s: write it nested, as {\"%.*s\": {\"%s\": ...}}",
                           key, before, key, key + before + 1);
        } else if (!nq_spec_field_find(key)) {
            return unknown_key(key, err);
        }
    }
    return NQ_OK;
}

static nq_status choose_preset(const json_t *written, const nq_preset **preset, nq_error *err)
{
    const json_t *value = json_object_get(written, "preset");
    if (value && !json_is_string(value))
        return nq_fail(err, NQ_ERR_INPUT, "preset: must be a string, not %s",
                       nq_json_type_name(value));
    if (value)
        return find_preset(json_string_value(value), preset, err);
    return find_preset(json_object_get(written, "quantized")
                           ? "quantized"
                           : nq_spec_field_find("preset")->standard,
                       preset, err);
}

static nq_status apply_layers(const json_t *written, const nq_preset *preset, nq_spec *spec,
                              nq_error *err)
{
    nq_status status = NQ_OK;
    for (size_t i = 0; i < nq_spec_field_count && status == NQ_OK; i++)
        if (nq_spec_fields[i].standard)
            status = take_words(&nq_spec_fields[i], nq_spec_fields[i].standard, spec, err);
    for (const char *const *s = preset->settings; *s && status == NQ_OK; s += 2)
        status = take_words(nq_spec_field_find(s[0]), s[1], spec, err);
    for (size_t i = 0; i < nq_spec_field_count && status == NQ_OK; i++) {
        const json_t *value = member_at(written, nq_spec_fields[i].key);
        if (value && !(nq_spec_fields[i].kinds & (1u << preset->kind)))
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: means nothing to preset %s; leave the key out or choose another "
                           "preset",
                           nq_spec_fields[i].key, preset->name);
        if (value)
            status = nq_spec_take(&nq_spec_fields[i], value, spec, err);
    }
    snprintf(spec->preset, sizeof spec->preset, "%s", preset->name);
    spec->kind = preset->kind;
    return status;
}

/* A key that is read only together with another must not be written without it. */
static nq_status check_companions(const json_t *written, const nq_spec *spec, nq_error *err)
{
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        const char *key = nq_spec_fields[i].key, *needs = NULL;
        if (!key_read(key, spec, &needs) && member_at(written, key))
            return nq_fail(err, NQ_ERR_INPUT, "%s: is read only with %s; set that too", key, needs);
    }
    return NQ_OK;
}

/* What looks at samples cannot go without. */
static nq_status check_needs_samples(const nq_spec *spec, nq_error *err)
{
    const char *key = NULL;
    if (spec->weights.bits == 0)
        key = "weights.bits: auto";
    else if (spec->weights.rounding == NQ_ROUND_GPTQ)
        key = "weights.rounding: gptq";
    else if (spec->activations.range == NQ_RANGE_OUTPUT)
        key = "activations.range: output";
    else if (spec->repair.correct_stats)
        key = "repair.correct_stats: true";
    if (!key || spec->activations.source == NQ_SOURCE_DATA)
        return NQ_OK;
    return nq_fail(err, NQ_ERR_INPUT, "%s needs samples, but activations.source is bn", key);
}

/* Ranges come from samples or from batch norms, and whoever says one must not ask for the other. */
static nq_status check_source(const nq_spec *spec, nq_error *err)
{
    bool samples = spec->calibrate.source != NQ_CALIBRATE_NONE;
    bool bn = spec->activations.source == NQ_SOURCE_BN;
    if (!samples && !bn)
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibrate.source: none leaves the activations without ranges; choose "
                       "gaussian, uniform, file or distill, or activations.source bn");
    if (samples && bn)
        return nq_fail(err, NQ_ERR_INPUT,
                       "activations.source: bn draws no sample, but calibrate.source is %s; set "
                       "that to none, or activations.source to data",
                       nq_spec_field_find("calibrate.source")->choices[spec->calibrate.source]);
    return check_needs_samples(spec, err);
}

static bool preset_sets(const nq_spec *spec, const char *key)
{
    for (const char *const *s = nq_preset_find(spec->preset)->settings; *s; s += 2)
        if (strcmp(*s, key) == 0)
            return true;
    return false;
}

/* How many images are made where nobody says it, and how many one job's memory has room for. */
static nq_status check_distilled(bool samples_given, nq_spec *spec, nq_error *err)
{
    if (!samples_given && !preset_sets(spec, "calibrate.samples"))
        spec->calibrate.samples = 64;
    if (spec->calibrate.samples > 1024)
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibrate.samples: %d are more than the 1024 images that "
                       "calibrate.source distill makes",
                       spec->calibrate.samples);
    return NQ_OK;
}

static nq_status check_calibration(const json_t *written, nq_spec *spec, nq_error *err)
{
    bool samples_given = member_at(written, "calibrate.samples");
    nq_calibrate_source source = spec->calibrate.source;
    if (spec->kind != NQ_JOB_QUANTIZE && source != NQ_CALIBRATE_NONE)
        return nq_fail(err, NQ_ERR_INPUT, "calibrate.source: preset %s calibrates nothing",
                       spec->preset);
    if (spec->kind != NQ_JOB_QUANTIZE)
        return NQ_OK;
    nq_status status = check_source(spec, err);
    if (status != NQ_OK)
        return status;
    if (source == NQ_CALIBRATE_DISTILL &&
        (status = check_distilled(samples_given, spec, err)) != NQ_OK)
        return status;
    if (source == NQ_CALIBRATE_FILE && !*spec->calibrate.file)
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibrate.file: is missing; calibrate.source file needs it");
    if (source == NQ_CALIBRATE_NONE || (source == NQ_CALIBRATE_FILE && !samples_given))
        spec->calibrate.samples = 0;
    else if (source != NQ_CALIBRATE_FILE && spec->calibrate.samples == 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "calibrate.samples: 0 means all of a file; calibrate.source %s needs a "
                       "number",
                       nq_spec_field_find("calibrate.source")->choices[source]);
    return NQ_OK;
}

static nq_status check_whole(const json_t *written, nq_spec *spec, nq_error *err)
{
    if (!*spec->model)
        return nq_fail(err, NQ_ERR_INPUT,
                       "model: is missing; name the network (netqctl models lists what there is)");
    if (spec->kind == NQ_JOB_QUANTIZED_FILE && !*spec->quantized)
        return nq_fail(err, NQ_ERR_INPUT,
                       "quantized: is missing; preset quantized needs the model.safetensors to "
                       "score");
    if (*spec->dataset_path && json_object_get(written, "dataset"))
        return nq_fail(err, NQ_ERR_INPUT,
                       "dataset_path: is given together with dataset; choose one");
    if (*spec->dataset_path)
        memset(spec->dataset, 0, sizeof spec->dataset);
    if (spec->activations.range != NQ_RANGE_MINMAX && spec->activations.qmax != 255)
        return nq_fail(err, NQ_ERR_INPUT,
                       "activations.range: only minmax goes with activations.qmax 127; set that to "
                       "255 or choose a preset that does");
    if (spec->kind == NQ_JOB_QUANTIZE && spec->weights.bits == 0 && spec->weights.size_budget == 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "weights.size_budget_mb: is missing; weights.bits auto needs it");
    nq_status status = check_calibration(written, spec, err);
    return status == NQ_OK ? check_companions(written, spec, err) : status;
}

nq_status nq_spec_resolve(const json_t *written, nq_spec *spec, nq_error *err)
{
    const nq_preset *preset = NULL;
    memset(spec, 0, sizeof *spec);
    nq_status status = check_keys(written, err);
    if (status == NQ_OK)
        status = choose_preset(written, &preset, err);
    if (status == NQ_OK)
        status = apply_layers(written, preset, spec, err);
    if (status == NQ_OK)
        status = check_whole(written, spec, err);
    if (status != NQ_OK)
        memset(spec, 0, sizeof *spec);
    return status;
}

/* ---- the canonical form ---- */

/* Keys that came later are left out at their defaults, so that older specs keep their form; but not
 * where the preset says otherwise. */
static bool left_out(const char *key, const nq_spec *spec)
{
    bool standard = (strcmp(key, "calibrate.views") == 0 && spec->calibrate.views == 1) ||
                    (strcmp(key, "calibrate.synthetic") == 0 && !spec->calibrate.synthetic);
    return standard && !preset_sets(spec, key);
}

json_t *nq_spec_to_json(const nq_spec *spec)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < nq_spec_field_count; i++) {
        const nq_spec_field *field = &nq_spec_fields[i];
        bool text = field->type == NQ_FIELD_STRING || field->type == NQ_FIELD_PATH;
        if (!(field->kinds & (1u << spec->kind)) || (text && !((const char *)spec)[field->offset]))
            continue;
        const char *needs;
        if (!key_read(field->key, spec, &needs))
            continue;
        if (left_out(field->key, spec))
            continue;
        if (put_member(object, field->key, nq_spec_value(field, spec), NULL) != NQ_OK) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
