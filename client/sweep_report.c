/* A sweep for people and for programs. */
#include "client/format.h"
#include "client/job.h"
#include "client/sweep.h"
#include "client/table.h"
#include "common/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AXES = 40, FIXED_COLUMNS = 10 };

static double took(const nq_sweep_cell *cell)
{
    return nq_view_real(cell->job, "ended") - nq_view_real(cell->job, "started");
}

/* ---- the table ---- */

/* Headings: the job, the axes that vary, and what came out. */
typedef struct {
    const char *keys[MOST_AXES];
    char texts[MOST_AXES][NQ_TEXT];
    size_t axes;
    bool all_done, has_drop, has_kl;
    const char *headings[MOST_AXES + FIXED_COLUMNS + 1];
} columns;

static void add_axis(columns *c, const char *key)
{
    for (size_t i = 0; i < c->axes; i++)
        if (strcmp(c->keys[i], key) == 0)
            return;
    if (c->axes == MOST_AXES)
        return;
    c->keys[c->axes] = key;
    char *text = c->texts[c->axes++];
    snprintf(text, NQ_TEXT, "%s", key);
    for (; *text; text++)
        *text = (char)toupper((unsigned char)*text);
}

static void find_columns(const nq_sweep *sweep, columns *c)
{
    static const char *const results[] = {">RATIO %", ">TOP-1 %", "?>AGREE %", "?>SIZE",
                                          ">TOOK",    "FRONTIER", NULL};
    size_t n = 0;
    *c = (columns){.all_done = true};
    for (size_t i = 0; i < sweep->count; i++) {
        const char *key;
        json_t *text;
        json_object_foreach((json_t *)sweep->cells[i].labels, key, text)
        {
            if (json_object_get(sweep->varying, key))
                add_axis(c, key);
        }
        c->all_done &= sweep->cells[i].done;
        c->has_drop |= isfinite(sweep->cells[i].drop);
        c->has_kl |= isfinite(sweep->cells[i].kl);
    }
    c->headings[n++] = ">JOB";
    for (size_t i = 0; i < c->axes; i++)
        c->headings[n++] = c->texts[i];
    if (!c->all_done)
        c->headings[n++] = "STATE";
    for (size_t i = 0; results[i]; i++) {
        c->headings[n++] = results[i];
        if (i == 1 && c->has_drop)
            c->headings[n++] = ">DROP";
        if (i == 2 && c->has_kl)
            c->headings[n++] = "?>KL";
    }
}

static void add_drop(nq_table *table, const nq_sweep_cell *cell)
{
    if (isfinite(cell->error))
        nq_table_add_format(table, "%.2f +- %.2f", cell->drop, cell->error);
    else if (isfinite(cell->drop))
        nq_table_add_format(table, "%.2f", cell->drop);
    else
        nq_table_add(table, "");
}

static void add_row(nq_table *table, const nq_sweep_cell *cell, const columns *c)
{
    const json_t *result = json_object_get(cell->job, "result");
    const char *state = nq_view_text(cell->job, "state");
    char text[NQ_TEXT];
    nq_table_add_format(table, "%lld", nq_view_int(cell->job, "job", -1));
    for (size_t i = 0; i < c->axes; i++)
        nq_table_add(table, nq_view_text(cell->labels, c->keys[i]));
    if (!c->all_done)
        nq_table_add_coloured(table, state, nq_colour_of_state(state));
    nq_format_real(nq_view_real(result, "compression_ratio"), 2, text);
    nq_table_add(table, text);
    nq_format_real(nq_view_real(result, "top1"), 2, text);
    nq_table_add(table, text);
    if (c->has_drop)
        add_drop(table, cell);
    nq_format_real(100 * nq_view_real(result, "agreement"), 2, text);
    nq_table_add(table, text);
    nq_format_real(cell->kl, 4, text);
    if (c->has_kl)
        nq_table_add(table, text);
    nq_format_bytes(nq_view_int(result, "new_model_size", -1), text);
    nq_table_add(table, text);
    nq_format_duration(took(cell), text);
    nq_table_add(table, text);
    nq_table_add(table, cell->frontier ? "*" : "");
}

static nq_status print_table(nq_client *client, const nq_sweep *sweep, nq_error *err)
{
    columns c;
    char text[NQ_TEXT];
    double seconds = 0;
    size_t done = 0;
    find_columns(sweep, &c);
    nq_table *table = nq_table_new(c.headings);
    for (size_t i = 0; i < sweep->count; i++) {
        add_row(table, &sweep->cells[i], &c);
        seconds += isfinite(took(&sweep->cells[i])) ? took(&sweep->cells[i]) : 0;
        done += sweep->cells[i].done;
    }
    nq_status status = nq_table_print(table, client->out, err);
    nq_format_duration(seconds, text);
    fprintf(client->out, "\ngroup g%lld: %zu of %zu cells done, their jobs took %s\n", sweep->group,
            done, sweep->count, text);
    return status;
}

/* ---- frontiers, failures ---- */

static nq_status print_frontier(nq_client *client, const nq_sweep *sweep, size_t series,
                                nq_error *err)
{
    static const char *const headings[] = {">RATIO %", ">TOP-1 %", ">JOB", "CELL", NULL};
    char name[NQ_GRID_NAME], ratio[NQ_TEXT], top1[NQ_TEXT];
    size_t *members, count;
    nq_status status = nq_sweep_frontier(sweep, series, &members, &count, err);
    if (status != NQ_OK || count == 0) {
        free(members);
        return status;
    }
    nq_text_clean(sweep->series[series].name, name, sizeof name);
    fprintf(client->out, "\nPareto frontier of %s:\n", name);
    nq_table *table = nq_table_new(headings);
    for (size_t i = 0; i < count; i++) {
        const nq_sweep_cell *cell = &sweep->cells[members[i]];
        const json_t *result = json_object_get(cell->job, "result");
        nq_sweep_cell_name(sweep, cell, true, name);
        nq_format_real(nq_view_real(result, "compression_ratio"), 2, ratio);
        nq_format_real(nq_view_real(result, "top1"), 2, top1);
        nq_table_add(table, ratio);
        nq_table_add(table, top1);
        nq_table_add_format(table, "%lld", nq_view_int(cell->job, "job", -1));
        nq_table_add(table, name);
    }
    free(members);
    return nq_table_print(table, client->out, err);
}

static void print_failures(nq_client *client, const nq_sweep *sweep)
{
    bool first = true;
    for (size_t i = 0; i < sweep->count; i++) {
        const nq_sweep_cell *cell = &sweep->cells[i];
        char name[NQ_GRID_NAME], clean[NQ_GRID_NAME], state[NQ_TEXT], reason[NQ_LONG_TEXT];
        if (cell->done)
            continue;
        nq_sweep_cell_name(sweep, cell, false, name);
        nq_text_clean(name, clean, sizeof clean);
        nq_text_clean(nq_view_text(cell->job, "state"), state, sizeof state);
        nq_text_clean(nq_view_text(cell->job, "reason"), reason, sizeof reason);
        fprintf(client->out, "%sjob %lld, %s, %s: %s\n", first ? "\n" : "",
                nq_view_int(cell->job, "job", -1), clean, state, reason);
        first = false;
    }
}

nq_status nq_sweep_print(nq_client *client, const nq_sweep *sweep, nq_error *err)
{
    nq_status status = print_table(client, sweep, err);
    for (size_t i = 0; i < sweep->series_count && status == NQ_OK; i++)
        status = print_frontier(client, sweep, i, err);
    print_failures(client, sweep);
    return status;
}

/* ---- JSON ---- */

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *cell_json(const nq_sweep_cell *cell)
{
    const json_t *result = json_object_get(cell->job, "result");
    json_t *reason = json_object_get(cell->job, "reason");
    return json_pack("{s:O, s:I, s:s, s:O?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "cell",
                     cell->labels, "job", (json_int_t)nq_view_int(cell->job, "job", -1), "state",
                     nq_view_text(cell->job, "state"), "reason", reason, "seconds",
                     real_or_null(took(cell)), "compression_ratio",
                     real_or_null(nq_view_real(result, "compression_ratio")), "top1",
                     real_or_null(nq_view_real(result, "top1")), "top5",
                     real_or_null(nq_view_real(result, "top5")), "agreement",
                     real_or_null(nq_view_real(result, "agreement")), "drop",
                     real_or_null(cell->drop), "standard_error", real_or_null(cell->error), "kl",
                     real_or_null(cell->kl), "frontier", (int)cell->frontier);
}

static json_t *frontier_json(const nq_sweep *sweep, size_t series)
{
    const nq_sweep_series *s = &sweep->series[series];
    nq_error ignored = {0};
    size_t *members, count;
    json_t *jobs = json_array();
    int bad = nq_sweep_frontier(sweep, series, &members, &count, &ignored) != NQ_OK;
    for (size_t i = 0; i < count && !bad; i++)
        bad |= json_array_append_new(
            jobs, json_integer(nq_view_int(sweep->cells[members[i]].job, "job", -1)));
    free(members);
    json_t *reference = s->reference == SIZE_MAX
                            ? json_null()
                            : json_integer(nq_view_int(sweep->cells[s->reference].job, "job", -1));
    json_t *value = json_pack("{s:s, s:s, s:I, s:o, s:o}", "model", s->model, "dataset", s->dataset,
                              "images", (json_int_t)s->images, "float", reference, "jobs", jobs);
    if (!bad)
        return value;
    json_decref(value);
    return NULL;
}

nq_status nq_sweep_print_json(nq_client *client, const nq_sweep *sweep, nq_error *err)
{
    json_t *cells = json_array(), *frontiers = json_array();
    int bad = !cells || !frontiers;
    for (size_t i = 0; i < sweep->count && !bad; i++)
        bad |= json_array_append_new(cells, cell_json(&sweep->cells[i]));
    for (size_t i = 0; i < sweep->series_count && !bad; i++)
        bad |= json_array_append_new(frontiers, frontier_json(sweep, i));
    json_t *all = json_pack("{s:I, s:o, s:o}", "group", (json_int_t)sweep->group, "cells", cells,
                            "frontiers", frontiers);
    if (bad || !all) {
        json_decref(all);
        return nq_fail_nomem(err, "the sweep", 0);
    }
    nq_client_print_json(client, all, false);
    json_decref(all);
    return NQ_OK;
}
