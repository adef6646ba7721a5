/* A grid of jobs that has ended: what each cell reached, and which of them no other beats. */
#ifndef NQ_CLIENT_SWEEP_H
#define NQ_CLIENT_SWEEP_H

#include "client/client.h"
#include "client/grid.h"

typedef struct {
    const json_t *labels; /* what makes it this cell: key -> text */
    const json_t *job;    /* the daemon's object */
    bool done, is_float, frontier;
    size_t series;      /* of a done cell */
    double drop, error; /* points of top-1 below the float cell, and standard error; NaN: unknown */
    double kl;          /* mean divergence from the float network's logits, nats; NaN: unknown */
} nq_sweep_cell;

/* Done cells that can be compared: one model on the same images. */
typedef struct {
    const char *model, *dataset;
    long long images;
    char name[NQ_GRID_NAME]; /* the model, and the images where the series differ in them */
    size_t reference;        /* the float cell; SIZE_MAX: none */
} nq_sweep_series;

typedef struct {
    long long group;
    nq_sweep_cell *cells;
    size_t count;
    nq_sweep_series *series;
    size_t series_count;
    bool one_dataset; /* all series are on the same images */
    json_t *varying;  /* the keys at which cells have different texts */
} nq_sweep;

/*
 * Fills `sweep` from the grid's cells (nq_grid_cells()) and the objects of their jobs, in the same
 * order: series, frontiers (float cells stand on none), drops without standard errors. The arrays
 * must outlive it. Free it in either case.
 */
nq_status nq_sweep_create(long long group, const json_t *cells, const json_t *jobs, nq_sweep *sweep,
                          nq_error *err);
void nq_sweep_free(nq_sweep *sweep);

/* The cells of a series that stand on its frontier, the highest ratio first: *members is malloc'd.
 */
nq_status nq_sweep_frontier(const nq_sweep *sweep, size_t series, size_t **members, size_t *count,
                            nq_error *err);

/* Of its labels those that vary; without the model where `of_series`. */
void nq_sweep_cell_name(const nq_sweep *sweep, const nq_sweep_cell *cell, bool of_series,
                        char name[NQ_GRID_NAME]);

/* Table, frontiers and the reasons of what is missing, as text; or all of it as JSON. */
nq_status nq_sweep_print(nq_client *client, const nq_sweep *sweep, nq_error *err);
nq_status nq_sweep_print_json(nq_client *client, const nq_sweep *sweep, nq_error *err);

/* The frontiers as an SVG file, written whole or not at all. */
nq_status nq_sweep_draw(const nq_sweep *sweep, const char *path, nq_error *err);

#endif
