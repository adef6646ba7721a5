#include "worker/output/labels.h"

#include "common/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nq_format_repr(double value, char *text)
{
    int precision = 1;
    do
        snprintf(text, 32, "%.*g", precision, value);
    while (strtod(text, NULL) != value && ++precision <= 17);
    /* %g turns to an exponent when it has fewer digits than the value has places; repr does at 1e16
     * only. */
    if (strchr(text, 'e') && value < 1e16 && value >= 1e-4)
        snprintf(text, 32, "%.0f", value);
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
}

nq_status nq_labels_write(const char *path, uint64_t model_bytes, const nq_verdict *verdicts,
                          uint32_t count, nq_error *err)
{
    char size_text[32];
    size_t room = 64 + (size_t)count * 12, used;
    char *text = malloc(room);
    if (!text)
        return nq_fail_nomem(err, path, room);
    nq_format_repr((double)model_bytes / 1e6, size_text);
    used = (size_t)snprintf(text, room, "In (MB): %s\n", size_text);
    for (uint32_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used, "%d\n", verdicts[i].label);
    nq_status status = nq_file_write_atomic(path, text, used, err);
    free(text);
    return status;
}

nq_status nq_labels_parse(const char *text, size_t size, const char *name, int32_t **out,
                          uint32_t *count, nq_error *err)
{
    const char *end = text + size, *line = memchr(text, '\n', size);
    *out = NULL;
    *count = 0;
    if (size < 9 || memcmp(text, "In (MB): ", 9) != 0 || !line)
        return nq_fail(err, NQ_ERR_INPUT, "%s: the first line is not \"In (MB): size\"", name);
    int32_t *labels = malloc((size_t)(end - line) / 2 * sizeof *labels + sizeof *labels);
    if (!labels)
        return nq_fail_nomem(err, name, size);
    uint32_t n = 0;
    for (line++; line < end; n++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        char digits[16] = "";
        size_t length = newline ? (size_t)(newline - line) : sizeof digits;
        char *stop = digits;
        long value = 0;
        if (length > 0 && length < sizeof digits &&
            (*line == '-' || (*line >= '0' && *line <= '9'))) {
            memcpy(digits, line, length);
            digits[length] = 0;
            value = strtol(digits, &stop, 10);
        }
        if (stop == digits || *stop || value < -1 || value > 65535) {
            free(labels);
            return nq_fail(err, NQ_ERR_INPUT, "%s: byte %zu does not begin a line with one class",
                           name, (size_t)(line - text));
        }
        labels[n] = (int32_t)value;
        line = newline + 1;
    }
    *out = labels;
    *count = n;
    return NQ_OK;
}
