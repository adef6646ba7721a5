#include "worker/output/safetensors.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are written as they lie");

static const struct {
    const char *name;
    size_t bytes;
} types[] = {[NQ_ST_F32] = {"F32", 4},
             [NQ_ST_I32] = {"I32", 4},
             [NQ_ST_I8] = {"I8", 1},
             [NQ_ST_U8] = {"U8", 1}};
#define TYPES ((int)(sizeof types / sizeof types[0]))

enum { LENGTH = 8 }; /* bytes of the header's length */

/* ---- writing ---- */

static int compare_tensors(const void *a, const void *b)
{
    const nq_st_tensor *x = a, *y = b;
    if (types[x->type].bytes != types[y->type].bytes)
        return types[x->type].bytes > types[y->type].bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* jansson makes one thing of failed parts: NULL, which the next call refuses. */
static json_t *tensor_entry(const nq_st_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[t->type].name, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + t->bytes));
}

static char *header_text(const json_t *metadata, const nq_st_tensor *tensors, size_t count)
{
    char *text = NULL;
    size_t at = 0;
    json_t *header = json_object();
    if (!header || json_object_set_new(header, "__metadata__", json_deep_copy(metadata)) != 0)
        goto cleanup;
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(header, tensors[i].name, tensor_entry(&tensors[i], at)) != 0)
            goto cleanup;
        at += tensors[i].bytes;
    }
    text = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);
cleanup:
    json_decref(header);
    return text;
}

nq_status nq_safetensors_write(const json_t *metadata, nq_st_tensor *tensors, size_t count,
                               uint8_t **data, size_t *size, nq_error *err)
{
    *data = NULL;
    *size = 0;
    qsort(tensors, count, sizeof *tensors, compare_tensors);
    char *text = header_text(metadata, tensors, count);
    if (!text)
        return nq_fail_nomem(err, "a model file's header", count * sizeof *tensors);
    size_t used = strlen(text), header = (used + 7) / 8 * 8, total = LENGTH + header;
    for (size_t i = 0; i < count; i++)
        total += tensors[i].bytes;
    uint8_t *out = malloc(total);
    if (!out) {
        free(text);
        return nq_fail_nomem(err, "a model file", total);
    }
    uint64_t length = header;
    memcpy(out, &length, LENGTH);
    memcpy(out + LENGTH, text, used);
    memset(out + LENGTH + used, ' ', header - used);
    uint8_t *at = out + LENGTH + header;
    for (size_t i = 0; i < count; at += tensors[i++].bytes)
        memcpy(at, tensors[i].data, tensors[i].bytes);
    free(text);
    *data = out;
    *size = total;
    return NQ_OK;
}

/* ---- reading ---- */

static nq_status bad_entry(const nq_st_tensor *t, const char *what, nq_error *err)
{
    return nq_fail(err, NQ_ERR_INPUT, "tensor \"%.80s\": %s", t->name, what);
}

static bool read_size(const json_t *value, size_t limit, size_t *size)
{
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    *size = (size_t)n;
    return n >= 0 && (uint64_t)n <= limit;
}

static nq_status read_shape(const json_t *shape, size_t room, nq_st_tensor *t, nq_error *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > NQ_ST_RANK)
        return bad_entry(t, "its shape is no array of at most 4 numbers", err);
    size_t elements = 1;
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank; i++) {
        if (!read_size(json_array_get(shape, (size_t)i), room, &t->shape[i]))
            return bad_entry(t, "its shape does not fit the file", err);
        if (__builtin_mul_overflow(elements, t->shape[i], &elements))
            return bad_entry(t, "its shape overflows", err);
    }
    if (elements > room || elements * types[t->type].bytes != t->bytes)
        return bad_entry(t, "its shape and its data_offsets disagree", err);
    return NQ_OK;
}

static nq_status read_entry(const json_t *entry, const uint8_t *data, size_t room, nq_st_tensor *t,
                            nq_error *err)
{
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin, end;
    int k = 0;
    if (!type || json_object_size(entry) != 3)
        return bad_entry(t, "its entry is not dtype, shape and data_offsets", err);
    while (k < TYPES && strcmp(types[k].name, type) != 0)
        k++;
    if (k == TYPES)
        return bad_entry(t, "its dtype is none of F32, I32, I8, U8", err);
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), room, &begin) ||
        !read_size(json_array_get(offsets, 1), room, &end) || begin > end)
        return bad_entry(t, "its data_offsets lie outside the file", err);
    t->type = (nq_st_type)k;
    t->data = data + begin;
    t->bytes = end - begin;
    return read_shape(json_object_get(entry, "shape"), room, t, err);
}

static int compare_offsets(const void *a, const void *b)
{
    const nq_st_tensor *x = a, *y = b;
    const uint8_t *p = x->data, *q = y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty ones first */
}

static nq_status check_cover(nq_safetensors *file, const uint8_t *data, size_t room, nq_error *err)
{
    const uint8_t *at = data;
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_offsets);
    for (size_t i = 0; i < file->count; i++) {
        if (file->tensors[i].data != at)
            return bad_entry(&file->tensors[i], "its bytes do not follow the tensor before", err);
        at += file->tensors[i].bytes;
    }
    if (at != data + room)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%zu bytes of tensors are named in the header, the file has %zu",
                       (size_t)(at - data), room);
    return NQ_OK;
}

static nq_status read_entries(nq_safetensors *file, const uint8_t *data, size_t room, nq_error *err)
{
    const char *name;
    json_t *entry;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors)
        return nq_fail_nomem(err, "a list of tensors", json_object_size(file->header));
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        nq_st_tensor *t = &file->tensors[file->count++];
        t->name = name;
        nq_status status = read_entry(entry, data, room, t, err);
        if (status != NQ_OK)
            return status;
    }
    return check_cover(file, data, room, err);
}

static nq_status check_metadata(const json_t *metadata, nq_error *err)
{
    const char *key;
    const json_t *value;
    if (!json_is_object(metadata))
        return nq_fail(err, NQ_ERR_INPUT, "the header has no __metadata__");
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return nq_fail(err, NQ_ERR_INPUT, "__metadata__: \"%.80s\" is no string", key);
    }
    return NQ_OK;
}

nq_status nq_safetensors_read(const uint8_t *data, size_t size, nq_safetensors *file, nq_error *err)
{
    uint64_t length = 0;
    *file = (nq_safetensors){0};
    if (size >= LENGTH)
        memcpy(&length, data, LENGTH);
    if (size < LENGTH || length > size - LENGTH || length > NQ_SAFETENSORS_HEADER)
        return nq_fail(err, NQ_ERR_INPUT,
                       "no safetensors file: a header of %llu bytes does not fit %zu bytes",
                       (unsigned long long)length, size);
    json_error_t fault;
    file->header =
        json_loadb((const char *)data + LENGTH, (size_t)length, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(file->header)) {
        nq_safetensors_free(file);
        return nq_fail(err, NQ_ERR_INPUT, "the header is no JSON object: byte %d: %s",
                       LENGTH + fault.position, fault.text);
    }
    file->metadata = json_object_get(file->header, "__metadata__");
    nq_status status = check_metadata(file->metadata, err);
    if (status == NQ_OK)
        status = read_entries(file, data + LENGTH + length, size - LENGTH - (size_t)length, err);
    if (status != NQ_OK)
        nq_safetensors_free(file);
    return status;
}

void nq_safetensors_free(nq_safetensors *file)
{
    json_decref(file->header);
    free(file->tensors);
    *file = (nq_safetensors){0};
}

nq_st_tensor *nq_safetensors_take(nq_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) {
            file->tensors[i].taken = true;
            return &file->tensors[i];
        }
    return NULL;
}

const char *nq_safetensors_untaken(const nq_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (!file->tensors[i].taken)
            return file->tensors[i].name;
    return NULL;
}
