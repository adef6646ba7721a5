/*
 * Columns for people: as wide as their content. On a terminal no line wraps: where the columns do
 * not fit, the empty ones go, then the optional ones from the right, and the last is cut.
 */
#ifndef NQ_CLIENT_TABLE_H
#define NQ_CLIENT_TABLE_H

#include "common/error.h"
#include <stdbool.h>
#include <stdio.h>

typedef enum { NQ_PLAIN, NQ_BOLD, NQ_GREEN, NQ_RED, NQ_YELLOW, NQ_CYAN } nq_colour;

/* Starts (colour) and ends a colour; "" unless `enabled`. */
const char *nq_colour_on(nq_colour colour, bool enabled);
const char *nq_colour_off(nq_colour colour, bool enabled);

/* The colour of a job's state. */
nq_colour nq_colour_of_state(const char *state);

typedef struct nq_table nq_table;

/* Headings end with NULL and must outlive the table. One may begin with '?', which makes its column
 * optional, or '>', which aligns it to the right, in this order. NULL when out of memory: the
 * functions below then do nothing but report it. */
nq_table *nq_table_new(const char *const *headings);

/* The next cell, row by row. Text from anywhere: it is made safe for a terminal. Empty: "-". */
void nq_table_add(nq_table *table, const char *text);
void nq_table_add_coloured(nq_table *table, const char *text, nq_colour colour);
void nq_table_add_format(nq_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints heading and rows to `out` (cut and coloured as its terminal allows), and frees the table.
 */
nq_status nq_table_print(nq_table *table, FILE *out, nq_error *err);

/* The same for a given width (0: not cut) and colours or none. */
nq_status nq_table_print_width(nq_table *table, FILE *out, int width, bool coloured, nq_error *err);

#endif
