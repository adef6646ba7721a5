/* A sweep's frontiers as a drawing. */
#include "client/format.h"
#include "client/sweep.h"
#include "common/chart.h"
#include "common/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    nq_chart_point *points; /* of all series, one after another */
    char (*labels)[NQ_GRID_NAME];
    nq_chart_series *series;
    char (*levels)[NQ_TEXT];
} drawing;

static void add_series(const nq_sweep *sweep, size_t series, drawing *d, size_t *used)
{
    const nq_sweep_series *from = &sweep->series[series];
    nq_chart_series *s = &d->series[series];
    *s = (nq_chart_series){.name = from->name,
                           .points = d->points + *used,
                           .level = NAN,
                           .level_label = d->levels[series]};
    for (size_t i = 0; i < sweep->count; i++) {
        const nq_sweep_cell *cell = &sweep->cells[i];
        const json_t *result = json_object_get(cell->job, "result");
        if (!cell->done || cell->is_float || cell->series != series)
            continue;
        nq_sweep_cell_name(sweep, cell, true, d->labels[*used]);
        d->points[*used] = (nq_chart_point){.x = nq_view_real(result, "compression_ratio"),
                                            .y = nq_view_real(result, "top1"),
                                            .label = d->labels[*used],
                                            .frontier = cell->frontier};
        (*used)++;
        s->count++;
    }
    if (from->reference != SIZE_MAX) {
        s->level =
            nq_view_real(json_object_get(sweep->cells[from->reference].job, "result"), "top1");
        snprintf(d->levels[series], NQ_TEXT, "float %.2f %%", s->level);
    }
}

nq_status nq_sweep_draw(const nq_sweep *sweep, const char *path, nq_error *err)
{
    char title[2 * NQ_GRID_NAME] = "Top-1 against compression ratio";
    size_t used = 0;
    drawing d = {.points = calloc(sweep->count + 1, sizeof *d.points),
                 .labels = calloc(sweep->count + 1, sizeof *d.labels),
                 .series = calloc(sweep->series_count + 1, sizeof *d.series),
                 .levels = calloc(sweep->series_count + 1, sizeof *d.levels)};
    char *svg = NULL;
    if (sweep->series_count > 0 && sweep->one_dataset)
        snprintf(title, sizeof title, "%lld images of %s", sweep->series[0].images,
                 sweep->series[0].dataset);
    if (d.points && d.labels && d.series && d.levels) {
        for (size_t i = 0; i < sweep->series_count; i++)
            add_series(sweep, i, &d, &used);
        const nq_chart chart = {.title = title,
                                .x_title = "compression ratio, %",
                                .y_title = "top-1, %",
                                .series = d.series,
                                .count = sweep->series_count};
        svg = nq_chart_svg(&chart, 1);
    }
    nq_status status = svg ? nq_file_write_atomic(path, svg, strlen(svg), err)
                           : nq_fail_nomem(err, "the chart", 0);
    free(svg);
    free(d.points);
    free(d.labels);
    free(d.series);
    free(d.levels);
    return status;
}
