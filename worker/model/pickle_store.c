#include "worker/model/pickle_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nq_pickle_block {
    struct nq_pickle_block *next;
    max_align_t data[];
};

nq_status nq_pickle_create(const char *name, nq_pickle **pickle, nq_error *err)
{
    *pickle = calloc(1, sizeof **pickle);
    if (!*pickle)
        return nq_fail_nomem(err, "the pickle machine", sizeof **pickle);
    (*pickle)->name = name;
    return NQ_OK;
}

void nq_pickle_free(nq_pickle *pickle)
{
    if (!pickle)
        return;
    while (pickle->blocks) {
        struct nq_pickle_block *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
    free(pickle->storages);
    free(pickle);
}

nq_status nq_pickle_refuse(const nq_pickle *pickle, nq_error *err, const char *format, ...)
{
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return nq_fail(err, NQ_ERR_INPUT, "%s: byte %zu: %s", pickle->name, pickle->at, sentence);
}

void *nq_pickle_alloc(nq_pickle *pickle, size_t size, nq_error *err)
{
    if (size > NQ_PICKLE_MEMORY - pickle->memory) {
        nq_pickle_refuse(pickle, err, "the pickle's objects need more than %u MiB: refused",
                         NQ_PICKLE_MEMORY >> 20);
        return NULL;
    }
    struct nq_pickle_block *block = calloc(1, sizeof *block + size);
    if (!block) {
        nq_fail_nomem(err, "the pickle's objects", size);
        return NULL;
    }
    pickle->memory += size;
    block->next = pickle->blocks;
    pickle->blocks = block;
    return block->data;
}

static int depth_of(nq_pickle_value value)
{
    bool container = value.kind == NQ_PICKLE_TUPLE || value.kind == NQ_PICKLE_LIST ||
                     value.kind == NQ_PICKLE_DICT;
    return container ? value.items->depth : 0;
}

nq_status nq_pickle_items_add(nq_pickle *pickle, nq_pickle_items *items, nq_pickle_value value,
                              nq_error *err)
{
    int depth = depth_of(value) + 1;
    if (depth > NQ_PICKLE_DEPTH)
        return nq_pickle_refuse(pickle, err, "containers are nested deeper than %d: refused",
                                NQ_PICKLE_DEPTH);
    if (depth > items->depth)
        items->depth = depth;
    if (items->count == items->room) {
        /* The old array stays in the machine's list: at most as much again is wasted. */
        size_t room = items->room ? 2 * items->room : 4;
        nq_pickle_value *grown = nq_pickle_alloc(pickle, room * sizeof *grown, err);
        if (!grown)
            return err->status;
        if (items->count)
            memcpy(grown, items->item, items->count * sizeof *grown);
        items->item = grown;
        items->room = room;
    }
    items->item[items->count++] = value;
    return NQ_OK;
}

nq_status nq_pickle_storage_add(nq_pickle *pickle, nq_pickle_storage *storage, nq_error *err)
{
    if (pickle->storage_count == NQ_PICKLE_STORAGE)
        return nq_pickle_refuse(pickle, err, "more than %u storages: refused", NQ_PICKLE_STORAGE);
    if (pickle->storage_count == pickle->storage_room) {
        size_t room = pickle->storage_room ? 2 * pickle->storage_room : 256;
        nq_pickle_storage **grown = realloc(pickle->storages, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(err, "the list of storages", room * sizeof *grown);
        pickle->storages = grown;
        pickle->storage_room = room;
    }
    pickle->storages[pickle->storage_count++] = storage;
    return NQ_OK;
}

static int compare_keys(const nq_pickle_storage *a, const nq_pickle_storage *b)
{
    size_t common = a->key_length < b->key_length ? a->key_length : b->key_length;
    int order = common ? memcmp(a->key, b->key, common) : 0;
    return order ? order : (a->key_length > b->key_length) - (a->key_length < b->key_length);
}

static int compare_storages(const void *a, const void *b)
{
    return compare_keys(*(nq_pickle_storage *const *)a, *(nq_pickle_storage *const *)b);
}

nq_status nq_pickle_storages(nq_pickle *pickle, nq_pickle_storage ***storages, size_t *count,
                             nq_error *err)
{
    *storages = NULL;
    *count = 0;
    if (pickle->storage_count == 0)
        return NQ_OK;
    qsort(pickle->storages, pickle->storage_count, sizeof *pickle->storages, compare_storages);
    nq_pickle_storage **unique = malloc(pickle->storage_count * sizeof *unique);
    if (!unique)
        return nq_fail_nomem(err, "the list of storages", pickle->storage_count * sizeof *unique);
    for (size_t i = 0; i < pickle->storage_count; i++) {
        nq_pickle_storage *storage = pickle->storages[i];
        nq_pickle_storage *last = *count ? unique[*count - 1] : NULL;
        if (!last || compare_keys(last, storage) != 0) {
            unique[(*count)++] = storage;
            continue;
        }
        if (last->dtype != storage->dtype || last->quantized != storage->quantized ||
            last->count != storage->count) {
            char key[NQ_PICKLE_QUOTE];
            free(unique);
            return nq_fail(err, NQ_ERR_INPUT,
                           "%s: storage \"%s\" is described twice, with two types or sizes",
                           pickle->name, nq_pickle_quote(storage->key, storage->key_length, key));
        }
    }
    *storages = unique;
    return NQ_OK;
}

void nq_pickle_share_bytes(nq_pickle *pickle)
{
    const nq_pickle_storage *first = NULL;
    for (size_t i = 0; i < pickle->storage_count; i++) {
        nq_pickle_storage *storage = pickle->storages[i];
        if (first && compare_keys(first, storage) == 0)
            storage->bytes = first->bytes;
        else
            first = storage;
    }
}

bool nq_pickle_text_is(nq_pickle_value value, const char *text)
{
    size_t length = strlen(text);
    return value.kind == NQ_PICKLE_TEXT && value.length == length &&
           memcmp(value.text, text, length) == 0;
}

const char *nq_pickle_quote(const uint8_t *text, size_t length, char out[NQ_PICKLE_QUOTE])
{
    size_t shown = length < NQ_PICKLE_QUOTE ? length : NQ_PICKLE_QUOTE - 4;
    for (size_t i = 0; i < shown; i++)
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '?';
    strcpy(out + shown, shown < length ? "..." : "");
    return out;
}
