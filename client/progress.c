#include "client/progress.h"

#include "client/client.h"
#include "client/job.h"
#include "client/table.h"
#include "common/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BAR = 24, SHORTEST_BAR = 8, MOST_LINE = 512, MOST_BARS = 8 };

typedef struct {
    long long id;
    char name[NQ_TEXT];
    char state[NQ_TEXT], stage[NQ_TEXT];
    double done, total, stage_began;
    int tenth; /* the last tenth of the stage that a plain line told */
    char bar[MOST_LINE];
} entry;

struct nq_progress {
    FILE *out;
    bool live, coloured;
    int width, lines; /* lines: bars on the screen now */
    entry *entries;
    size_t count;
};

nq_progress *nq_progress_new(FILE *out, bool live, bool coloured, int width)
{
    nq_progress *p = calloc(1, sizeof *p);
    if (p)
        *p = (nq_progress){.out = out, .live = live, .coloured = coloured, .width = width};
    return p;
}

nq_progress *nq_progress_for(FILE *out)
{
    return nq_progress_new(out, nq_stream_is_live(out), nq_stream_has_colour(out),
                           nq_stream_width(out));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static entry *entry_of(nq_progress *p, long long id)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->entries[i].id == id)
            return &p->entries[i];
    entry *entries = realloc(p->entries, (p->count + 1) * sizeof *entries);
    if (!entries)
        return NULL;
    p->entries = entries;
    entry *e = &entries[p->count++];
    *e = (entry){.id = id};
    return e;
}

/* ---- the terminal ---- */

static void erase_bars(nq_progress *p)
{
    if (p->lines > 0)
        fprintf(p->out, "\033[%dA\r\033[J", p->lines);
    p->lines = 0;
}

static void draw_bars(nq_progress *p)
{
    for (size_t i = 0; p->live && i < p->count && p->lines < MOST_BARS; i++) {
        if (!*p->entries[i].bar)
            continue;
        fprintf(p->out, "%s\n", p->entries[i].bar);
        p->lines++;
    }
    fflush(p->out);
}

/* A permanent line; the bars are off the screen. */
static void print_line(const nq_progress *p, const entry *e, const char *what, nq_colour colour,
                       const char *text)
{
    char clean[MOST_LINE];
    nq_text_clean(text, clean, sizeof clean);
    fprintf(p->out, "job %lld %s: %s%s%s%s%s\n", e->id, e->name, nq_colour_on(colour, p->coloured),
            what, nq_colour_off(colour, p->coloured), *clean && *what ? " " : "", clean);
}

/* Cuts text in place to fewer than `width` columns; 0: not at all. */
static void cut_line(char *text, int width)
{
    size_t length = strlen(text);
    while (width > 0 && length > 0 && nq_text_columns(text) >= width) {
        do
            length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80);
        text[length] = 0;
    }
}

static void draw_share(char bar[BAR + 3], int width, double share)
{
    int full = (int)(share * width);
    bar[0] = '[';
    memset(bar + 1, '=', (size_t)full);
    memset(bar + 1 + full, ' ', (size_t)(width - full));
    if (full < width)
        bar[1 + full] = '>';
    bar[width + 1] = ']';
    bar[width + 2] = 0;
}

/*
 * "12 resnet18 baseline  score      [=======>      ]  45 %  285/634  210.5/s  0:02 left". Where
 * that is too wide the bar becomes shorter, down to SHORTEST_BAR, then the names go.
 */
static void make_bar(const nq_progress *p, entry *e, const json_t *job)
{
    double rate = nq_view_real(json_object_get(job, "progress"), "rate");
    double share = e->total > 0 && e->done > 0 ? fmin(e->done / e->total, 1) : 0;
    char bar[BAR + 3] = "", count[NQ_TEXT], left[NQ_TEXT], speed[NQ_TEXT] = "";
    char head[3 * NQ_TEXT], tail[4 * NQ_TEXT];
    nq_job_count(job, count);
    nq_job_left(job, left);
    if (rate > 0)
        snprintf(speed, sizeof speed, "%.1f/s", rate);
    snprintf(tail, sizeof tail, "%3.0f %%  %s  %s  %s%s", floor(100 * share), count, speed, left,
             *left ? " left" : "");
    snprintf(head, sizeof head, "%lld %s  %-10s", e->id, e->name, e->stage);
    int room = p->width - nq_text_columns(head) - nq_text_columns(tail) - 5;
    if (p->width > 0 && room < SHORTEST_BAR) {
        snprintf(head, sizeof head, "%lld  %-10s", e->id, e->stage);
        room = p->width - nq_text_columns(head) - nq_text_columns(tail) - 5;
    }
    if (p->width == 0 || room > BAR)
        room = BAR;
    if (e->total > 0 && room > 0)
        draw_share(bar, room, share);
    snprintf(e->bar, sizeof e->bar, "%s %s %s", head, bar, e->total > 0 ? tail : count);
    cut_line(e->bar, p->width);
}

/* ---- what has changed ---- */

static void end_stage(nq_progress *p, entry *e)
{
    char took[NQ_TEXT], text[MOST_LINE];
    if (!*e->stage)
        return;
    nq_format_duration(now() - e->stage_began, took);
    if (e->total > 0)
        snprintf(text, sizeof text, "%.0f in %s", e->total, took);
    else
        snprintf(text, sizeof text, "in %s", took);
    if (p->live)
        print_line(p, e, e->stage, NQ_PLAIN, text);
    *e->stage = 0;
    *e->bar = 0;
}

static void begin_stage(nq_progress *p, entry *e, const char *stage)
{
    end_stage(p, e);
    snprintf(e->stage, sizeof e->stage, "%s", stage);
    e->stage_began = now();
    e->tenth = 0;
    if (!p->live)
        print_line(p, e, e->stage, NQ_PLAIN, "");
}

static void show_stage(nq_progress *p, entry *e, const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    char stage[NQ_TEXT], text[NQ_LONG_TEXT];
    nq_text_clean(nq_view_text(progress, "stage"), stage, sizeof stage);
    if (!*stage)
        return;
    if (strcmp(stage, e->stage) != 0)
        begin_stage(p, e, stage);
    e->done = nq_view_real(progress, "done");
    e->total = nq_view_real(progress, "total");
    make_bar(p, e, job);
    int tenth = e->total > 0 && e->done >= 0 ? (int)(10 * fmin(e->done / e->total, 1)) : 0;
    if (p->live || tenth <= e->tenth || now() - e->stage_began < 10)
        return;
    e->tenth = tenth;
    nq_job_progress(job, text);
    print_line(p, e, "", NQ_PLAIN, text);
}

static void show_state(nq_progress *p, entry *e, const json_t *job)
{
    char state[NQ_TEXT], heading[NQ_TEXT + 1], text[NQ_LONG_TEXT];
    nq_text_clean(nq_view_text(job, "state"), state, sizeof state);
    if (strcmp(state, e->state) == 0)
        return;
    bool ended = nq_job_ended(job);
    if (strcmp(state, "running") != 0) {
        if (strcmp(state, "done") == 0)
            end_stage(p, e);
        *e->stage = 0;
        *e->bar = 0;
    }
    snprintf(e->state, sizeof e->state, "%s", state);
    nq_job_outcome(job, text);
    /* "held: held by its owner" would say it twice. */
    size_t length = strlen(state);
    bool said = length > 0 && strncmp(text, state, length) == 0 && text[length] == ' ';
    bool colon = *text && !said && strcmp(state, "done") != 0;
    snprintf(heading, sizeof heading, "%s%s", state, colon ? ":" : "");
    if (ended || *text)
        print_line(p, e, heading, nq_colour_of_state(state), said ? text + length + 1 : text);
}

void nq_progress_show(nq_progress *p, const json_t *job)
{
    long long id = nq_view_int(job, "job", -1);
    entry *e = p && id >= 0 ? entry_of(p, id) : NULL;
    if (!e)
        return;
    char name[NQ_TEXT];
    snprintf(name, sizeof name, "%.30s %.30s", nq_view_text(job, "model"),
             nq_view_text(job, "preset"));
    nq_text_clean(name, e->name, sizeof e->name);
    erase_bars(p);
    show_state(p, e, job);
    if (strcmp(e->state, "running") == 0)
        show_stage(p, e, job);
    draw_bars(p);
}

void nq_progress_say(nq_progress *p, const char *sentence)
{
    if (!p)
        return;
    erase_bars(p);
    fprintf(p->out, "netqctl: %s\n", sentence);
    draw_bars(p);
}

void nq_progress_end(nq_progress *p)
{
    if (!p)
        return;
    erase_bars(p);
    fflush(p->out);
    free(p->entries);
    free(p);
}
