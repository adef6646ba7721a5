/* A grid of jobs: each axis is a key of the spec with several values, the cells are their product.
 */
#ifndef NQ_CLIENT_GRID_H
#define NQ_CLIENT_GRID_H

#include "common/error.h"
#include <jansson.h>
#include <stddef.h>

#define NQ_GRID_MOST 10000 /* cells: what the daemon takes as one group */
#define NQ_GRID_NAME 256

/*
 * Adds values to the axis of `key` (a new one where `axes`, an array, has none): separated by
 * commas, or by semicolons where a value may have commas itself (lists and paths). The key "bits"
 * takes pairs, "4/8": weights.bits and activations.bits. NQ_ERR_INPUT names the key.
 */
nq_status nq_grid_add(json_t *axes, const char *key, const char *text, nq_error *err);

/*
 * The cells, with the last axis running fastest, each put over the spec `base`:
 * [{"cell":{key: text, ...}, "spec":{...}}], an array that the caller owns. Keys that mean nothing
 * to a cell's kind of job (the bits of a float job) are left out of it; cells that are the same job
 * then are one; float jobs come first, so that the others can be compared with them. Every spec is
 * checked, and the sentence of a failure names the cell.
 */
nq_status nq_grid_cells(const json_t *axes, const json_t *base, json_t **cells, nq_error *err);

/* A cell in a few words: "resnet18 w8a8 4/8 calibrate.seed=2". */
void nq_grid_name(const json_t *cell, char name[NQ_GRID_NAME]);

#endif
