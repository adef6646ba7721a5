#include "server/progress.h"

#include <string.h>

#define LARGEST ((int64_t)1 << 53)

static bool stage_valid(const char *stage)
{
    size_t n = strspn(stage, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n < NQ_PROGRESS_STAGE && !stage[n];
}

static bool number_valid(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           json_integer_value(value) <= LARGEST;
}

static bool take_message(nq_progress_state *s, const json_t *message, double now)
{
    const char *stage = json_string_value(json_object_get(message, "stage"));
    const json_t *done = json_object_get(message, "done"),
                 *total = json_object_get(message, "total"),
                 *loss = json_object_get(message, "loss");
    if (!stage || !stage_valid(stage) || !number_valid(done) || !number_valid(total))
        return false;
    int64_t count = json_integer_value(done);
    if (strcmp(s->stage, stage) != 0 || count < s->done) {
        strcpy(s->stage, stage);
        s->stage_begun = now;
        s->stage_offset = count;
        s->rate = 0;
    }
    s->has_loss = json_is_real(loss);
    s->loss = json_real_value(loss);
    s->done = count;
    s->total = json_integer_value(total);
    if (now - s->stage_begun > 0.2 && count > s->stage_offset)
        s->rate = (double)(count - s->stage_offset) / (now - s->stage_begun);
    return true;
}

static bool take_line(nq_progress_state *s, double now)
{
    json_error_t ignored;
    json_t *message =
        s->too_long ? NULL : json_loadb(s->line, s->used, JSON_REJECT_DUPLICATES, &ignored);
    bool taken = message && take_message(s, message, now);
    json_decref(message);
    s->used = 0;
    s->too_long = false;
    if (taken)
        s->messages++;
    else
        s->garbage++;
    return taken;
}

unsigned nq_progress_feed(nq_progress_state *s, const char *bytes, size_t size, double now)
{
    unsigned taken = 0;
    while (size > 0) {
        const char *newline = memchr(bytes, '\n', size);
        size_t n = newline ? (size_t)(newline - bytes) : size;
        size_t room = sizeof s->line - s->used;
        if (n > room)
            s->too_long = true;
        memcpy(s->line + s->used, bytes, n < room ? n : room);
        s->used += n < room ? n : room;
        if (newline)
            taken += take_line(s, now);
        n += newline != NULL;
        bytes += n;
        size -= n;
    }
    return taken;
}

json_t *nq_progress_to_json(const nq_progress_state *s)
{
    if (!*s->stage)
        return json_null();
    json_t *eta = s->rate > 0 && s->total >= s->done && s->total > 0
                      ? json_real((double)(s->total - s->done) / s->rate)
                      : json_null();
    return json_pack("{s:s, s:I, s:I, s:f, s:o, s:o}", "stage", s->stage, "done",
                     (json_int_t)s->done, "total", (json_int_t)s->total, "rate", s->rate, "eta_s",
                     eta, "loss", s->has_loss ? json_real(s->loss) : json_null());
}
