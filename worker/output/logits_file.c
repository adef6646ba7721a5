#include "worker/output/logits_file.h"

#include "common/file.h"
#include "worker/output/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER NQ_NPY_HEADER

static void make_header(char header[HEADER], uint32_t count, int classes)
{
    char shape[40];
    snprintf(shape, sizeof shape, "(%u, %d)", count, classes);
    nq_npy_header(header, shape);
}

nq_status nq_logits_write(const char *path, nq_journal *journal, uint32_t count, int classes,
                          nq_error *err)
{
    char header[HEADER];
    size_t bytes = (size_t)classes * sizeof(float);
    nq_file_writer writer = {0};
    float *row = malloc(bytes);
    if (!row)
        return nq_fail_nomem(err, "a row of logits", bytes);
    make_header(header, count, classes);
    nq_status status = nq_file_begin(&writer, path, err);
    if (status == NQ_OK)
        status = nq_file_write_all(writer.fd, header, HEADER, path, err);
    for (uint32_t i = 0; i < count && status == NQ_OK; i++) {
        status = nq_journal_row(journal, i, row, err);
        if (status == NQ_OK)
            status = nq_file_write_all(writer.fd, row, bytes, path, err);
    }
    free(row);
    if (status == NQ_OK)
        return nq_file_commit(&writer, err);
    nq_file_abandon(&writer);
    return status;
}

static nq_status read_at(const nq_logits_file *file, void *data, size_t size, uint64_t offset,
                         nq_error *err)
{
    ssize_t n;
    do
        n = pread(file->fd, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return nq_fail_errno(err, errno, "cannot read %s", file->name);
    return n == (ssize_t)size ? NQ_OK
                              : nq_fail(err, NQ_ERR_INPUT, "%s ends before byte %llu", file->name,
                                        (unsigned long long)(offset + size));
}

nq_status nq_logits_open(const nq_place *place, int classes, nq_logits_file *file, nq_error *err)
{
    char header[HEADER], want[HEADER];
    size_t bytes = (size_t)classes * sizeof(float);
    struct stat st;
    *file = (nq_logits_file){.fd = -1, .name = place->path, .classes = classes};
    nq_status status = nq_file_open_beneath(place->root, place->path, O_RDONLY, &file->fd, err);
    if (status == NQ_OK && fstat(file->fd, &st) != 0)
        status = nq_fail_errno(err, errno, "cannot read %s", file->name);
    if (status == NQ_OK)
        status = read_at(file, header, HEADER, 0, err);
    if (status != NQ_OK)
        return status;
    uint64_t body = (uint64_t)st.st_size - HEADER;
    file->count = (uint32_t)(body / bytes);
    make_header(want, file->count, classes);
    if (body % bytes != 0 || body / bytes > UINT32_MAX || memcmp(header, want, HEADER) != 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s is not the logits of a float job whose network has %d classes",
                       file->name, classes);
    return NQ_OK;
}

nq_status nq_logits_row(const nq_logits_file *file, uint32_t i, float *row, nq_error *err)
{
    size_t bytes = (size_t)file->classes * sizeof(float);
    return read_at(file, row, bytes, HEADER + (uint64_t)i * bytes, err);
}

void nq_logits_close(nq_logits_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
