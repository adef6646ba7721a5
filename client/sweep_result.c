#include "client/sweep.h"

#include "client/format.h"
#include "client/pareto.h"
#include "common/spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double top1_of(const nq_sweep_cell *cell)
{
    return nq_view_real(json_object_get(cell->job, "result"), "top1");
}

static double ratio_of(const nq_sweep_cell *cell)
{
    return nq_view_real(json_object_get(cell->job, "result"), "compression_ratio");
}

/* ---- series ---- */

static size_t find_series(nq_sweep *sweep, const json_t *job)
{
    nq_sweep_series new = {.model = nq_view_text(job, "model"),
                           .dataset = nq_view_text(job, "dataset"),
                           .images = nq_view_int(json_object_get(job, "result"), "images", 0),
                           .reference = SIZE_MAX};
    for (size_t i = 0; i < sweep->series_count; i++) {
        const nq_sweep_series *s = &sweep->series[i];
        if (strcmp(s->model, new.model) == 0 && strcmp(s->dataset, new.dataset) == 0 &&
            s->images == new.images)
            return i;
    }
    sweep->series[sweep->series_count] = new;
    return sweep->series_count++;
}

static void name_series(nq_sweep *sweep)
{
    const nq_sweep_series *first = sweep->series;
    sweep->one_dataset = true;
    for (size_t i = 1; i < sweep->series_count; i++)
        sweep->one_dataset &= strcmp(first->dataset, sweep->series[i].dataset) == 0 &&
                              first->images == sweep->series[i].images;
    for (size_t i = 0; i < sweep->series_count; i++) {
        nq_sweep_series *s = &sweep->series[i];
        if (sweep->one_dataset)
            snprintf(s->name, sizeof s->name, "%s", s->model);
        else
            snprintf(s->name, sizeof s->name, "%s on %lld images of %s", s->model, s->images,
                     s->dataset);
    }
}

static void take_cell(nq_sweep *sweep, size_t i, const json_t *labels, const json_t *job)
{
    nq_sweep_cell *cell = &sweep->cells[i];
    const nq_preset *preset = nq_preset_find(nq_view_text(job, "preset"));
    *cell = (nq_sweep_cell){.labels = labels,
                            .job = job,
                            .is_float = preset && preset->kind == NQ_JOB_FLOAT,
                            .drop = NAN,
                            .error = NAN,
                            .kl = NAN};
    cell->done = strcmp(nq_view_text(job, "state"), "done") == 0 && isfinite(top1_of(cell)) &&
                 isfinite(ratio_of(cell));
    if (!cell->done)
        return;
    cell->series = find_series(sweep, job);
    if (cell->is_float)
        sweep->series[cell->series].reference = i;
}

static nq_status find_varying(nq_sweep *sweep, nq_error *err)
{
    json_t *first = json_object();
    int bad = !(sweep->varying = json_object()) || !first;
    for (size_t i = 0; i < sweep->count && !bad; i++) {
        const char *key;
        json_t *text;
        json_object_foreach((json_t *)sweep->cells[i].labels, key, text)
        {
            const json_t *known = json_object_get(first, key);
            if (!known)
                bad |= json_object_set(first, key, text);
            else if (!json_equal(known, text))
                bad |= json_object_set_new(sweep->varying, key, json_true());
        }
    }
    json_decref(first);
    return bad ? nq_fail_nomem(err, "the sweep", 0) : NQ_OK;
}

/* ---- frontiers ---- */

static nq_status mark_frontier(nq_sweep *sweep, size_t series, nq_error *err)
{
    nq_result_point *points = calloc(sweep->count, sizeof *points);
    size_t *of = calloc(sweep->count, sizeof *of), n = 0;
    bool *on = calloc(sweep->count, sizeof *on);
    nq_status status = points && of && on ? NQ_OK : nq_fail_nomem(err, "a frontier", sweep->count);
    for (size_t i = 0; status == NQ_OK && i < sweep->count; i++) {
        const nq_sweep_cell *cell = &sweep->cells[i];
        if (!cell->done || cell->is_float || cell->series != series)
            continue;
        points[n] = (nq_result_point){ratio_of(cell), top1_of(cell)};
        of[n++] = i;
    }
    if (status == NQ_OK)
        nq_pareto(points, n, on);
    for (size_t i = 0; i < n; i++)
        sweep->cells[of[i]].frontier = on[i];
    free(points);
    free(of);
    free(on);
    return status;
}

static void find_drops(nq_sweep *sweep)
{
    for (size_t i = 0; i < sweep->count; i++) {
        nq_sweep_cell *cell = &sweep->cells[i];
        size_t reference = cell->done ? sweep->series[cell->series].reference : SIZE_MAX;
        if (reference != SIZE_MAX && !cell->is_float)
            cell->drop = top1_of(&sweep->cells[reference]) - top1_of(cell);
    }
}

nq_status nq_sweep_create(long long group, const json_t *cells, const json_t *jobs, nq_sweep *sweep,
                          nq_error *err)
{
    *sweep = (nq_sweep){.group = group, .count = json_array_size(cells)};
    sweep->cells = calloc(sweep->count + 1, sizeof *sweep->cells);
    sweep->series = calloc(sweep->count + 1, sizeof *sweep->series);
    if (!sweep->cells || !sweep->series)
        return nq_fail_nomem(err, "the sweep", sweep->count);
    for (size_t i = 0; i < sweep->count; i++)
        take_cell(sweep, i, json_object_get(json_array_get(cells, i), "cell"),
                  json_array_get(jobs, i));
    name_series(sweep);
    find_drops(sweep);
    nq_status status = find_varying(sweep, err);
    for (size_t i = 0; i < sweep->series_count && status == NQ_OK; i++)
        status = mark_frontier(sweep, i, err);
    return status;
}

void nq_sweep_free(nq_sweep *sweep)
{
    free(sweep->cells);
    free(sweep->series);
    json_decref(sweep->varying);
}

nq_status nq_sweep_frontier(const nq_sweep *sweep, size_t series, size_t **members, size_t *count,
                            nq_error *err)
{
    *count = 0;
    *members = calloc(sweep->count + 1, sizeof **members);
    if (!*members)
        return nq_fail_nomem(err, "a frontier", sweep->count);
    for (size_t i = 0; i < sweep->count; i++) {
        const nq_sweep_cell *cell = &sweep->cells[i];
        if (!cell->frontier || cell->series != series)
            continue;
        size_t at = (*count)++;
        for (; at > 0 && ratio_of(&sweep->cells[(*members)[at - 1]]) < ratio_of(cell); at--)
            (*members)[at] = (*members)[at - 1];
        (*members)[at] = i;
    }
    return NQ_OK;
}

/* ---- names ---- */

void nq_sweep_cell_name(const nq_sweep *sweep, const nq_sweep_cell *cell, bool of_series,
                        char name[NQ_GRID_NAME])
{
    json_t *some = json_object();
    const char *key;
    json_t *text;
    json_object_foreach((json_t *)cell->labels, key, text)
    {
        if (json_object_get(sweep->varying, key) && !(of_series && strcmp(key, "model") == 0))
            json_object_set(some, key, text);
    }
    nq_grid_name(some, name);
    json_decref(some);
}
