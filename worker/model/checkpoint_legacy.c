#include "worker/model/checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

/* 0x1950a86a20f9469cfc6c, little-endian: what torch.save() of before 1.6 begins with. */
static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
#define PROTOCOL 1001

typedef struct {
    const uint8_t *data;
    size_t size, at;
    const char *name;
    nq_pickle *pickle;
    nq_error *err;
} stream;

static nq_status next_pickle(stream *s, nq_pickle_value *value)
{
    size_t used;
    nq_status status =
        nq_pickle_run(s->pickle, s->data + s->at, s->size - s->at, s->at, value, &used, s->err);
    if (status == NQ_OK)
        s->at += used;
    return status;
}

static nq_status read_header(stream *s)
{
    nq_pickle_value value;
    nq_status status = next_pickle(s, &value);
    if (status != NQ_OK)
        return status;
    if (value.kind != NQ_PICKLE_LONG_INT || value.length != sizeof magic ||
        memcmp(value.text, magic, sizeof magic) != 0)
        return nq_fail(s->err, NQ_ERR_INPUT,
                       "%s: a pickle, but not one that torch.save wrote (no magic number)",
                       s->name);
    if ((status = next_pickle(s, &value)) != NQ_OK)
        return status;
    if (value.kind != NQ_PICKLE_INT || value.integer != PROTOCOL)
        return nq_fail(s->err, NQ_ERR_INPUT, "%s: the stream's protocol is not %d", s->name,
                       PROTOCOL);
    if ((status = next_pickle(s, &value)) != NQ_OK)
        return status;
    for (size_t i = 0; value.kind == NQ_PICKLE_DICT && i + 1 < value.items->count; i += 2) {
        const nq_pickle_value *pair = value.items->item + i;
        if (nq_pickle_text_is(pair[0], "little_endian") &&
            (pair[1].kind != NQ_PICKLE_TRUTH || !pair[1].integer))
            return nq_fail(s->err, NQ_ERR_INPUT, "%s: written on a big-endian machine", s->name);
    }
    return NQ_OK;
}

typedef struct {
    const uint8_t *key;
    size_t length;
} search_key;

static int compare(const void *a, const void *b)
{
    const search_key *key = a;
    const nq_pickle_storage *storage = *(nq_pickle_storage *const *)b;
    size_t common = key->length < storage->key_length ? key->length : storage->key_length;
    int order = common ? memcmp(key->key, storage->key, common) : 0;
    return order ? order
                 : (key->length > storage->key_length) - (key->length < storage->key_length);
}

/* One record after the pickles: int64 count, then the elements. */
static nq_status read_storage(stream *s, nq_pickle_value key, nq_pickle_storage **storages,
                              size_t count)
{
    char quoted[NQ_PICKLE_QUOTE];
    if (key.kind != NQ_PICKLE_TEXT)
        return nq_fail(s->err, NQ_ERR_INPUT, "%s: a storage key is not text", s->name);
    nq_pickle_quote(key.text, key.length, quoted);
    search_key wanted = {key.text, key.length};
    nq_pickle_storage **found =
        count ? bsearch(&wanted, storages, count, sizeof *storages, compare) : NULL;
    if (!found || (*found)->bytes)
        return nq_fail(s->err, NQ_ERR_INPUT, "%s: storage \"%s\" %s", s->name, quoted,
                       found ? "is listed twice" : "belongs to no tensor");
    nq_pickle_storage *storage = *found;
    uint64_t bytes, declared = 0;
    if (s->size - s->at < sizeof declared)
        return nq_fail(s->err, NQ_ERR_INPUT,
                       "%s: byte %zu: the file ends before storage \"%s\": truncated", s->name,
                       s->at, quoted);
    memcpy(&declared, s->data + s->at, sizeof declared);
    s->at += sizeof declared;
    if (declared != (uint64_t)storage->count)
        return nq_fail(s->err, NQ_ERR_INPUT,
                       "%s: byte %zu: storage \"%s\" has %llu elements, its tensors say %lld",
                       s->name, s->at - sizeof declared, quoted, (unsigned long long)declared,
                       (long long)storage->count);
    if (!nq_checkpoint_storage_bytes(storage, &bytes) || bytes > s->size - s->at)
        return nq_fail(s->err, NQ_ERR_INPUT,
                       "%s: byte %zu: storage \"%s\" of %lld elements does not end inside the "
                       "file: truncated or damaged",
                       s->name, s->at, quoted, (long long)storage->count);
    storage->bytes = s->data + s->at;
    s->at += bytes;
    return NQ_OK;
}

nq_status nq_checkpoint_read_legacy(const uint8_t *data, size_t size, const char *name,
                                    nq_checkpoint_source *source, nq_error *err)
{
    nq_pickle_storage **storages = NULL;
    nq_pickle_value keys;
    size_t count = 0;
    nq_status status = nq_pickle_create(name, &source->pickle, err);
    if (status != NQ_OK)
        return status;
    stream s = {.data = data, .size = size, .name = name, .pickle = source->pickle, .err = err};
    if ((status = read_header(&s)) != NQ_OK || (status = next_pickle(&s, &source->root)) != NQ_OK ||
        (status = next_pickle(&s, &keys)) != NQ_OK)
        return status;
    if (keys.kind != NQ_PICKLE_LIST)
        return nq_fail(err, NQ_ERR_INPUT, "%s: no list of storage keys after the object", name);
    if ((status = nq_pickle_storages(source->pickle, &storages, &count, err)) != NQ_OK)
        return status;
    for (size_t i = 0; i < keys.items->count; i++)
        if ((status = read_storage(&s, keys.items->item[i], storages, count)) != NQ_OK)
            goto cleanup;
    for (size_t i = 0; i < count; i++) {
        char key[NQ_PICKLE_QUOTE];
        if (storages[i]->bytes)
            continue;
        status = nq_fail(err, NQ_ERR_INPUT, "%s: storage \"%s\" is not in the file", name,
                         nq_pickle_quote(storages[i]->key, storages[i]->key_length, key));
        goto cleanup;
    }
    nq_pickle_share_bytes(source->pickle);
cleanup:
    free(storages);
    return status;
}
