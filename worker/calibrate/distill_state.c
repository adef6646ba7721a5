#include "worker/calibrate/distill_state.h"
#include "common/file.h"
#include "common/hash.h"
#include <stdlib.h>
#include <string.h>

#define SIGNATURE "NQDIST1\n"

/* As it lies in the file: this machine's own, read by nobody else. */
typedef struct {
    char signature[8];
    uint64_t samples, batch, sums, first, step;
    nq_distill_rate rate;
} file_header;

typedef struct {
    void *data;
    size_t bytes;
} part;

#define PARTS 4

static void list_parts(const nq_distill_state *s, part parts[PARTS])
{
    size_t image = NQ_SAMPLE_FLOATS * sizeof(float);
    parts[0] = (part){s->images, s->samples * image};
    parts[1] = (part){s->moment, s->batch * image};
    parts[2] = (part){s->square, s->batch * image};
    parts[3] = (part){s->last, s->sums * sizeof(double)};
}

nq_status nq_distill_state_create(size_t samples, size_t batch, size_t sums, nq_distill_state *s,
                                  nq_error *err)
{
    *s = (nq_distill_state){.samples = samples, .batch = batch, .sums = sums};
    s->images = calloc(samples * NQ_SAMPLE_FLOATS, sizeof *s->images);
    s->moment = calloc(batch * NQ_SAMPLE_FLOATS, sizeof *s->moment);
    s->square = calloc(batch * NQ_SAMPLE_FLOATS, sizeof *s->square);
    s->last = calloc(sums + 1, sizeof *s->last);
    if (s->images && s->moment && s->square && s->last)
        return NQ_OK;
    return nq_fail_nomem(err, "distilled images",
                         (samples + 2 * batch) * NQ_SAMPLE_FLOATS * sizeof(float));
}

void nq_distill_state_free(nq_distill_state *s)
{
    free(s->images);
    free(s->moment);
    free(s->square);
    free(s->last);
    *s = (nq_distill_state){0};
}

static file_header header_of(const nq_distill_state *s)
{
    file_header header;
    memset(&header, 0, sizeof header);
    memcpy(header.signature, SIGNATURE, sizeof header.signature);
    header.samples = s->samples;
    header.batch = s->batch;
    header.sums = s->sums;
    header.first = s->first;
    header.step = (uint64_t)s->step;
    header.rate.rate = s->rate.rate;
    header.rate.best = s->rate.best;
    header.rate.since = s->rate.since;
    return header;
}

nq_status nq_distill_state_write(const nq_distill_state *s, const char *path, nq_error *err)
{
    part parts[PARTS];
    uint32_t sums[PARTS + 1];
    nq_file_writer writer = {0};
    file_header header = header_of(s);
    list_parts(s, parts);
    sums[PARTS] = nq_crc32(&header, sizeof header);
    nq_status status = nq_file_begin(&writer, path, err);
    if (status == NQ_OK)
        status = nq_file_write_all(writer.fd, &header, sizeof header, path, err);
    for (int i = 0; i < PARTS && status == NQ_OK; i++) {
        sums[i] = nq_crc32(parts[i].data, parts[i].bytes);
        status = nq_file_write_all(writer.fd, parts[i].data, parts[i].bytes, path, err);
    }
    if (status == NQ_OK)
        status = nq_file_write_all(writer.fd, sums, sizeof sums, path, err);
    if (status == NQ_OK)
        return nq_file_commit(&writer, err);
    nq_file_abandon(&writer);
    return status;
}

/* Checked as a whole before anything is taken. */
static bool take(nq_distill_state *s, const uint8_t *data, size_t size)
{
    part parts[PARTS];
    uint32_t sums[PARTS + 1];
    file_header header, want = header_of(s);
    size_t at = sizeof header, all = sizeof header + sizeof sums;
    list_parts(s, parts);
    for (int i = 0; i < PARTS; i++)
        all += parts[i].bytes;
    if (size != all)
        return false;
    memcpy(&header, data, sizeof header);
    memcpy(sums, data + size - sizeof sums, sizeof sums);
    bool good = memcmp(header.signature, want.signature, sizeof want.signature) == 0 &&
                header.samples == want.samples && header.batch == want.batch &&
                header.sums == want.sums && sums[PARTS] == nq_crc32(data, sizeof header);
    for (int i = 0; i < PARTS && good; i++) {
        good = sums[i] == nq_crc32(data + at, parts[i].bytes);
        at += parts[i].bytes;
    }
    if (!good)
        return false;
    at = sizeof header;
    for (int i = 0; i < PARTS; i++) {
        memcpy(parts[i].data, data + at, parts[i].bytes);
        at += parts[i].bytes;
    }
    s->first = header.first;
    s->step = (int)header.step;
    s->rate = header.rate;
    return true;
}

bool nq_distill_state_read(nq_distill_state *s, const char *path)
{
    nq_error ignored = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    bool taken =
        nq_file_read(path, SIZE_MAX / 2, &data, &size, &ignored) == NQ_OK && take(s, data, size);
    free(data);
    return taken;
}
