#include "common/spec_value.h"

#include "common/json.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one value into the struct ---- */

static nq_status take_text(const nq_spec_field *field, const json_t *value, char *to, nq_error *err)
{
    bool path = field->type == NQ_FIELD_PATH;
    if (!json_is_string(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be a string, not %s", field->key,
                       nq_json_type_name(value));
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (length == 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s: is empty", field->key);
    if (length >= field->size)
        return nq_fail(err, NQ_ERR_INPUT, "%s: has %zu bytes, at most %zu are allowed", field->key,
                       length, field->size - 1);
    for (size_t i = 0; path && i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return nq_fail(err, NQ_ERR_INPUT, "%s: byte %zu is a control character", field->key, i);
    if (!path && !nq_spec_name_valid(text))
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: \"%s\" is not a name: letters, digits and any of . _ - + : make one",
                       field->key, text);
    memset(to, 0, field->size);
    memcpy(to, text, length);
    return NQ_OK;
}

static void store_number(const nq_spec_field *field, long long number, char *to)
{
    if (field->size == sizeof(uint64_t)) {
        uint64_t wide = (uint64_t)number;
        memcpy(to, &wide, sizeof wide);
    } else {
        uint32_t narrow = (uint32_t)number;
        memcpy(to, &narrow, sizeof narrow);
    }
}

static long long load_number(const nq_spec_field *field, const nq_spec *spec)
{
    const char *from = (const char *)spec + field->offset;
    uint64_t wide;
    uint32_t narrow;
    if (field->size == sizeof wide) {
        memcpy(&wide, from, sizeof wide);
        return (long long)wide;
    }
    memcpy(&narrow, from, sizeof narrow);
    return narrow;
}

static nq_status not_a_choice(const nq_spec_field *field, const char *text, nq_error *err)
{
    char list[256] = "";
    for (size_t i = 0, at = 0; field->choices[i] && at < sizeof list; i++)
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", field->choices[i]);
    return nq_fail(err, NQ_ERR_INPUT, "%s: %s is not one of %s", field->key, text, list);
}

static nq_status take_bool(const nq_spec_field *field, const json_t *value, char *to, nq_error *err)
{
    if (!json_is_boolean(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be true or false, not %s", field->key,
                       nq_json_type_name(value));
    if (json_is_true(value) && field->high == 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: this version cannot do that; leave the key out or give false",
                       field->key);
    store_number(field, json_is_true(value), to);
    return NQ_OK;
}

static bool is_auto(const nq_spec_field *field, const char *text)
{
    return field->type == NQ_FIELD_INT_OR_AUTO && text && strcmp(text, "auto") == 0;
}

static nq_status take_number(const nq_spec_field *field, const json_t *value, char *to,
                             nq_error *err)
{
    if (is_auto(field, json_string_value(value))) {
        store_number(field, 0, to);
        return NQ_OK;
    }
    if (!json_is_integer(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be a whole number%s, not %s", field->key,
                       field->type == NQ_FIELD_INT ? "" : " or \"auto\"", nq_json_type_name(value));
    long long number = json_integer_value(value);
    bool listed = !field->choices;
    for (size_t i = 0; !listed && field->choices[i]; i++)
        listed = atoll(field->choices[i]) == number;
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    if (!listed)
        return not_a_choice(field, text, err);
    if (number < field->low || number > field->high)
        return nq_fail(err, NQ_ERR_INPUT, "%s: %s is not in %lld..%lld", field->key, text,
                       field->low, field->high);
    store_number(field, number, to);
    return NQ_OK;
}

#define MEGABYTE 1e6

static nq_status take_megabytes(const nq_spec_field *field, const json_t *value, char *to,
                                nq_error *err)
{
    if (!json_is_number(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be a number of MB, not %s", field->key,
                       nq_json_type_name(value));
    double bytes = round(json_number_value(value) * MEGABYTE);
    if (!(bytes >= (double)field->low && bytes <= (double)field->high))
        return nq_fail(err, NQ_ERR_INPUT, "%s: %g MB is not in %.15g..%.15g", field->key,
                       json_number_value(value), (double)field->low / MEGABYTE,
                       (double)field->high / MEGABYTE);
    store_number(field, (long long)bytes, to);
    return NQ_OK;
}

static nq_status take_choice(const nq_spec_field *field, const json_t *value, char *to,
                             nq_error *err)
{
    if (!json_is_string(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be a string, not %s", field->key,
                       nq_json_type_name(value));
    for (size_t i = 0; field->choices[i]; i++)
        if (strcmp(field->choices[i], json_string_value(value)) == 0) {
            store_number(field, (long long)i, to);
            return NQ_OK;
        }
    char quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\"", json_string_value(value));
    return not_a_choice(field, quoted, err);
}

static nq_status take_list(const nq_spec_field *field, const json_t *value, nq_spec *spec,
                           nq_error *err)
{
    if (!json_is_array(value))
        return nq_fail(err, NQ_ERR_INPUT, "%s: must be an array of layer names, not %s", field->key,
                       nq_json_type_name(value));
    size_t count = json_array_size(value);
    if (count > NQ_SPEC_KEEP)
        return nq_fail(err, NQ_ERR_INPUT, "%s: has %zu entries, at most %d are allowed", field->key,
                       count, NQ_SPEC_KEEP);
    nq_spec_field entry = *field;
    entry.type = NQ_FIELD_STRING;
    entry.size = NQ_SPEC_NAME;
    memset(spec->keep_8bit, 0, sizeof spec->keep_8bit);
    for (size_t i = 0; i < count; i++) {
        nq_status status = take_text(&entry, json_array_get(value, i), spec->keep_8bit[i], err);
        if (status != NQ_OK)
            return status;
        for (size_t j = 0; j < i; j++)
            if (strcmp(spec->keep_8bit[i], spec->keep_8bit[j]) == 0)
                return nq_fail(err, NQ_ERR_INPUT, "%s: names \"%s\" twice", field->key,
                               spec->keep_8bit[i]);
    }
    spec->keep_count = count;
    return NQ_OK;
}

nq_status nq_spec_take(const nq_spec_field *field, const json_t *value, nq_spec *spec,
                       nq_error *err)
{
    char *to = (char *)spec + field->offset;
    switch (field->type) {
    case NQ_FIELD_STRING:
    case NQ_FIELD_PATH:
        return take_text(field, value, to, err);
    case NQ_FIELD_INT:
    case NQ_FIELD_INT_OR_AUTO:
        return take_number(field, value, to, err);
    case NQ_FIELD_MEGABYTES:
        return take_megabytes(field, value, to, err);
    case NQ_FIELD_BOOL:
        return take_bool(field, value, to, err);
    case NQ_FIELD_ENUM:
        return take_choice(field, value, to, err);
    case NQ_FIELD_LIST:
        return take_list(field, value, spec, err);
    }
    return nq_fail(err, NQ_ERR_INTERNAL, "%s: has no type", field->key);
}

/* ---- text to values ---- */

static nq_status number_of_text(const nq_spec_field *field, const char *text, json_t **value,
                                nq_error *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool digit = *text >= '0' && *text <= '9';
    bool negative = *text == '-' && text[1] >= '0' && text[1] <= '9';
    if ((!digit && !negative) || *end || errno)
        return nq_fail(err, NQ_ERR_INPUT, "%s: \"%s\" is not a whole number%s", field->key, text,
                       field->type == NQ_FIELD_INT ? "" : " or auto");
    *value = json_integer(number);
    return *value ? NQ_OK : nq_fail_nomem(err, field->key, sizeof number);
}

static nq_status real_of_text(const nq_spec_field *field, const char *text, json_t **value,
                              nq_error *err)
{
    char *end;
    double number = strtod(text, &end);
    bool decimal = strspn(text, "0123456789.eE+-") == strlen(text) && strchr("-.0123456789", *text);
    if (!decimal || end == text || *end || !isfinite(number))
        return nq_fail(err, NQ_ERR_INPUT, "%s: \"%s\" is not a number", field->key, text);
    *value = json_real(number);
    return *value ? NQ_OK : nq_fail_nomem(err, field->key, sizeof number);
}

static nq_status list_of_text(const nq_spec_field *field, const char *text, json_t **value,
                              nq_error *err)
{
    *value = json_array();
    for (const char *at = text; *value && *text;) {
        size_t length = strcspn(at, ",");
        if (json_array_append_new(*value, json_stringn(at, length)) != 0) {
            json_decref(*value);
            *value = NULL;
            return nq_fail(err, NQ_ERR_INPUT, "%s: is not UTF-8", field->key);
        }
        if (!at[length])
            break;
        at += length + 1;
    }
    return *value ? NQ_OK : nq_fail_nomem(err, field->key, 0);
}

nq_status nq_spec_value_of_text(const nq_spec_field *field, const char *text, json_t **value,
                                nq_error *err)
{
    if (field->type == NQ_FIELD_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        *value = json_boolean(*text == 't');
        return NQ_OK;
    }
    if (field->type == NQ_FIELD_MEGABYTES)
        return real_of_text(field, text, value, err);
    if (field->type == NQ_FIELD_INT ||
        (field->type == NQ_FIELD_INT_OR_AUTO && !is_auto(field, text)))
        return number_of_text(field, text, value, err);
    if (field->type == NQ_FIELD_LIST)
        return list_of_text(field, text, value, err);
    *value = json_string(text);
    return *value ? NQ_OK : nq_fail(err, NQ_ERR_INPUT, "%s: is not UTF-8", field->key);
}

/* ---- the struct to values ---- */

json_t *nq_spec_value(const nq_spec_field *field, const nq_spec *spec)
{
    json_t *list;
    switch (field->type) {
    case NQ_FIELD_STRING:
    case NQ_FIELD_PATH:
        return json_string((const char *)spec + field->offset);
    case NQ_FIELD_BOOL:
        return json_boolean(load_number(field, spec) != 0);
    case NQ_FIELD_INT_OR_AUTO:
        if (load_number(field, spec) == 0)
            return json_string("auto");
        return json_integer(load_number(field, spec));
    case NQ_FIELD_INT:
        return json_integer(load_number(field, spec));
    case NQ_FIELD_MEGABYTES:
        return json_real((double)load_number(field, spec) / MEGABYTE);
    case NQ_FIELD_ENUM:
        return json_string(field->choices[load_number(field, spec)]);
    case NQ_FIELD_LIST:
        list = json_array();
        for (size_t i = 0; list && i < spec->keep_count; i++)
            if (json_array_append_new(list, json_string(spec->keep_8bit[i])) != 0) {
                json_decref(list);
                return NULL;
            }
        return list;
    }
    return NULL;
}
