#include "client/download.h"

#include "client/format.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    FILE *stream; /* or NULL: fd */
    int fd;
    const char *name;
    uint64_t skip;
} sink;

static nq_status put(sink *to, const uint8_t *data, size_t size, nq_error *err)
{
    size_t skip = to->skip < size ? (size_t)to->skip : size;
    to->skip -= skip;
    data += skip;
    size -= skip;
    if (!to->stream)
        return nq_file_write_all(to->fd, data, size, to->name, err);
    if (fwrite(data, 1, size, to->stream) != size)
        return nq_fail_errno(err, errno, "cannot write %s", to->name);
    return NQ_OK;
}

static nq_status check(const json_t *reply, uint64_t bytes, const char *digest, nq_error *err)
{
    const char *want = nq_view_text(reply, "sha256");
    char name[NQ_TEXT];
    nq_text_clean(nq_view_text(reply, "name"), name, sizeof name);
    long long size = nq_view_int(reply, "bytes", -1);
    if (size >= 0 && (uint64_t)size != bytes)
        return nq_fail(err, NQ_ERR_IO, "%s: %llu bytes came, %lld were announced", name,
                       (unsigned long long)bytes, size);
    if (*want && strcmp(want, digest) != 0)
        return nq_fail(err, NQ_ERR_IO, "%s: its sha256 is %s, not %.64s as announced", name, digest,
                       want);
    return NQ_OK;
}

static nq_status download(nq_client *client, const json_t *reply, sink *to, uint64_t *total,
                          nq_error *err)
{
    uint8_t data[NQ_CHUNK_MAX], digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    uint64_t bytes = 0;
    size_t size = 1;
    nq_status status = NQ_OK, written = NQ_OK;
    nq_hash *hash = nq_hash_new();
    if (!hash)
        return nq_fail_nomem(err, "a hash", 0);
    while (status == NQ_OK && written == NQ_OK && size > 0) {
        status = nq_connection_chunk(client->connection, data, &size, err);
        nq_hash_add(hash, data, size);
        bytes += size;
        if (status == NQ_OK && size > 0)
            written = put(to, data, size, err);
    }
    nq_hash_end(hash, digest);
    nq_hash_text(digest, text);
    client->lost = status != NQ_OK && nq_connection_lost(client->connection);
    if (status != NQ_OK || written != NQ_OK)
        nq_client_close(client); /* what is left of the download must not be taken for a reply */
    if (total)
        *total = bytes;
    if (status != NQ_OK)
        return status;
    return written != NQ_OK ? written : check(reply, bytes, text, err);
}

nq_status nq_download_stream(nq_client *client, const json_t *reply, FILE *out, uint64_t skip,
                             uint64_t *total, nq_error *err)
{
    sink to = {.stream = out, .fd = -1, .name = "standard output", .skip = skip};
    nq_status status = download(client, reply, &to, total, err);
    if (status == NQ_OK && fflush(out) != 0)
        return nq_fail_errno(err, errno, "cannot write standard output");
    return status;
}

nq_status nq_download_file(nq_client *client, const json_t *reply, const char *path, nq_error *err)
{
    nq_file_writer writer;
    nq_status status = nq_file_begin(&writer, path, err);
    if (status != NQ_OK)
        return status;
    sink to = {.fd = writer.fd, .name = path};
    status = download(client, reply, &to, NULL, err);
    if (status == NQ_OK)
        return nq_file_commit(&writer, err);
    nq_file_abandon(&writer);
    return status;
}
