#include "worker/calibrate/npy_header.h"

#include "worker/calibrate/source.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAGIC      "\x93NUMPY"
#define MAGIC_SIZE 6
#define MAX_RANK   8

/* The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), } */
typedef struct {
    const char *start, *at, *end;
    uint64_t offset; /* of `start` in the file */
    const char *name;
    nq_error *err;
    char descr[32];
    bool fortran;
    uint64_t shape[MAX_RANK];
    int rank;
    bool has_descr, has_order, has_shape;
} parser;

static nq_status bad(parser *p, const char *wanted)
{
    return nq_fail(p->err, NQ_ERR_INPUT, "%s: not a .npy header: %s expected at byte %llu", p->name,
                   wanted, (unsigned long long)(p->offset + (uint64_t)(p->at - p->start)));
}

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n'))
        p->at++;
}

static bool take(parser *p, const char *text)
{
    skip_blanks(p);
    size_t n = strlen(text);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, text, n) != 0)
        return false;
    p->at += n;
    return true;
}

static nq_status take_string(parser *p, char *out, size_t room, const char *wanted)
{
    skip_blanks(p);
    char quote = p->at < p->end ? *p->at : 0;
    if (quote != '\'' && quote != '"')
        return bad(p, wanted);
    const char *from = p->at + 1;
    const char *to = memchr(from, quote, (size_t)(p->end - from));
    if (!to || (size_t)(to - from) >= room || memchr(from, '\\', (size_t)(to - from)))
        return bad(p, wanted);
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = 0;
    p->at = to + 1;
    return NQ_OK;
}

static nq_status take_number(parser *p, uint64_t *value)
{
    skip_blanks(p);
    const char *from = p->at;
    *value = 0;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9' && p->at - from < 18)
        *value = *value * 10 + (uint64_t)(*p->at++ - '0');
    return p->at == from ? bad(p, "a number") : NQ_OK;
}

static nq_status take_shape(parser *p)
{
    if (!take(p, "("))
        return bad(p, "a tuple as 'shape'");
    while (!take(p, ")")) {
        if (p->rank == MAX_RANK)
            return bad(p, "a shape of four numbers");
        nq_status status = take_number(p, &p->shape[p->rank]);
        if (status != NQ_OK)
            return status;
        p->rank++;
        if (!take(p, ",")) {
            if (!take(p, ")"))
                return bad(p, "',' or ')'");
            break;
        }
    }
    return NQ_OK;
}

static nq_status take_entry(parser *p)
{
    char key[32];
    nq_status status = take_string(p, key, sizeof key, "one of 'descr', 'fortran_order', 'shape'");
    if (status != NQ_OK)
        return status;
    if (!take(p, ":"))
        return bad(p, "':'");
    bool *seen = strcmp(key, "descr") == 0           ? &p->has_descr
                 : strcmp(key, "fortran_order") == 0 ? &p->has_order
                 : strcmp(key, "shape") == 0         ? &p->has_shape
                                                     : NULL;
    if (!seen || *seen)
        return bad(p, "each of 'descr', 'fortran_order', 'shape' once and no other key");
    *seen = true;
    if (seen == &p->has_descr)
        return take_string(p, p->descr, sizeof p->descr, "a plain type such as '<f4'");
    if (seen == &p->has_shape)
        return take_shape(p);
    p->fortran = take(p, "True");
    return p->fortran || take(p, "False") ? NQ_OK : bad(p, "True or False");
}

static nq_status parse_dictionary(parser *p)
{
    if (!take(p, "{"))
        return bad(p, "'{'");
    while (!take(p, "}")) {
        nq_status status = take_entry(p);
        if (status != NQ_OK)
            return status;
        if (!take(p, ",")) {
            if (!take(p, "}"))
                return bad(p, "',' or '}'");
            break;
        }
    }
    if (!p->has_descr || !p->has_order || !p->has_shape)
        return bad(p, "'descr', 'fortran_order' and 'shape' before the end");
    skip_blanks(p);
    return p->at == p->end ? NQ_OK : bad(p, "the end of the header");
}

static nq_status check_kind(const parser *p)
{
    if (strcmp(p->descr, "<f4") != 0)
        return nq_fail(p->err, NQ_ERR_INPUT,
                       "%s holds values of type '%s'; calibration samples are float32 ('<f4'): "
                       "save them with numpy.save(file, samples.astype('float32'))",
                       p->name, p->descr);
    if (p->fortran)
        return nq_fail(p->err, NQ_ERR_INPUT,
                       "%s is stored in Fortran order; save it with "
                       "numpy.save(file, numpy.ascontiguousarray(samples))",
                       p->name);
    if (p->rank == 4 && p->shape[0] > 0 && p->shape[1] == NQ_SAMPLE_CHANNELS &&
        p->shape[2] == NQ_SAMPLE_SIDE && p->shape[3] == NQ_SAMPLE_SIDE)
        return NQ_OK;
    char text[MAX_RANK * 22 + 1] = "";
    for (int i = 0; i < p->rank; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%llu", i ? ", " : "",
                 (unsigned long long)p->shape[i]);
    }
    return nq_fail(p->err, NQ_ERR_INPUT,
                   "%s has the shape (%s); calibration samples are (N, 3, 224, 224), N at least 1",
                   p->name, text);
}

static nq_status check_length(const parser *p, uint64_t file_bytes, nq_npy_header *header)
{
    uint64_t sample = NQ_SAMPLE_FLOATS * sizeof(float), body = file_bytes - header->offset;
    /* The division comes first: the product of a hostile shape could wrap around. */
    if (body / sample != p->shape[0] || body % sample != 0)
        return nq_fail(p->err, NQ_ERR_INPUT,
                       "%s says that it holds %llu samples of %llu bytes, but %llu bytes follow "
                       "its header: it is cut off or not what it says",
                       p->name, (unsigned long long)p->shape[0], (unsigned long long)sample,
                       (unsigned long long)body);
    header->samples = (size_t)p->shape[0];
    return NQ_OK;
}

nq_status nq_npy_header_parse(const uint8_t *data, size_t size, uint64_t file_bytes,
                              const char *name, nq_npy_header *header, nq_error *err)
{
    if (size < MAGIC_SIZE + 4 || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s is not a .npy file: it does not begin with numpy's signature", name);
    int version = data[6];
    if (version < 1 || version > 3 || data[7] != 0)
        return nq_fail(err, NQ_ERR_INPUT, "%s: .npy version %d.%d is not known (1.0 to 3.0 are)",
                       name, data[6], data[7]);
    size_t start = version == 1 ? 10 : 12, length = data[8] | (size_t)data[9] << 8;
    if (version > 1 && size >= start)
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (size < start || length > size - start)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s: a header of %zu bytes does not fit into its first %zu bytes", name,
                       length, size);
    header->offset = start + length;
    parser p = {.start = (const char *)data + start,
                .at = (const char *)data + start,
                .end = (const char *)data + start + length,
                .offset = start,
                .name = name,
                .err = err};
    nq_status status = parse_dictionary(&p);
    if (status == NQ_OK)
        status = check_kind(&p);
    return status == NQ_OK ? check_length(&p, file_bytes, header) : status;
}
