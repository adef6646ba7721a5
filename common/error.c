#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at `text`, 0 where there is none. */
static int utf8_length(const unsigned char *text)
{
    int length = text[0] < 0x80   ? 1
                 : text[0] < 0xc2 ? 0
                 : text[0] < 0xe0 ? 2
                 : text[0] < 0xf0 ? 3
                                  : 4;
    if (text[0] > 0xf4)
        return 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool outside = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

/* Sentences quote bytes of strangers: keep terminals, log lines and JSON safe. */
static void make_printable(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        int length = utf8_length(at);
        if (length == 0 || *at < 0x20 || *at == 0x7f) {
            *at++ = '?';
            continue;
        }
        at += length;
    }
}

nq_status nq_fail(nq_error *err, nq_status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    make_printable(err->text);
    err->status = status;
    return status;
}

nq_status nq_fail_errno(nq_error *err, int code, const char *format, ...)
{
    nq_status status = code == ENOMEM ? NQ_ERR_NOMEM : NQ_ERR_IO;
    if (!err)
        return status;
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    char reason[128];
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s",
                 strerror_r(code, reason, sizeof reason));
    make_printable(err->text);
    err->status = status;
    return status;
}

nq_status nq_fail_nomem(nq_error *err, const char *what, unsigned long long bytes)
{
    return nq_fail(err, NQ_ERR_NOMEM, "out of memory: %llu bytes for %s", bytes, what);
}

nq_status nq_error_prefix(nq_error *err, const char *format, ...)
{
    if (!err)
        return NQ_ERR_INTERNAL;
    char sentence[sizeof err->text];
    memcpy(sentence, err->text, sizeof sentence);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    if (used >= 0 && (size_t)used + 3 < sizeof err->text) {
        size_t room = sizeof err->text - (size_t)used - 3, length = strnlen(sentence, room);
        memcpy(err->text + used, ": ", 2);
        memcpy(err->text + used + 2, sentence, length);
        err->text[(size_t)used + 2 + length] = 0;
    }
    make_printable(err->text);
    return err->status;
}

const char *nq_status_name(nq_status status)
{
    switch (status) {
    case NQ_OK:
        return "ok";
    case NQ_ERR_INPUT:
        return "bad_input";
    case NQ_ERR_IO:
        return "io";
    case NQ_ERR_NOMEM:
        return "no_memory";
    case NQ_ERR_STATE:
        return "wrong_state";
    case NQ_ERR_MISSING:
        return "missing";
    case NQ_ERR_DENIED:
        return "denied";
    case NQ_ERR_CANCELLED:
        return "cancelled";
    case NQ_ERR_INTERNAL:
        break;
    }
    return "internal";
}
