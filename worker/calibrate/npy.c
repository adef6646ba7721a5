/* Samples from a .npy file, read one by one: the file is never whole in memory. */
#include "common/file.h"
#include "worker/calibrate/npy_header.h"
#include "worker/calibrate/source.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLE_BYTES (NQ_SAMPLE_FLOATS * sizeof(float))

typedef struct {
    int fd;
    char *name;
    nq_npy_header header;
    float *rooms[NQ_SAMPLES_THREADS]; /* f32 [3][224][224], one a thread, made when first used */
} npy;

static nq_status read_at(const npy *n, void *out, size_t bytes, uint64_t offset, nq_error *err)
{
    for (size_t got = 0; got < bytes;) {
        ssize_t r = pread(n->fd, (char *)out + got, bytes - got, (off_t)(offset + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return nq_fail_errno(err, errno, "cannot read %s", n->name);
        if (r == 0)
            return nq_fail(err, NQ_ERR_IO, "%s shrank while it was read", n->name);
        got += (size_t)r;
    }
    return NQ_OK;
}

static nq_status read_header(npy *n, nq_error *err)
{
    struct stat st;
    if (fstat(n->fd, &st) != 0)
        return nq_fail_errno(err, errno, "cannot read %s", n->name);
    size_t size = st.st_size < NQ_NPY_HEADER_MAX ? (size_t)st.st_size : NQ_NPY_HEADER_MAX;
    uint8_t *head = malloc(size + 1);
    if (!head)
        return nq_fail_nomem(err, n->name, size + 1);
    nq_status status = read_at(n, head, size, 0, err);
    if (status == NQ_OK)
        status = nq_npy_header_parse(head, size, (uint64_t)st.st_size, n->name, &n->header, err);
    free(head);
    return status;
}

static void npy_close(void *state)
{
    npy *n = state;
    for (int t = 0; t < NQ_SAMPLES_THREADS; t++)
        free(n->rooms[t]);
    if (n->fd >= 0)
        close(n->fd);
    free(n->name);
    free(n);
}

static nq_status npy_open(const nq_spec *spec, const char *root, const char *path, void **state,
                          size_t *count, nq_error *err)
{
    (void)spec;
    npy *n = *state = calloc(1, sizeof *n);
    if (!n)
        return nq_fail_nomem(err, path, sizeof *n);
    n->fd = -1;
    n->name = strdup(path);
    if (!n->name)
        return nq_fail_nomem(err, path, strlen(path) + 1);
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY, &n->fd, err);
    if (status == NQ_OK)
        status = read_header(n, err);
    *count = n->header.samples;
    return status;
}

static nq_status npy_read(void *state, size_t i, int thread, float *out, nq_error *err)
{
    npy *n = state;
    float *sample = n->rooms[thread];
    if (!sample && !(sample = n->rooms[thread] = malloc(SAMPLE_BYTES)))
        return nq_fail_nomem(err, "a calibration sample", SAMPLE_BYTES);
    nq_status status = read_at(n, sample, SAMPLE_BYTES, n->header.offset + i * SAMPLE_BYTES, err);
    if (status != NQ_OK)
        return status;
    for (size_t v = 0; v < NQ_SAMPLE_FLOATS; v++)
        if (!isfinite(sample[v]))
            return nq_fail(
                err, NQ_ERR_INPUT, "%s: sample %zu holds a value that is not finite (byte %llu)",
                n->name, i,
                (unsigned long long)(n->header.offset + i * SAMPLE_BYTES + v * sizeof(float)));
    nq_sample_to_nhwc(sample, out);
    return NQ_OK;
}

const nq_sample_source nq_source_npy = {npy_open, npy_read, npy_close};
