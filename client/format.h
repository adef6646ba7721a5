/* Numbers, times and strangers' text for people. */
#ifndef NQ_CLIENT_FORMAT_H
#define NQ_CLIENT_FORMAT_H

#include "common/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Room for what the functions below write, the NUL included. */
#define NQ_TEXT 64

/*
 * Members of an object that came from the daemon, whatever their type: a member that is absent or
 * of another type reads as "", `standard` or NaN. Strings stay owned by the object.
 */
const char *nq_view_text(const json_t *object, const char *key);
long long nq_view_int(const json_t *object, const char *key, long long standard);
double nq_view_real(const json_t *object, const char *key);

/* "11.70 MB", powers of 1000 as the challenge counts. Negative: "-". */
void nq_format_bytes(long long bytes, char text[NQ_TEXT]);

/* "0:02", "1:05:09", "3 d 4 h". NaN or negative: "-". */
void nq_format_duration(double seconds, char text[NQ_TEXT]);

/* Local time "2026-11-24 13:05:09". NaN: "-". */
void nq_format_time(double seconds, char text[NQ_TEXT]);

/* With `digits` decimals; NaN: "-". */
void nq_format_real(double value, int digits, char text[NQ_TEXT]);

/*
 * "2026-11-24", "2026-11-24 13:05", "2026-11-24T13:05:09" (local time), "90m", "2h", "3d" (before
 * `now`) or seconds since 1970, as seconds since 1970. NQ_ERR_INPUT otherwise.
 */
nq_status nq_format_parse_since(const char *text, time_t now, double *seconds, nq_error *err);

#endif
