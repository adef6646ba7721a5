#include "worker/model/checkpoint_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

typedef struct {
    const char *name; /* owned by the archive */
    uint64_t size;
    zip_uint64_t index;
} entry;

typedef struct {
    zip_t *archive;
    const char *name;
    entry *entries; /* sorted by name */
    size_t count;
    const char *folder; /* "archive" of "archive/data.pkl"; not NUL-terminated */
    int folder_length;
    nq_error *err;
} zip_reader;

static nq_status open_archive(zip_reader *z, const uint8_t *data, size_t size)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *bytes = zip_source_buffer_create(data, size, 0, &error);
    if (bytes)
        z->archive = zip_open_from_source(bytes, ZIP_RDONLY, &error);
    nq_status status = NQ_OK;
    if (!z->archive) {
        zip_source_free(bytes);
        status = nq_fail(z->err, NQ_ERR_INPUT,
                         "%s: begins as a zip archive but is truncated or damaged (%s)", z->name,
                         zip_error_strerror(&error));
    }
    zip_error_fini(&error);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static const char *quote(const char *name, char out[NQ_PICKLE_QUOTE])
{
    return nq_pickle_quote((const uint8_t *)name, strlen(name), out);
}

/* torch.save stores its entries as they are; anything else is a bomb or not a checkpoint. */
static nq_status check_entry(const zip_reader *z, const zip_stat_t *stat, uint64_t *room)
{
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    char name[NQ_PICKLE_QUOTE];
    if ((stat->valid & wanted) != wanted)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: a zip entry without name or size", z->name);
    quote(stat->name, name);
    if (stat->encryption_method != ZIP_EM_NONE)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: zip entry \"%s\" is encrypted: refused", z->name,
                       name);
    if (stat->comp_method != ZIP_CM_STORE)
        return nq_fail(z->err, NQ_ERR_INPUT,
                       "%s: zip entry \"%s\" is compressed (%llu bytes out of %llu), and "
                       "torch.save never compresses: refused",
                       z->name, name, (unsigned long long)stat->size,
                       (unsigned long long)stat->comp_size);
    if (stat->comp_size != stat->size || stat->size > *room)
        return nq_fail(z->err, NQ_ERR_INPUT,
                       "%s: zip entry \"%s\" claims %llu bytes, more than the archive holds: "
                       "refused",
                       z->name, name, (unsigned long long)stat->size);
    *room -= stat->size; /* all entries together fit in the file: none overlap much */
    return NQ_OK;
}

static nq_status list_entries(zip_reader *z, uint64_t archive_size)
{
    zip_int64_t count = zip_get_num_entries(z->archive, ZIP_FL_UNCHANGED);
    uint64_t room = archive_size;
    if (count <= 0)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: an empty zip archive", z->name);
    z->entries = calloc((size_t)count, sizeof *z->entries);
    if (!z->entries)
        return nq_fail_nomem(z->err, "the list of zip entries", (size_t)count * sizeof(entry));
    for (zip_uint64_t i = 0; i < (zip_uint64_t)count; i++) {
        zip_stat_t stat;
        if (zip_stat_index(z->archive, i, ZIP_FL_UNCHANGED | ZIP_FL_ENC_RAW, &stat) != 0)
            return nq_fail(z->err, NQ_ERR_INPUT, "%s: zip entry %llu: %s", z->name,
                           (unsigned long long)i, zip_strerror(z->archive));
        nq_status status = check_entry(z, &stat, &room);
        if (status != NQ_OK)
            return status;
        z->entries[z->count++] = (entry){.name = stat.name, .size = stat.size, .index = i};
    }
    qsort(z->entries, z->count, sizeof *z->entries, compare_entries);
    for (size_t i = 1; i < z->count; i++) {
        char name[NQ_PICKLE_QUOTE];
        if (strcmp(z->entries[i - 1].name, z->entries[i].name) == 0)
            return nq_fail(z->err, NQ_ERR_INPUT, "%s: zip entry \"%s\" occurs twice: refused",
                           z->name, quote(z->entries[i].name, name));
    }
    return NQ_OK;
}

/* FOLDER/REST, NULL when there is none. */
static const entry *find_entry(const zip_reader *z, const char *rest, size_t rest_length)
{
    char path[1024];
    if (z->folder_length + rest_length + 2 > sizeof path || memchr(rest, 0, rest_length))
        return NULL;
    snprintf(path, sizeof path, "%.*s/%.*s", z->folder_length, z->folder, (int)rest_length, rest);
    entry wanted = {.name = path};
    return bsearch(&wanted, z->entries, z->count, sizeof *z->entries, compare_entries);
}

static nq_status find_folder(zip_reader *z)
{
    for (size_t i = 0; i < z->count; i++) {
        const char *slash = strchr(z->entries[i].name, '/');
        if (!slash || strcmp(slash, "/data.pkl") != 0)
            continue;
        if (z->folder)
            return nq_fail(z->err, NQ_ERR_INPUT, "%s: two data.pkl in one archive: refused",
                           z->name);
        z->folder = z->entries[i].name;
        z->folder_length = (int)(slash - z->folder);
    }
    if (!z->folder)
        return nq_fail(z->err, NQ_ERR_INPUT,
                       "%s: a zip archive without FOLDER/data.pkl: torch.save did not write it",
                       z->name);
    if (find_entry(z, "constants.pkl", strlen("constants.pkl")))
        return nq_fail(z->err, NQ_ERR_INPUT,
                       "%s: a TorchScript archive: netq reads what torch.save(model.state_dict(), "
                       "FILE) writes",
                       z->name);
    return NQ_OK;
}

static nq_status read_entry(zip_reader *z, const entry *e, nq_checkpoint_source *source,
                            const uint8_t **bytes)
{
    char name[NQ_PICKLE_QUOTE];
    if (source->buffer_count == source->buffer_room) {
        size_t room = source->buffer_room ? 2 * source->buffer_room : 64;
        uint8_t **grown = realloc(source->buffers, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(z->err, "the list of zip entries", room * sizeof *grown);
        source->buffers = grown;
        source->buffer_room = room;
    }
    uint8_t *buffer = malloc(e->size + 1);
    if (!buffer)
        return nq_fail_nomem(z->err, "a zip entry", e->size);
    source->buffers[source->buffer_count++] = buffer;
    zip_file_t *file = zip_fopen_index(z->archive, e->index, ZIP_FL_UNCHANGED);
    if (!file)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: zip entry \"%s\" is damaged (%s)", z->name,
                       quote(e->name, name), zip_strerror(z->archive));
    /* One byte more than there should be: only at its end does libzip compare the checksum. */
    uint64_t got = 0;
    zip_int64_t n = 0;
    while (got <= e->size && (n = zip_fread(file, buffer + got, e->size + 1 - got)) > 0)
        got += (uint64_t)n;
    nq_status status = NQ_OK;
    if (n < 0 || got != e->size)
        status = nq_fail(z->err, NQ_ERR_INPUT, "%s: zip entry \"%s\" is truncated or damaged (%s)",
                         z->name, quote(e->name, name),
                         n < 0 ? zip_file_strerror(file) : "wrong length");
    zip_fclose(file);
    *bytes = buffer;
    return status;
}

static nq_status check_byte_order(zip_reader *z, nq_checkpoint_source *source)
{
    const entry *order = find_entry(z, "byteorder", strlen("byteorder"));
    const uint8_t *bytes;
    if (!order)
        return NQ_OK;
    nq_status status = read_entry(z, order, source, &bytes);
    if (status != NQ_OK)
        return status;
    if (order->size != strlen("little") || memcmp(bytes, "little", order->size) != 0)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: written on a big-endian machine", z->name);
    return NQ_OK;
}

static nq_status read_storage(zip_reader *z, nq_pickle_storage *storage,
                              nq_checkpoint_source *source)
{
    char path[512], key[NQ_PICKLE_QUOTE];
    uint64_t bytes;
    nq_pickle_quote(storage->key, storage->key_length, key);
    int length = -1;
    if (storage->key_length < sizeof path - 8)
        length = snprintf(path, sizeof path, "data/%.*s", (int)storage->key_length,
                          (const char *)storage->key);
    const entry *e = length > 0 ? find_entry(z, path, (size_t)length) : NULL;
    if (!e)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: storage \"%s\" is not in the archive", z->name,
                       key);
    if (!nq_checkpoint_storage_bytes(storage, &bytes) || bytes != e->size)
        return nq_fail(z->err, NQ_ERR_INPUT,
                       "%s: storage \"%s\" of %lld elements is %llu bytes long in the archive",
                       z->name, key, (long long)storage->count, (unsigned long long)e->size);
    return read_entry(z, e, source, &storage->bytes);
}

static nq_status read_all(zip_reader *z, nq_checkpoint_source *source)
{
    const uint8_t *pickle;
    size_t used, count = 0;
    nq_pickle_storage **storages = NULL;
    const entry *object = find_entry(z, "data.pkl", strlen("data.pkl"));
    if (!object)
        return nq_fail(z->err, NQ_ERR_INPUT, "%s: the folder's name is too long", z->name);
    nq_status status = check_byte_order(z, source);
    if (status != NQ_OK || (status = read_entry(z, object, source, &pickle)) != NQ_OK)
        return status;
    if (asprintf(&source->label, "%s: data.pkl", z->name) < 0) {
        source->label = NULL;
        return nq_fail_nomem(z->err, "a name", strlen(z->name));
    }
    if ((status = nq_pickle_create(source->label, &source->pickle, z->err)) != NQ_OK ||
        (status = nq_pickle_run(source->pickle, pickle, object->size, 0, &source->root, &used,
                                z->err)) != NQ_OK ||
        (status = nq_pickle_storages(source->pickle, &storages, &count, z->err)) != NQ_OK)
        return status;
    for (size_t i = 0; i < count && status == NQ_OK; i++)
        status = read_storage(z, storages[i], source);
    free(storages);
    if (status == NQ_OK)
        nq_pickle_share_bytes(source->pickle);
    return status;
}

nq_status nq_checkpoint_read_zip(const uint8_t *data, size_t size, const char *name,
                                 nq_checkpoint_source *source, nq_error *err)
{
    zip_reader z = {.name = name, .err = err};
    nq_status status = open_archive(&z, data, size);
    if (status == NQ_OK)
        status = list_entries(&z, size);
    if (status == NQ_OK)
        status = find_folder(&z);
    if (status == NQ_OK)
        status = read_all(&z, source);
    free(z.entries);
    if (z.archive)
        zip_discard(z.archive);
    return status;
}
