#include "common/chart.h"

#include "common/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pixels. */
enum {
    WIDTH = 860,
    HEIGHT = 560,
    LEFT = 70,
    RIGHT = 30,
    TOP = 64,
    BOTTOM = 60,
    RADIUS = 4,
    LINE = 13,    /* a label's height */
    LABELLED = 60 /* with more points than this only the frontier's have text */
};
#define LETTER     6.3 /* a label's width a letter, at most */
#define MOST_TICKS 9
#define TICK       32 /* letters of a tick's number, at most */

/* Colours that stay apart for colour-blind eyes (Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000"};
#define COLOURS (sizeof colours / sizeof *colours)

typedef struct {
    double low, high, step;
    int digits; /* of a tick's number, after the point */
    bool log;   /* low, high and step are powers of ten */
} axis;

typedef struct {
    double left, top, right, bottom;
} box;

typedef struct {
    FILE *out;
    axis x, y;
    box *taken; /* by points, labels and frontiers */
    size_t taken_count;
} canvas;

/* ---- text ---- */

static void put_text(FILE *out, const char *text)
{
    char clean[512];
    nq_text_clean(text, clean, sizeof clean);
    for (const char *c = clean; *c; c++)
        switch (*c) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc(*c, out);
        }
}

static void put_label(FILE *out, double x, double y, const char *attributes, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
    put_text(out, text);
    fputs("</text>\n", out);
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten. */
static double nice_step(double span)
{
    double power = pow(10, floor(log10(span / MOST_TICKS)));
    for (int i = 0; i < 3; i++) {
        static const double nice[] = {1, 2, 5};
        if (span / (nice[i] * power) <= MOST_TICKS)
            return nice[i] * power;
    }
    return 10 * power;
}

static axis make_axis(double low, double high)
{
    axis a = {.low = low, .high = high};
    if (!(low <= high))
        a = (axis){.low = 0, .high = 1};
    double room = fmax(0.06 * (a.high - a.low), 1e-3 * fmax(fabs(a.low), fabs(a.high)));
    room = fmax(room, 1e-6);
    a.step = nice_step(a.high - a.low + 2 * room);
    a.low = floor((a.low - room) / a.step) * a.step;
    a.high = ceil((a.high + room) / a.step) * a.step;
    a.digits = (int)fmax(0, -floor(log10(a.step) + 1e-9));
    return a;
}

/* At least one whole power of ten; every value is positive. */
static axis make_log_axis(double low, double high)
{
    axis a = {.log = true, .low = low > 0 ? floor(log10(low)) : 0, .high = 1};
    if (low > 0 && low <= high)
        a.high = fmax(ceil(log10(high)), a.low + 1);
    a.step = ceil((a.high - a.low) / MOST_TICKS);
    return a;
}

static double place(const axis *a, double value, double from, double to)
{
    value = a->log ? log10(value) : value;
    return from + (value - a->low) / (a->high - a->low) * (to - from);
}

static double place_x(const canvas *c, double x)
{
    return place(&c->x, x, LEFT, WIDTH - RIGHT);
}

static double place_y(const canvas *c, double y)
{
    return place(&c->y, y, HEIGHT - BOTTOM, TOP);
}

static void draw_ticks(const canvas *c, bool horizontal)
{
    const axis *a = horizontal ? &c->x : &c->y;
    int ticks = (int)floor((a->high - a->low) / a->step + 0.5);
    for (int i = 0; i <= ticks; i++) {
        double value = a->low + i * a->step;
        char number[TICK];
        if (a->log)
            snprintf(number, sizeof number, "1e%+.0f", value);
        else
            snprintf(number, sizeof number, "%.*f", a->digits, value);
        value = a->log ? pow(10, value) : value;
        double x = horizontal ? place_x(c, value) : LEFT;
        double y = horizontal ? HEIGHT - BOTTOM : place_y(c, value);
        fprintf(c->out,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e4e4e4\"/>\n", x,
                y, horizontal ? x : WIDTH - RIGHT, horizontal ? (double)TOP : y);
        put_label(c->out, horizontal ? x : LEFT - 8, horizontal ? y + 18 : y + 4,
                  horizontal ? " text-anchor=\"middle\"" : " text-anchor=\"end\"", number);
    }
}

static void draw_axes(const canvas *c, const nq_chart *chart)
{
    char turned[128];
    draw_ticks(c, true);
    draw_ticks(c, false);
    fprintf(c->out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#333\"/>\n", LEFT, TOP,
            HEIGHT - BOTTOM, WIDTH - RIGHT);
    put_label(c->out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 18, " text-anchor=\"middle\"",
              chart->x_title);
    snprintf(turned, sizeof turned, " text-anchor=\"middle\" transform=\"rotate(-90 20 %d)\"",
             (TOP + HEIGHT - BOTTOM) / 2);
    put_label(c->out, 20, (TOP + HEIGHT - BOTTOM) / 2.0, turned, chart->y_title);
    put_label(c->out, LEFT, 24, " font-size=\"16\" font-weight=\"bold\"", chart->title);
}

/* ---- series ---- */

static bool is_free(const canvas *c, const box *b)
{
    if (b->left < LEFT || b->right > WIDTH - 2 || b->top < TOP - LINE ||
        b->bottom > HEIGHT - BOTTOM)
        return false;
    for (size_t i = 0; i < c->taken_count; i++) {
        const box *t = &c->taken[i];
        if (b->left < t->right && t->left < b->right && b->top < t->bottom && t->top < b->bottom)
            return false;
    }
    return true;
}

/* Right of the point, left, above or below, where nothing stands; else nowhere. */
static void draw_label(canvas *c, const nq_chart_point *p, const char *colour)
{
    static const char *const anchors[] = {"start", "end", "middle", "middle"};
    char clean[512], attributes[160];
    nq_text_clean(p->label, clean, sizeof clean);
    double x = place_x(c, p->x), y = place_y(c, p->y), width = LETTER * nq_text_columns(clean);
    const double lefts[] = {x + RADIUS + 3, x - RADIUS - 3 - width, x - width / 2, x - width / 2};
    const double tops[] = {y - LINE / 2.0, y - LINE / 2.0, y - RADIUS - 2 - LINE, y + RADIUS + 2};
    const double origins[] = {x + RADIUS + 3, x - RADIUS - 3, x, x};
    for (int i = 0; i < 4; i++) {
        box b = {lefts[i], tops[i], lefts[i] + width, tops[i] + LINE};
        if (!is_free(c, &b))
            continue;
        c->taken[c->taken_count++] = b;
        snprintf(attributes, sizeof attributes,
                 " font-size=\"11\" fill=\"%s\" text-anchor=\"%s\" paint-order=\"stroke\" "
                 "stroke=\"#fff\" stroke-width=\"3\"",
                 colour, anchors[i]);
        put_label(c->out, origins[i], b.bottom - 3, attributes, p->label);
        return;
    }
}

static int by_x(const void *p, const void *q)
{
    const nq_chart_point *a = *(const nq_chart_point *const *)p;
    const nq_chart_point *b = *(const nq_chart_point *const *)q;
    return a->x != b->x ? (a->x > b->x) - (a->x < b->x) : (a->y > b->y) - (a->y < b->y);
}

/* Labels keep off what is between two points on a horizontal or vertical line. */
static void take_line(canvas *c, double x1, double y1, double x2, double y2)
{
    c->taken[c->taken_count++] =
        (box){fmin(x1, x2) - 1, fmin(y1, y2) - 1, fmax(x1, x2) + 1, fmax(y1, y2) + 1};
}

/* From each corner down to the next one's height, then across to it; the other way round where
 * less is better. */
static bool draw_frontier(canvas *c, const nq_chart_series *s, bool less, const char *colour)
{
    const nq_chart_point **corners = calloc(s->count + 1, sizeof *corners);
    size_t n = 0;
    double before_x = 0, before_y = 0;
    if (!corners)
        return false;
    for (size_t i = 0; i < s->count; i++)
        if (s->points[i].frontier)
            corners[n++] = &s->points[i];
    qsort(corners, n, sizeof *corners, by_x);
    for (size_t i = 0; i < n; i++) {
        double x = place_x(c, corners[i]->x), y = place_y(c, corners[i]->y);
        if (i == 0) {
            fprintf(c->out, "<path d=\"M%.1f %.1f", x, y);
        } else {
            double turn_x = less ? x : before_x, turn_y = less ? before_y : y;
            fprintf(c->out, less ? "H%.1fV%.1f" : "V%.1fH%.1f", less ? x : y, less ? y : x);
            take_line(c, before_x, before_y, turn_x, turn_y);
            take_line(c, turn_x, turn_y, x, y);
        }
        before_x = x;
        before_y = y;
    }
    if (n > 0)
        fprintf(c->out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", colour);
    free(corners);
    return true;
}

static void draw_level(canvas *c, const nq_chart_series *s, const char *colour)
{
    double y = place_y(c, s->level);
    char attributes[64];
    if (!isfinite(s->level))
        return;
    fprintf(c->out,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" "
            "stroke-dasharray=\"6 4\"/>\n",
            LEFT, y, WIDTH - RIGHT, y, colour);
    snprintf(attributes, sizeof attributes, " font-size=\"11\" fill=\"%s\"", colour);
    put_label(c->out, LEFT + 6, y - 4, attributes, s->level_label);
    c->taken[c->taken_count++] =
        (box){LEFT, y - 4 - LINE, LEFT + 6 + LETTER * nq_text_columns(s->level_label), y};
}

static void draw_points(canvas *c, const nq_chart_series *s, const char *colour)
{
    for (size_t i = 0; i < s->count; i++) {
        const nq_chart_point *p = &s->points[i];
        double x = place_x(c, p->x), y = place_y(c, p->y);
        fprintf(c->out,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" stroke=\"%s\"><title>", x, y,
                RADIUS, p->frontier ? colour : "#fff", colour);
        put_text(c->out, p->label);
        fputs("</title></circle>\n", c->out);
        c->taken[c->taken_count++] = (box){x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS};
    }
}

static void draw_legend(const canvas *c, const nq_chart *chart)
{
    double x = LEFT;
    for (size_t i = 0; i < chart->count; i++) {
        const char *name = chart->series[i].name;
        fprintf(c->out, "<circle cx=\"%.1f\" cy=\"44\" r=\"%d\" fill=\"%s\"/>\n", x + RADIUS,
                RADIUS, colours[i % COLOURS]);
        put_label(c->out, x + 2 * RADIUS + 5, 48, "", name);
        x += 2 * RADIUS + 25 + 7 * nq_text_columns(name);
    }
}

/* ---- the whole ---- */

static void make_axes(canvas *c, const nq_chart *chart)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < chart->count; i++) {
        const nq_chart_series *s = &chart->series[i];
        for (size_t k = 0; k < s->count; k++) {
            low[0] = fmin(low[0], s->points[k].x);
            high[0] = fmax(high[0], s->points[k].x);
            low[1] = fmin(low[1], s->points[k].y);
            high[1] = fmax(high[1], s->points[k].y);
        }
        low[1] = fmin(low[1], s->level); /* fmin() and fmax() leave out a NaN */
        high[1] = fmax(high[1], s->level);
    }
    c->x = make_axis(low[0], high[0]);
    c->y = chart->log_y ? make_log_axis(low[1], high[1]) : make_axis(low[1], high[1]);
}

static bool draw(canvas *c, const nq_chart *chart)
{
    bool good = true;
    size_t points = 0;
    draw_axes(c, chart);
    draw_legend(c, chart);
    for (size_t i = 0; i < chart->count; i++) {
        draw_level(c, &chart->series[i], colours[i % COLOURS]);
        if (!chart->scatter)
            good &= draw_frontier(c, &chart->series[i], chart->less, colours[i % COLOURS]);
        points += chart->series[i].bare ? 0 : chart->series[i].count;
    }
    for (size_t i = 0; i < chart->count; i++)
        if (!chart->series[i].bare)
            draw_points(c, &chart->series[i], colours[i % COLOURS]);
    for (int frontier = 1; frontier >= (points <= LABELLED ? 0 : 1); frontier--)
        for (size_t i = 0; i < chart->count; i++)
            for (size_t k = 0; k < chart->series[i].count && !chart->series[i].bare; k++)
                if (chart->series[i].points[k].frontier == frontier)
                    draw_label(c, &chart->series[i].points[k], colours[i % COLOURS]);
    return good;
}

/* One below another. */
static bool draw_one(FILE *out, const nq_chart *chart, size_t place)
{
    size_t points = 0;
    for (size_t i = 0; i < chart->count; i++)
        points += chart->series[i].count;
    canvas c = {.out = out, .taken = calloc(4 * points + chart->count + 1, sizeof *c.taken)};
    if (!c.taken)
        return false;
    make_axes(&c, chart);
    if (place > 0)
        fprintf(out, "<g transform=\"translate(0 %zu)\">\n", place * HEIGHT);
    bool good = draw(&c, chart);
    if (place > 0)
        fputs("</g>\n", out);
    free(c.taken);
    return good;
}

char *nq_chart_svg(const nq_chart *charts, size_t count)
{
    char *text = NULL;
    size_t size = 0, height = count * HEIGHT;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" width=\"%d\" "
            "height=\"%zu\" font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    bool good = true;
    for (size_t i = 0; i < count; i++)
        good = good && draw_one(out, &charts[i], i);
    fputs("</svg>\n", out);
    if (fclose(out) != 0 || !good) {
        free(text);
        return NULL;
    }
    return text;
}
