#include "server/transfer.h"

#include "common/file.h"
#include "server/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536

nq_transfer *nq_transfer_new(size_t parts)
{
    nq_transfer *t = calloc(1, sizeof *t);
    if (t && !(t->parts = calloc(parts, sizeof *t->parts))) {
        free(t);
        return NULL;
    }
    if (t) {
        t->count = parts;
        t->fd = -1;
    }
    return t;
}

bool nq_transfer_set(nq_transfer *t, size_t i, char *folder, const char *path)
{
    t->parts[i].folder = folder;
    t->parts[i].path = strdup(path);
    return folder && t->parts[i].path;
}

void nq_transfer_free(void *transfer)
{
    nq_transfer *t = transfer;
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        free(t->parts[i].folder);
        free(t->parts[i].path);
    }
    if (t->fd >= 0)
        close(t->fd);
    free(t->parts);
    free(t);
}

static nq_status open_part(const nq_transfer_part *part, int *fd, nq_error *err)
{
    nq_status status = nq_file_open_beneath(part->folder, part->path, O_RDONLY, fd, err);
    return status == NQ_ERR_MISSING
               ? nq_fail(err, NQ_ERR_MISSING, "%s is not there any more", part->path)
               : status;
}

/* ---- measuring, on the pool ---- */

static nq_status add_part(nq_hash *h, const nq_transfer_part *part, char *buffer, int64_t *bytes,
                          nq_error *err)
{
    int fd;
    off_t offset = 0;
    nq_status status = open_part(part, &fd, err);
    for (ssize_t n = 1; status == NQ_OK && n > 0;) {
        n = pread(fd, buffer, CHUNK, offset);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0)
            status = nq_fail_errno(err, errno, "cannot read %s", part->path);
        if (n > 0)
            nq_hash_add(h, buffer, (size_t)n);
        offset += n > 0 ? n : 0;
    }
    if (fd >= 0)
        close(fd);
    *bytes += offset;
    return status;
}

static nq_status measure(nq_call *call, nq_error *err)
{
    nq_transfer *t = call->state;
    uint8_t digest[NQ_SHA256_BYTES];
    nq_status status = NQ_OK;
    nq_hash *h = nq_hash_new();
    if (!h)
        return nq_fail_nomem(err, "a hash", 0);
    t->bytes = 0;
    for (size_t i = 0; i < t->count && status == NQ_OK; i++)
        status = add_part(h, &t->parts[i], t->buffer, &t->bytes, err);
    nq_hash_end(h, digest);
    nq_hash_text(digest, t->sha256);
    return status;
}

/* ---- chunks ---- */

/* On the pool: the next bytes of the next part that has some, into buffer; chunk 0 at the end. What
 * goes wrong is kept for the last line. Never fails itself: the reply is out. */
static nq_status read_chunk(nq_call *call, nq_error *err)
{
    nq_transfer *t = call->state;
    (void)err;
    for (t->chunk = 0; t->chunk == 0 && t->at < t->count && t->err.status == NQ_OK;) {
        const nq_transfer_part *part = &t->parts[t->at];
        if (t->fd < 0 && open_part(part, &t->fd, &t->err) != NQ_OK)
            break;
        ssize_t n = pread(t->fd, t->buffer + 4, CHUNK, t->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            nq_fail_errno(&t->err, errno, "cannot read %s", part->path);
        if (n > 0) {
            t->chunk = (uint32_t)n;
            t->offset += n;
        } else if (n == 0) {
            close(t->fd);
            t->fd = -1;
            t->at++;
            t->offset = 0;
        }
    }
    t->sent += t->chunk;
    return NQ_OK;
}

static void next_chunk(nq_call *call);
static void send_chunk(nq_call *call);

static void chunk_written(nq_connection *c)
{
    nq_call *call = c->call;
    next_chunk(call);
}

static void end_written(nq_connection *c)
{
    nq_call_end(c->call);
}

static void send_end(nq_call *call)
{
    nq_transfer *t = call->state;
    if (t->err.status == NQ_OK && t->bytes >= 0 && t->sent != t->bytes)
        nq_fail(&t->err, NQ_ERR_IO, "%s changed while it was sent", t->name);
    json_t *last = t->err.status == NQ_OK ? json_pack("{s:b}", "end", 1)
                                          : json_pack("{s:{s:s, s:o}}", "error", "code",
                                                      nq_protocol_code(t->err.status), "message",
                                                      nq_text_json(t->err.text));
    size_t n = last ? json_dumpb(last, t->buffer + 4, CHUNK - 1, JSON_COMPACT) : 0;
    json_decref(last);
    if (n == 0 || n > CHUNK - 1) {
        nq_connection_close(call->connection);
        return;
    }
    memset(t->buffer, 0, 4);
    t->buffer[4 + n] = '\n';
    nq_connection_send(call->connection, t->buffer, n + 5, NULL, end_written);
}

static void send_chunk(nq_call *call)
{
    nq_transfer *t = call->state;
    if (!call->connection) {
        nq_call_end(call);
        return;
    }
    if (t->chunk > 0 && call->daemon->stopping)
        nq_fail(&t->err, NQ_ERR_STATE, "the daemon is stopping");
    if (t->chunk == 0 || t->err.status != NQ_OK) {
        send_end(call);
        return;
    }
    for (int i = 0; i < 4; i++)
        t->buffer[i] = (char)(t->chunk >> (24 - 8 * i));
    nq_connection_send(call->connection, t->buffer, 4 + (size_t)t->chunk, NULL, chunk_written);
}

static void next_chunk(nq_call *call)
{
    nq_call_on_pool(call, read_chunk, send_chunk);
}

static void reply(nq_call *call)
{
    nq_transfer *t = call->state;
    bool known = t->bytes >= 0;
    nq_call_reply_then(call,
                       json_pack("{s:s, s:o, s:o}", "name", t->name, "bytes",
                                 known ? json_integer(t->bytes) : json_null(), "sha256",
                                 known && *t->sha256 ? json_string(t->sha256) : json_null()),
                       next_chunk);
}

void nq_transfer_begin(nq_call *call)
{
    nq_transfer *t = call->state;
    if (t->measure)
        nq_call_on_pool(call, measure, reply);
    else
        reply(call);
}
