#include "worker/model/pickle_internal.h"

#include <stdio.h>
#include <string.h>

/* All that a state_dict may name. A global that is not here is refused. */
static const nq_pickle_global globals[] = {
    {"collections", "OrderedDict", NQ_ROLE_ORDERED_DICT, 0, false},
    {"torch._utils", "_rebuild_tensor", NQ_ROLE_REBUILD_TENSOR, 0, false},
    {"torch._utils", "_rebuild_tensor_v2", NQ_ROLE_REBUILD_TENSOR, 0, false},
    {"torch._utils", "_rebuild_qtensor", NQ_ROLE_REBUILD_TENSOR, 0, false},
    {"torch._utils", "_rebuild_parameter", NQ_ROLE_REBUILD_PARAMETER, 0, false},
    {"torch.nn.parameter", "Parameter", NQ_ROLE_REBUILD_PARAMETER, 0, false},
    {"torch", "FloatStorage", NQ_ROLE_STORAGE_TYPE, NQ_F32, false},
    {"torch", "HalfStorage", NQ_ROLE_STORAGE_TYPE, NQ_F16, false},
    {"torch", "BFloat16Storage", NQ_ROLE_STORAGE_TYPE, NQ_BF16, false},
    {"torch", "DoubleStorage", NQ_ROLE_STORAGE_TYPE, NQ_F64, false},
    {"torch", "LongStorage", NQ_ROLE_STORAGE_TYPE, NQ_I64, false},
    {"torch", "IntStorage", NQ_ROLE_STORAGE_TYPE, NQ_I32, false},
    {"torch", "ShortStorage", NQ_ROLE_STORAGE_TYPE, NQ_I16, false},
    {"torch", "CharStorage", NQ_ROLE_STORAGE_TYPE, NQ_I8, false},
    {"torch", "ByteStorage", NQ_ROLE_STORAGE_TYPE, NQ_U8, false},
    {"torch", "BoolStorage", NQ_ROLE_STORAGE_TYPE, NQ_BOOL, false},
    {"torch", "QInt8Storage", NQ_ROLE_STORAGE_TYPE, NQ_I8, true},
    {"torch", "QUInt8Storage", NQ_ROLE_STORAGE_TYPE, NQ_U8, true},
    {"torch", "QInt32Storage", NQ_ROLE_STORAGE_TYPE, NQ_I32, true},
    {"torch", "per_tensor_affine", NQ_ROLE_CONSTANT, 0, false},
    {"torch", "per_channel_affine", NQ_ROLE_CONSTANT, 0, false},
    {"torch", "qint8", NQ_ROLE_CONSTANT, 0, false},
    {"torch", "quint8", NQ_ROLE_CONSTANT, 0, false},
    {"torch", "qint32", NQ_ROLE_CONSTANT, 0, false},
};

nq_status nq_pickle_find_global(nq_pickle *pickle, nq_pickle_value module, nq_pickle_value name,
                                nq_pickle_value *value, nq_error *err)
{
    if (module.kind != NQ_PICKLE_TEXT || name.kind != NQ_PICKLE_TEXT)
        return nq_pickle_refuse(pickle, err, "a global's module and name are not text");
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (nq_pickle_text_is(module, globals[i].module) &&
            nq_pickle_text_is(name, globals[i].name)) {
            *value = (nq_pickle_value){.kind = NQ_PICKLE_GLOBAL, .global = &globals[i]};
            return NQ_OK;
        }
    }
    char m[NQ_PICKLE_QUOTE], n[NQ_PICKLE_QUOTE];
    return nq_pickle_refuse(pickle, err,
                            "the pickle asks for %s.%s, which no state_dict of float tensors "
                            "needs: refused, nothing was run",
                            nq_pickle_quote(module.text, module.length, m),
                            nq_pickle_quote(name.text, name.length, n));
}

/* Reads a tuple (or list) of integers, as shapes and strides are. */
static bool read_integers(nq_pickle_value value, int64_t *integers, int *count)
{
    if (value.kind != NQ_PICKLE_TUPLE && value.kind != NQ_PICKLE_LIST)
        return false;
    if (value.items->count > NQ_TENSOR_DIMS)
        return false;
    *count = (int)value.items->count;
    for (int i = 0; i < *count; i++) {
        if (value.items->item[i].kind != NQ_PICKLE_INT)
            return false;
        integers[i] = value.items->item[i].integer;
    }
    return true;
}

static nq_status rebuild_tensor(nq_pickle *pickle, const nq_pickle_items *arguments,
                                nq_pickle_value *value, nq_error *err)
{
    if (arguments->count < 4 || arguments->count > 7)
        return nq_pickle_refuse(
            pickle, err, "a tensor is rebuilt from %zu values instead of 4 to 7", arguments->count);
    const nq_pickle_value *argument = arguments->item;
    nq_pickle_tensor *tensor = nq_pickle_alloc(pickle, sizeof *tensor, err);
    if (!tensor)
        return err->status;
    int strides = 0;
    if (argument[0].kind != NQ_PICKLE_STORAGE_REF || argument[1].kind != NQ_PICKLE_INT)
        return nq_pickle_refuse(pickle, err, "a tensor without storage or storage offset");
    if (!read_integers(argument[2], tensor->shape, &tensor->dims) ||
        !read_integers(argument[3], tensor->stride, &strides) || strides != tensor->dims)
        return nq_pickle_refuse(pickle, err,
                                "a tensor's shape and strides are not two tuples of the same "
                                "number, at most %d, of integers",
                                NQ_TENSOR_DIMS);
    tensor->storage = argument[0].storage;
    tensor->offset = argument[1].integer;
    *value = (nq_pickle_value){.kind = NQ_PICKLE_TENSOR, .tensor = tensor};
    return NQ_OK;
}

/* OrderedDict(), or as Python 2 wrote it OrderedDict([[key, value], ...]). */
static nq_status make_ordered_dict(nq_pickle *pickle, const nq_pickle_items *arguments,
                                   nq_pickle_value *value, nq_error *err)
{
    nq_pickle_items *dict = nq_pickle_alloc(pickle, sizeof *dict, err);
    if (!dict)
        return err->status;
    dict->depth = 1;
    *value = (nq_pickle_value){.kind = NQ_PICKLE_DICT, .items = dict};
    if (arguments->count == 0)
        return NQ_OK;
    if (arguments->count != 1 || arguments->item[0].kind != NQ_PICKLE_LIST)
        return nq_pickle_refuse(pickle, err, "an OrderedDict is made of something unknown");
    const nq_pickle_items *pairs = arguments->item[0].items;
    for (size_t i = 0; i < pairs->count; i++) {
        nq_pickle_value pair = pairs->item[i];
        if ((pair.kind != NQ_PICKLE_LIST && pair.kind != NQ_PICKLE_TUPLE) || pair.items->count != 2)
            return nq_pickle_refuse(pickle, err, "an OrderedDict is made of something unknown");
        for (int k = 0; k < 2; k++) {
            nq_status status = nq_pickle_items_add(pickle, dict, pair.items->item[k], err);
            if (status != NQ_OK)
                return status;
        }
    }
    return NQ_OK;
}

nq_status nq_pickle_call(nq_pickle *pickle, nq_pickle_value function, nq_pickle_value arguments,
                         nq_pickle_value *value, nq_error *err)
{
    if (function.kind != NQ_PICKLE_GLOBAL || arguments.kind != NQ_PICKLE_TUPLE)
        return nq_pickle_refuse(pickle, err, "REDUCE without a function and a tuple");
    const nq_pickle_items *items = arguments.items;
    switch (function.global->role) {
    case NQ_ROLE_ORDERED_DICT:
        return make_ordered_dict(pickle, items, value, err);
    case NQ_ROLE_REBUILD_TENSOR:
        return rebuild_tensor(pickle, items, value, err);
    case NQ_ROLE_REBUILD_PARAMETER:
        if (items->count < 1 || items->count > 3 || items->item[0].kind != NQ_PICKLE_TENSOR)
            return nq_pickle_refuse(pickle, err, "a parameter is made of something not a tensor");
        *value = items->item[0];
        return NQ_OK;
    case NQ_ROLE_STORAGE_TYPE:
    case NQ_ROLE_CONSTANT:
        break;
    }
    return nq_pickle_refuse(pickle, err, "the pickle calls %s.%s, which is no function: refused",
                            function.global->module, function.global->name);
}

/* ("storage", type, key, location, count[, None | (view key, first, count)]) */
nq_status nq_pickle_persistent(nq_pickle *pickle, nq_pickle_value id, nq_pickle_value *value,
                               nq_error *err)
{
    if (id.kind != NQ_PICKLE_TUPLE || id.items->count < 5 || id.items->count > 6 ||
        !nq_pickle_text_is(id.items->item[0], "storage"))
        return nq_pickle_refuse(pickle, err,
                                "a persistent id that is no storage (is this a whole model? netq "
                                "reads what torch.save(model.state_dict(), FILE) writes)");
    const nq_pickle_value *part = id.items->item;
    if (part[1].kind != NQ_PICKLE_GLOBAL || part[1].global->role != NQ_ROLE_STORAGE_TYPE ||
        part[2].kind != NQ_PICKLE_TEXT || part[4].kind != NQ_PICKLE_INT || part[4].integer < 0)
        return nq_pickle_refuse(pickle, err, "a storage without type, key or size");
    nq_pickle_storage *storage = nq_pickle_alloc(pickle, sizeof *storage, err);
    if (!storage)
        return err->status;
    storage->dtype = part[1].global->dtype;
    storage->quantized = part[1].global->quantized;
    storage->key = part[2].text;
    storage->key_length = part[2].length;
    storage->count = storage->view_count = part[4].integer;
    if (id.items->count == 6 && part[5].kind != NQ_PICKLE_NONE) {
        const nq_pickle_items *view = part[5].kind == NQ_PICKLE_TUPLE ? part[5].items : NULL;
        if (!view || view->count != 3 || view->item[1].kind != NQ_PICKLE_INT ||
            view->item[2].kind != NQ_PICKLE_INT || view->item[1].integer < 0 ||
            view->item[2].integer < 0 || view->item[1].integer > storage->count ||
            view->item[2].integer > storage->count - view->item[1].integer)
            return nq_pickle_refuse(pickle, err, "a storage view outside its storage");
        storage->view_first = view->item[1].integer;
        storage->view_count = view->item[2].integer;
    }
    *value = (nq_pickle_value){.kind = NQ_PICKLE_STORAGE_REF, .storage = storage};
    return nq_pickle_storage_add(pickle, storage, err);
}
