#include "client/format.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *nq_view_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

long long nq_view_int(const json_t *object, const char *key, long long standard)
{
    const json_t *member = json_object_get(object, key);
    return json_is_integer(member) ? json_integer_value(member) : standard;
}

double nq_view_real(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    return json_is_number(member) ? json_number_value(member) : NAN;
}

void nq_format_bytes(long long bytes, char text[NQ_TEXT])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    if (bytes < 0)
        snprintf(text, NQ_TEXT, "-");
    else if (bytes < 1000)
        snprintf(text, NQ_TEXT, "%lld B", bytes);
    else {
        for (; value >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
            value /= 1000;
        snprintf(text, NQ_TEXT, "%.2f %s", value, units[unit]);
    }
}

void nq_format_duration(double seconds, char text[NQ_TEXT])
{
    if (!(seconds >= 0) || seconds > 1e12) {
        snprintf(text, NQ_TEXT, "-");
        return;
    }
    long long s = (long long)(seconds + 0.5);
    if (s >= 86400)
        snprintf(text, NQ_TEXT, "%lld d %lld h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        snprintf(text, NQ_TEXT, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, NQ_TEXT, "%lld:%02lld", s / 60, s % 60);
}

void nq_format_time(double seconds, char text[NQ_TEXT])
{
    struct tm tm;
    bool sane = seconds >= 0 && seconds < 1e11;
    time_t when = sane ? (time_t)seconds : 0;
    if (!sane || !localtime_r(&when, &tm) || !strftime(text, NQ_TEXT, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(text, NQ_TEXT, "-");
}

void nq_format_real(double value, int digits, char text[NQ_TEXT])
{
    if (isfinite(value) && fabs(value) < 1e15)
        snprintf(text, NQ_TEXT, "%.*f", digits, value);
    else
        snprintf(text, NQ_TEXT, "-");
}

nq_status nq_format_parse_since(const char *text, time_t now, double *seconds, nq_error *err)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &tm);
        if (end && !*end) {
            *seconds = (double)mktime(&tm);
            return NQ_OK;
        }
    }
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    bool plain = *text >= '0' && *text <= '9' && !errno && isfinite(number);
    const char *unit = plain && *end && !end[1] ? strchr("smhd", *end) : NULL;
    if (plain && !*end) {
        *seconds = number;
        return NQ_OK;
    }
    if (!unit)
        return nq_fail(err, NQ_ERR_INPUT,
                       "\"%s\" is not a time: write 2026-11-24, \"2026-11-24 13:05\" or 2h", text);
    *seconds = (double)now - number * (*unit == 's'   ? 1
                                       : *unit == 'm' ? 60
                                       : *unit == 'h' ? 3600
                                                      : 86400);
    return NQ_OK;
}
