/* A scatter chart as SVG: points, the frontier through some of them, axes with ticks, labels. */
#ifndef NQ_COMMON_CHART_H
#define NQ_COMMON_CHART_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    double x, y; /* finite */
    const char *label;
    bool frontier; /* filled, and a corner of the series' staircase */
} nq_chart_point;

typedef struct {
    const char *name;
    const nq_chart_point *points;
    size_t count;
    double level; /* a dashed line at this y; NaN: none */
    const char *level_label;
    bool bare; /* the staircase alone, no points */
} nq_chart_series;

typedef struct {
    const char *title, *x_title, *y_title;
    const nq_chart_series *series;
    size_t count;
    bool log_y;   /* every y and level is positive */
    bool less;    /* less of x and of y is better, not more */
    bool scatter; /* no staircases: what is on the frontier is filled and no more */
} nq_chart;

/*
 * The whole document, one chart below another, malloc'd; NULL when out of memory. More of x and of
 * y is better: the frontier of a series is the border of what is reached. Every point has its label
 * as a tool tip; as text where there is room, frontier points first. Text may be anything: it is
 * made printable and escaped.
 */
char *nq_chart_svg(const nq_chart *charts, size_t count);

#endif
