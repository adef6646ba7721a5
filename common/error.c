#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Sentences quote bytes of strangers: keep terminals and log lines safe. UTF-8 passes. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            *text = '?';
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
    if (used >= 0 && (size_t)used < sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", sentence);
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
