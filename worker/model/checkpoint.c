#include "worker/model/checkpoint.h"
#include "worker/model/checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TENSORS      100000u
#define MAX_TENSOR_BYTES ((size_t)1 << 30) /* over all tensors of a file */
#define MAX_EXPANSION    64                /* tensor bytes for each byte of the file */
#define MAX_NAME         256u

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [NQ_F32] = {"float32", 4}, [NQ_F16] = {"float16", 2}, [NQ_BF16] = {"bfloat16", 2},
    [NQ_F64] = {"float64", 8}, [NQ_I64] = {"int64", 8},   [NQ_I32] = {"int32", 4},
    [NQ_I16] = {"int16", 2},   [NQ_I8] = {"int8", 1},     [NQ_U8] = {"uint8", 1},
    [NQ_BOOL] = {"bool", 1},
};

const char *nq_dtype_name(nq_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t nq_dtype_size(nq_dtype dtype)
{
    return dtypes[dtype].size;
}

bool nq_checkpoint_storage_bytes(const nq_pickle_storage *storage, uint64_t *bytes)
{
    int64_t product;
    if (__builtin_mul_overflow(storage->count, (int64_t)nq_dtype_size(storage->dtype), &product))
        return false;
    *bytes = (uint64_t)product;
    return true;
}

/* Number of elements, and whether every index that shape and strides reach is in the storage. */
static bool check_extent(const nq_pickle_tensor *from, int64_t *count)
{
    int64_t last = from->offset;
    *count = 1;
    if (from->offset < 0)
        return false;
    for (int d = 0; d < from->dims; d++) {
        if (from->shape[d] < 0 || from->stride[d] < 0 ||
            __builtin_mul_overflow(*count, from->shape[d], count))
            return false;
    }
    if (*count == 0)
        return true;
    for (int d = 0; d < from->dims; d++) {
        int64_t reach;
        if (__builtin_mul_overflow(from->shape[d] - 1, from->stride[d], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < from->storage->view_count;
}

static bool is_contiguous(const nq_pickle_tensor *from)
{
    int64_t expected = 1;
    for (int d = from->dims - 1; d >= 0; d--) {
        if (from->shape[d] != 1 && from->stride[d] != expected)
            return false;
        expected *= from->shape[d];
    }
    return true;
}

/* Elements in C order out of a strided view; the view was checked. */
static void gather(const nq_pickle_tensor *from, const uint8_t *base, size_t width, uint8_t *to)
{
    int64_t index[NQ_TENSOR_DIMS] = {0};
    int64_t at = 0;
    for (;;) {
        memcpy(to, base + (size_t)at * width, width);
        to += width;
        int d = from->dims - 1;
        for (; d >= 0; d--) {
            if (++index[d] < from->shape[d]) {
                at += from->stride[d];
                break;
            }
            at -= (index[d] - 1) * from->stride[d];
            index[d] = 0;
        }
        if (d < 0)
            return;
    }
}

static nq_status build_tensor(const nq_pickle_tensor *from, const char *name, size_t *budget,
                              nq_tensor *to, nq_error *err)
{
    const nq_pickle_storage *storage = from->storage;
    size_t width = nq_dtype_size(storage->dtype);
    int64_t count;
    if (storage->quantized)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: tensor \"%s\" is quantized (its elements are %s with a scale): netq "
                       "needs the float checkpoint",
                       name, to->name, nq_dtype_name(storage->dtype));
    if (!check_extent(from, &count))
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: tensor \"%s\": offset, shape and strides reach outside its storage of "
                       "%lld elements",
                       name, to->name, (long long)storage->view_count);
    if ((uint64_t)count > *budget / width)
        return nq_fail(
            err, NQ_ERR_INPUT,
            "%s: tensor \"%s\": the tensors need more than %zu MiB, or %d times the file's "
            "size: refused",
            name, to->name, MAX_TENSOR_BYTES >> 20, MAX_EXPANSION);
    size_t bytes = (size_t)count * width;
    *budget -= bytes;
    to->data = malloc(bytes ? bytes : 1);
    if (!to->data)
        return nq_fail_nomem(err, to->name, bytes);
    to->dtype = storage->dtype;
    to->dims = from->dims;
    memcpy(to->shape, from->shape, sizeof to->shape);
    to->count = (size_t)count;
    if (count == 0)
        return NQ_OK;
    const uint8_t *base = storage->bytes + (size_t)(storage->view_first + from->offset) * width;
    if (is_contiguous(from))
        memcpy(to->data, base, bytes);
    else
        gather(from, base, width, to->data);
    return NQ_OK;
}

static const char *kind_text(nq_pickle_kind kind)
{
    switch (kind) {
    case NQ_PICKLE_NONE:
        return "None";
    case NQ_PICKLE_TRUTH:
        return "a truth value";
    case NQ_PICKLE_INT:
    case NQ_PICKLE_LONG_INT:
    case NQ_PICKLE_FLOAT:
        return "a number";
    case NQ_PICKLE_TEXT:
        return "text";
    case NQ_PICKLE_TUPLE:
        return "a tuple";
    case NQ_PICKLE_LIST:
        return "a list";
    case NQ_PICKLE_DICT:
        return "a dictionary";
    case NQ_PICKLE_TENSOR:
        return "a tensor";
    default:
        return "an object";
    }
}

/* Everything about the dictionary that can be refused before a tensor is built. */
static nq_status check_state_dict(const char *name, nq_pickle_value root, nq_error *err)
{
    char key[NQ_PICKLE_QUOTE];
    if (root.kind != NQ_PICKLE_DICT)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: holds %s, not a state_dict: write it with "
                       "torch.save(model.state_dict(), FILE)",
                       name, kind_text(root.kind));
    size_t entries = root.items->count / 2;
    if (entries == 0 || entries > MAX_TENSORS)
        return nq_fail(err, NQ_ERR_INPUT, "%s: a state_dict of %zu tensors, not 1 to %u", name,
                       entries, MAX_TENSORS);
    for (size_t i = 0; i < entries; i++) {
        const nq_pickle_value *pair = root.items->item + 2 * i;
        if (pair[0].kind != NQ_PICKLE_TEXT || pair[0].length == 0 || pair[0].length > MAX_NAME)
            return nq_fail(err, NQ_ERR_INPUT, "%s: key %zu of the state_dict is no tensor's name",
                           name, i);
        for (uint32_t c = 0; c < pair[0].length; c++)
            if (pair[0].text[c] < 0x20 || pair[0].text[c] > 0x7e)
                return nq_fail(err, NQ_ERR_INPUT,
                               "%s: key \"%s\" of the state_dict is not printable ASCII", name,
                               nq_pickle_quote(pair[0].text, pair[0].length, key));
        nq_pickle_quote(pair[0].text, pair[0].length, key);
        if (pair[1].kind == NQ_PICKLE_DICT)
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: key \"%s\" holds a dictionary, and netq does not unwrap it: if it "
                           "is the state_dict, save it alone: torch.save(d[\"%s\"], FILE)",
                           name, key, key);
    }
    for (size_t i = 0; i < entries; i++) {
        const nq_pickle_value *pair = root.items->item + 2 * i;
        if (pair[1].kind != NQ_PICKLE_TENSOR)
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: key \"%s\" holds %s, not a tensor: save the state_dict alone", name,
                           nq_pickle_quote(pair[0].text, pair[0].length, key),
                           kind_text(pair[1].kind));
    }
    return NQ_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static nq_status check_unique(const char *name, const nq_checkpoint *checkpoint, nq_error *err)
{
    nq_status status = NQ_OK;
    char **names = malloc(checkpoint->count * sizeof *names);
    if (!names)
        return nq_fail_nomem(err, "tensor names", checkpoint->count * sizeof *names);
    for (size_t i = 0; i < checkpoint->count; i++)
        names[i] = checkpoint->tensors[i].name;
    qsort(names, checkpoint->count, sizeof *names, compare_names);
    for (size_t i = 1; i < checkpoint->count && status == NQ_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = nq_fail(err, NQ_ERR_INPUT, "%s: key \"%s\" occurs twice in the state_dict",
                             name, names[i]);
    free(names);
    return status;
}

static nq_status build_tensors(const char *name, nq_pickle_value root, size_t budget,
                               nq_checkpoint *checkpoint, nq_error *err)
{
    nq_status status = check_state_dict(name, root, err);
    if (status != NQ_OK)
        return status;
    size_t entries = root.items->count / 2;
    checkpoint->tensors = calloc(entries, sizeof *checkpoint->tensors);
    if (!checkpoint->tensors)
        return nq_fail_nomem(err, "the list of tensors", entries * sizeof *checkpoint->tensors);
    for (size_t i = 0; i < entries; i++) {
        const nq_pickle_value *pair = root.items->item + 2 * i;
        nq_tensor *tensor = &checkpoint->tensors[checkpoint->count];
        tensor->name = strndup((const char *)pair[0].text, pair[0].length);
        if (!tensor->name)
            return nq_fail_nomem(err, "a tensor's name", pair[0].length);
        checkpoint->count++;
        if ((status = build_tensor(pair[1].tensor, name, &budget, tensor, err)) != NQ_OK)
            return status;
    }
    return check_unique(name, checkpoint, err);
}

static void release_source(nq_checkpoint_source *source)
{
    for (size_t i = 0; i < source->buffer_count; i++)
        free(source->buffers[i]);
    free(source->buffers);
    nq_pickle_free(source->pickle);
    free(source->label);
}

nq_status nq_checkpoint_parse(const uint8_t *data, size_t size, const char *name,
                              nq_checkpoint *checkpoint, nq_error *err)
{
    nq_error local = {0};
    nq_checkpoint_source source = {0};
    nq_status status;
    *checkpoint = (nq_checkpoint){0};
    if (size >= 4 && memcmp(data, "PK\3\4", 4) == 0)
        status = nq_checkpoint_read_zip(data, size, name, &source, &local);
    else if (size >= 2 && data[0] == 0x80)
        status = nq_checkpoint_read_legacy(data, size, name, &source, &local);
    else
        status = nq_fail(&local, NQ_ERR_INPUT,
                         "%s: %s: not a checkpoint that torch.save wrote (neither a zip archive "
                         "nor a pickle stream)",
                         name, size ? "byte 0" : "an empty file");
    if (status == NQ_OK)
        status = build_tensors(name, source.root,
                               size < MAX_TENSOR_BYTES / MAX_EXPANSION ? size * MAX_EXPANSION
                                                                       : MAX_TENSOR_BYTES,
                               checkpoint, &local);
    release_source(&source);
    if (status != NQ_OK) {
        nq_checkpoint_free(checkpoint);
        if (err)
            *err = local;
    }
    return status;
}

void nq_checkpoint_free(nq_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->count; i++) {
        free(checkpoint->tensors[i].name);
        free(checkpoint->tensors[i].data);
    }
    free(checkpoint->tensors);
    *checkpoint = (nq_checkpoint){0};
}

const nq_tensor *nq_checkpoint_find(const nq_checkpoint *checkpoint, const char *name)
{
    for (size_t i = 0; i < checkpoint->count; i++)
        if (strcmp(checkpoint->tensors[i].name, name) == 0)
            return &checkpoint->tensors[i];
    return NULL;
}
