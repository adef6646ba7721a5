#include "worker/score/journal.h"

#include "common/file.h"
#include "common/version.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* On disk, little endian as every CPU we run on. */
typedef struct {
    char magic[8];
    uint32_t format;
    uint32_t count;
    uint64_t row_bytes;
    uint8_t subject[NQ_SHA256_BYTES];
    uint32_t zero;
    uint32_t crc;
} journal_header;

typedef struct {
    uint32_t position;
    int32_t label;
    uint32_t flags;
    uint8_t image[NQ_DIGEST];
    uint8_t logits[NQ_DIGEST];
    uint32_t crc;
} journal_record;

enum { FLAG_TOP5 = 1, FLAG_UNREADABLE = 2 };

struct nq_journal {
    int records, rows;
    uint32_t count;
    size_t row_bytes;
    pthread_mutex_t lock;
};

static void row_digest(const void *row, size_t bytes, uint8_t digest[NQ_DIGEST])
{
    uint8_t whole[NQ_SHA256_BYTES];
    nq_hash_bytes(row, bytes, whole);
    memcpy(digest, whole, NQ_DIGEST);
}

static nq_status read_row(const nq_journal *j, uint32_t position, void *row)
{
    off_t at = (off_t)position * (off_t)j->row_bytes;
    ssize_t n;
    do
        n = pread(j->rows, row, j->row_bytes, at);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)j->row_bytes ? NQ_OK : NQ_ERR_IO;
}

static void accept_record(const nq_journal *j, const journal_record *r, void *row,
                          nq_verdict *verdicts)
{
    uint8_t digest[NQ_DIGEST];
    if (nq_crc32(r, offsetof(journal_record, crc)) != r->crc || r->position >= j->count)
        return;
    if (read_row(j, r->position, row) != NQ_OK)
        return;
    row_digest(row, j->row_bytes, digest);
    if (memcmp(digest, r->logits, NQ_DIGEST) != 0)
        return;
    nq_verdict *v = &verdicts[r->position];
    *v = (nq_verdict){.label = r->label,
                      .top5 = (r->flags & FLAG_TOP5) != 0,
                      .unreadable = (r->flags & FLAG_UNREADABLE) != 0,
                      .done = true};
    memcpy(v->image, r->image, NQ_DIGEST);
    memcpy(v->logits, r->logits, NQ_DIGEST);
}

static journal_header header_of(const nq_journal *j, const uint8_t subject[NQ_SHA256_BYTES])
{
    journal_header h = {.magic = "NQJRNL\r\n",
                        .format = NQ_JOURNAL_FORMAT,
                        .count = j->count,
                        .row_bytes = j->row_bytes};
    memcpy(h.subject, subject, NQ_SHA256_BYTES);
    h.crc = nq_crc32(&h, offsetof(journal_header, crc));
    return h;
}

/* Takes up an earlier journal, or empties both files and writes the header. */
static nq_status take_up(nq_journal *j, const uint8_t subject[NQ_SHA256_BYTES], const char *path,
                         nq_verdict *verdicts, nq_error *err)
{
    journal_header want = header_of(j, subject);
    uint8_t *data = NULL;
    size_t size = 0;
    nq_status status = nq_file_read_fd(j->records, path, (size_t)1 << 32, &data, &size, err);
    if (status != NQ_OK)
        return status;
    size_t whole = 0;
    if (size >= sizeof want && memcmp(data, &want, sizeof want) == 0) {
        void *row = malloc(j->row_bytes);
        if (!row) {
            free(data);
            return nq_fail_nomem(err, "a row of logits", j->row_bytes);
        }
        whole = (size - sizeof want) / sizeof(journal_record);
        for (size_t i = 0; i < whole; i++) {
            journal_record r;
            memcpy(&r, data + sizeof want + i * sizeof r, sizeof r);
            accept_record(j, &r, row, verdicts);
        }
        free(row);
        /* A record cut short by a crash would shift every later one. */
        size_t end = sizeof want + whole * sizeof(journal_record);
        if (end != size && ftruncate(j->records, (off_t)end) != 0)
            status = nq_fail_errno(err, errno, "cannot repair %s", path);
    } else if (ftruncate(j->records, 0) != 0 || ftruncate(j->rows, 0) != 0) {
        status = nq_fail_errno(err, errno, "cannot empty %s", path);
    } else {
        status = nq_file_write_all(j->records, &want, sizeof want, path, err);
    }
    free(data);
    return status;
}

nq_status nq_journal_open(const char *state, const uint8_t subject[NQ_SHA256_BYTES], uint32_t count,
                          size_t row_bytes, nq_verdict *verdicts, nq_journal **out, nq_error *err)
{
    *out = NULL;
    nq_status status = nq_dir_make(state, 0755, err);
    if (status != NQ_OK)
        return status;
    nq_journal *j = calloc(1, sizeof *j);
    char *records = nq_path_join(state, "predictions"), *rows = nq_path_join(state, "logits");
    if (!j || !records || !rows) {
        status = nq_fail_nomem(err, "the journal", sizeof *j);
        free(j);
        j = NULL;
        goto cleanup;
    }
    pthread_mutex_init(&j->lock, NULL);
    j->count = count;
    j->row_bytes = row_bytes;
    j->rows = -1;
    j->records = open(records, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (j->records < 0) {
        status = nq_fail_errno(err, errno, "cannot open %s", records);
        goto cleanup;
    }
    j->rows = open(rows, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (j->rows < 0) {
        status = nq_fail_errno(err, errno, "cannot open %s", rows);
        goto cleanup;
    }
    memset(verdicts, 0, count * sizeof *verdicts);
    status = take_up(j, subject, records, verdicts, err);
cleanup:
    free(records);
    free(rows);
    if (status != NQ_OK) {
        nq_journal_close(j);
        j = NULL;
    }
    *out = j;
    return status;
}

static journal_record record_of(uint32_t position, const nq_verdict *v)
{
    journal_record r = {.position = position,
                        .label = v->label,
                        .flags =
                            (v->top5 ? FLAG_TOP5 : 0u) | (v->unreadable ? FLAG_UNREADABLE : 0u)};
    memcpy(r.image, v->image, NQ_DIGEST);
    memcpy(r.logits, v->logits, NQ_DIGEST);
    r.crc = nq_crc32(&r, offsetof(journal_record, crc));
    return r;
}

nq_status nq_journal_add(nq_journal *j, uint32_t first, int n, nq_verdict *verdicts,
                         const void *rows, nq_error *err)
{
    journal_record records[NQ_JOURNAL_RUN];
    if (n < 1 || n > NQ_JOURNAL_RUN)
        return nq_fail(err, NQ_ERR_INTERNAL, "%d positions for the journal", n);
    for (int i = 0; i < n; i++) {
        row_digest((const char *)rows + (size_t)i * j->row_bytes, j->row_bytes, verdicts[i].logits);
        records[i] = record_of(first + (uint32_t)i, &verdicts[i]);
    }
    nq_status status =
        nq_file_write_at(j->rows, rows, (size_t)n * j->row_bytes,
                         (off_t)first * (off_t)j->row_bytes, "the journal's logits", err);
    if (status != NQ_OK)
        return status;
    pthread_mutex_lock(
        &j->lock); /* a short write must not be followed by another thread's records */
    status = nq_file_write_all(j->records, records, (size_t)n * sizeof *records,
                               "the prediction journal", err);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < n; i++)
        verdicts[i].done = status == NQ_OK;
    return status;
}

nq_status nq_journal_row(nq_journal *j, uint32_t position, void *row, nq_error *err)
{
    if (read_row(j, position, row) != NQ_OK)
        return nq_fail(err, NQ_ERR_IO, "the journal's logits of position %u cannot be read",
                       position);
    return NQ_OK;
}

nq_status nq_journal_sync(nq_journal *j, nq_error *err)
{
    if (fdatasync(j->rows) != 0 || fdatasync(j->records) != 0)
        return nq_fail_errno(err, errno, "cannot sync the prediction journal");
    return NQ_OK;
}

void nq_journal_close(nq_journal *j)
{
    if (!j)
        return;
    if (j->records >= 0)
        close(j->records);
    if (j->rows >= 0)
        close(j->rows);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
