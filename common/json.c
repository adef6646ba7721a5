#include "common/json.h"

#include "common/file.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

nq_status nq_json_parse(const char *text, size_t size, size_t limit, const char *what,
                        json_t **object, nq_error *err)
{
    *object = NULL;
    if (size > limit)
        return nq_fail(err, NQ_ERR_INPUT, "%s: has %zu bytes, at most %zu are read", what, size,
                       limit);
    json_error_t at;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &at);
    if (!value && json_error_code(&at) == json_error_out_of_memory)
        return nq_fail_nomem(err, what, size);
    if (!value)
        return nq_fail(err, NQ_ERR_INPUT, "%s: is not a JSON object: %s (byte %d)", what, at.text,
                       at.position);
    if (!json_is_object(value)) {
        nq_fail(err, NQ_ERR_INPUT, "%s: is %s, not a JSON object", what, nq_json_type_name(value));
        json_decref(value);
        return NQ_ERR_INPUT;
    }
    *object = value;
    return NQ_OK;
}

nq_status nq_json_load(const char *path, size_t limit, json_t **object, nq_error *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    *object = NULL;
    nq_status status = nq_file_read(path, limit, &data, &size, err);
    if (status == NQ_OK)
        status = nq_json_parse((const char *)data, size, limit, path, object, err);
    free(data);
    return status;
}

const char *nq_json_type_name(const json_t *value)
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction or an exponent";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

static nq_status wrong_type(const char *key, const char *want, const json_t *value, nq_error *err)
{
    return nq_fail(err, NQ_ERR_INPUT, "%s: must be %s, not %s", key, want,
                   nq_json_type_name(value));
}

nq_status nq_json_get_int(const json_t *object, const char *key, long long low, long long high,
                          long long *value, nq_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_integer(member))
        return wrong_type(key, "a whole number", member, err);
    long long number = json_integer_value(member);
    if (number < low || number > high)
        return nq_fail(err, NQ_ERR_INPUT, "%s: %lld is not in %lld..%lld", key, number, low, high);
    *value = number;
    return NQ_OK;
}

nq_status nq_json_get_real(const json_t *object, const char *key, double *value, nq_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_number(member))
        return wrong_type(key, "a number", member, err);
    *value = json_number_value(member);
    return NQ_OK;
}

nq_status nq_json_get_bool(const json_t *object, const char *key, bool *value, nq_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_boolean(member))
        return wrong_type(key, "true or false", member, err);
    *value = json_is_true(member);
    return NQ_OK;
}

nq_status nq_json_get_string(const json_t *object, const char *key, const char **value,
                             nq_error *err)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_string(member))
        return wrong_type(key, "a string", member, err);
    *value = json_string_value(member);
    return NQ_OK;
}

nq_status nq_json_get_object(const json_t *object, const char *key, json_t **value, nq_error *err)
{
    json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_object(member))
        return wrong_type(key, "an object", member, err);
    *value = member;
    return NQ_OK;
}

nq_status nq_json_get_array(const json_t *object, const char *key, json_t **value, nq_error *err)
{
    json_t *member = json_object_get(object, key);
    if (!member)
        return NQ_OK;
    if (!json_is_array(member))
        return wrong_type(key, "an array", member, err);
    *value = member;
    return NQ_OK;
}

nq_status nq_json_require(const json_t *object, const char *key, nq_error *err)
{
    if (json_object_get(object, key))
        return NQ_OK;
    return nq_fail(err, NQ_ERR_INPUT, "%s: is missing", key);
}

nq_status nq_json_check_keys(const json_t *object, const char *const *valid, nq_error *err)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)object, key, member)
    {
        const char *const *v = valid;
        while (*v && strcmp(*v, key) != 0)
            v++;
        if (*v)
            continue;
        const char *near = nq_nearest(key, valid);
        if (!near)
            return nq_fail(err, NQ_ERR_INPUT, "%s: is not a key here; there is none", key);
        return nq_fail(err, NQ_ERR_INPUT, "%s: is not a key here; the nearest is \"%s\"", key,
                       near);
    }
    return NQ_OK;
}

/* Three rows of the table of optimal string alignment are enough. */
int nq_edit_distance(const char *a, const char *b)
{
    enum { MOST = 63 };
    int rows[3][MOST + 1];
    int length_a = (int)strnlen(a, MOST), length_b = (int)strnlen(b, MOST);
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (int j = 0; j <= length_b; j++)
        last[j] = j;
    for (int i = 1; i <= length_a; i++) {
        now[0] = i;
        for (int j = 1; j <= length_b; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        int *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[length_b];
}

const char *nq_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    int least = 0;
    for (; *words; words++) {
        int distance = nq_edit_distance(word, *words);
        if (nearest && distance >= least)
            continue;
        nearest = *words;
        least = distance;
    }
    return nearest;
}
