#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int log_fd = 2;
static int copy_fd = -1;
static nq_log_level log_level = NQ_LOG_INFO;

typedef struct {
    char text[2048];
    size_t used;
} line;

void nq_log_open(int fd, nq_log_level level)
{
    log_fd = fd;
    log_level = level;
}

void nq_log_copy(int fd)
{
    copy_fd = fd;
}

static void put(line *l, char c)
{
    if (l->used < sizeof l->text - 1) /* the last byte is the newline's */
        l->text[l->used++] = c;
}

static void put_text(line *l, const char *text)
{
    while (*text)
        put(l, *text++);
}

static bool needs_quotes(const char *value)
{
    if (!*value)
        return true;
    for (; *value; value++)
        if ((unsigned char)*value <= ' ' || *value == '"' || *value == '=' || *value == 0x7f)
            return true;
    return false;
}

static void put_value(line *l, const char *value)
{
    if (!needs_quotes(value)) {
        put_text(l, value);
        return;
    }
    put(l, '"');
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') {
            put(l, '\\');
            put(l, (char)c);
        } else if (c < ' ' || c == 0x7f) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\x%02x", c);
            put_text(l, escape);
        } else {
            put(l, (char)c);
        }
    }
    put(l, '"');
}

static void put_time(line *l)
{
    struct timeval now;
    struct tm parts;
    gettimeofday(&now, NULL);
    gmtime_r(&now.tv_sec, &parts);
    char text[64];
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now.tv_usec / 1000));
    put_text(l, text);
}

void nq_log(nq_log_level level, const char *event, ...)
{
    static const char *const names[] = {" debug ", " info ", " warn ", " error "};
    if (level < log_level)
        return;
    line l = {.used = 0};
    put_time(&l);
    put_text(&l, names[level]);
    put_text(&l, event);
    va_list arguments;
    va_start(arguments, event);
    for (const char *key; (key = va_arg(arguments, const char *));) {
        char value[1024];
        const char *format = va_arg(arguments, const char *);
        if (strcmp(format, "%s") == 0)
            snprintf(value, sizeof value, "%s", va_arg(arguments, const char *));
        else if (strcmp(format, "%d") == 0)
            snprintf(value, sizeof value, "%d", va_arg(arguments, int));
        else if (strcmp(format, "%u") == 0)
            snprintf(value, sizeof value, "%u", va_arg(arguments, unsigned));
        else if (strcmp(format, "%lld") == 0)
            snprintf(value, sizeof value, "%lld", va_arg(arguments, long long));
        else if (strcmp(format, "%zu") == 0)
            snprintf(value, sizeof value, "%zu", va_arg(arguments, size_t));
        else if (strcmp(format, "%g") == 0)
            snprintf(value, sizeof value, "%g", va_arg(arguments, double));
        else
            break; /* not one of ours: the rest of the arguments cannot be told apart */
        put(&l, ' ');
        put_text(&l, key);
        put(&l, '=');
        put_value(&l, value);
    }
    va_end(arguments);
    l.text[l.used++] = '\n';
    ssize_t ignored = write(log_fd, l.text, l.used);
    if (copy_fd >= 0)
        ignored = write(copy_fd, l.text, l.used);
    (void)ignored;
}
