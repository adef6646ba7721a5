#include "client/table.h"

#include "client/client.h"
#include "client/format.h"
#include "common/text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_SIZE = 1024, LEAST_LAST_COLUMN = 14, MOST_COLUMNS = 32 };

typedef struct {
    char *text;
    int columns;
    nq_colour colour;
} cell;

typedef struct {
    const char *name;
    bool optional, right, hidden, empty;
    int columns;
} column;

struct nq_table {
    column columns[MOST_COLUMNS];
    size_t width; /* in cells */
    cell *cells;
    size_t count, room;
    bool failed;
};

static const char *const colours[] = {"",         "\033[1m",  "\033[32m",
                                      "\033[31m", "\033[33m", "\033[36m"};

const char *nq_colour_on(nq_colour colour, bool enabled)
{
    return enabled ? colours[colour] : "";
}

const char *nq_colour_off(nq_colour colour, bool enabled)
{
    return enabled && colour != NQ_PLAIN ? "\033[0m" : "";
}

nq_colour nq_colour_of_state(const char *state)
{
    static const struct {
        const char *state;
        nq_colour colour;
    } states[] = {{"done", NQ_GREEN},
                  {"failed", NQ_RED},
                  {"cancelled", NQ_YELLOW},
                  {"held", NQ_YELLOW},
                  {"running", NQ_CYAN}};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i].state, state) == 0)
            return states[i].colour;
    return NQ_PLAIN;
}

nq_table *nq_table_new(const char *const *headings)
{
    nq_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    for (; headings[table->width] && table->width < MOST_COLUMNS; table->width++) {
        column *c = &table->columns[table->width];
        const char *name = headings[table->width];
        c->optional = *name == '?';
        name += c->optional;
        c->right = *name == '>';
        c->name = name + c->right;
    }
    return table;
}

static void free_table(nq_table *table)
{
    for (size_t i = 0; table && i < table->count; i++)
        free(table->cells[i].text);
    if (table)
        free(table->cells);
    free(table);
}

void nq_table_add_coloured(nq_table *table, const char *text, nq_colour colour)
{
    if (!table || table->failed)
        return;
    if (table->count == table->room) {
        size_t room = 2 * table->room + 64;
        cell *cells = realloc(table->cells, room * sizeof *cells);
        table->failed = !cells;
        if (!cells)
            return;
        table->cells = cells;
        table->room = room;
    }
    char clean[CELL_SIZE];
    nq_text_clean(*text ? text : "-", clean, sizeof clean);
    cell *new = &table->cells[table->count];
    *new = (cell){strdup(clean), nq_text_columns(clean), colour};
    table->failed = !new->text;
    table->count += new->text != NULL;
}

void nq_table_add(nq_table *table, const char *text)
{
    nq_table_add_coloured(table, text, NQ_PLAIN);
}

void nq_table_add_format(nq_table *table, const char *format, ...)
{
    char text[CELL_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    nq_table_add(table, text);
}

static void measure(nq_table *table)
{
    for (size_t i = 0; i < table->width; i++) {
        table->columns[i].columns = (int)strlen(table->columns[i].name);
        table->columns[i].empty = true;
    }
    for (size_t i = 0; i < table->count; i++) {
        column *c = &table->columns[i % table->width];
        if (table->cells[i].columns > c->columns)
            c->columns = table->cells[i].columns;
        c->empty = c->empty && strcmp(table->cells[i].text, "-") == 0;
    }
}

/* Columns before the last. */
static int columns_before(const nq_table *table)
{
    int before = 0;
    for (size_t i = 0; i + 1 < table->width; i++)
        if (!table->columns[i].hidden)
            before += table->columns[i].columns + 2;
    return before;
}

static void make_fit(nq_table *table, int width)
{
    int last = table->columns[table->width - 1].columns;
    int want = last < LEAST_LAST_COLUMN ? last : LEAST_LAST_COLUMN;
    for (size_t i = 0; i + 1 < table->width && columns_before(table) + last > width; i++)
        table->columns[i].hidden = table->columns[i].empty;
    for (size_t i = table->width - 1; i-- > 0 && columns_before(table) + want > width;)
        table->columns[i].hidden |= table->columns[i].optional;
}

/* Cuts text in place so that it fits into `columns`, the last three of them dots. */
static void cut(cell *c, int columns)
{
    if (c->columns <= columns || columns < 4)
        return;
    size_t length = strlen(c->text);
    while (length > 0 && nq_text_columns(c->text) > columns - 3) {
        do
            length--;
        while (length > 0 && ((unsigned char)c->text[length] & 0xc0) == 0x80);
        c->text[length] = 0;
    }
    char *longer = realloc(c->text, length + 4);
    if (longer) {
        memcpy(longer + length, "...", 4);
        c->text = longer;
    }
    c->columns = nq_text_columns(c->text);
}

static void print_cell(FILE *out, const cell *c, const column *in, bool last, bool coloured)
{
    int padding = in->columns > c->columns ? in->columns - c->columns : 0;
    fprintf(out, "%*s%s%s%s", in->right ? padding : 0, "", nq_colour_on(c->colour, coloured),
            c->text, nq_colour_off(c->colour, coloured));
    if (!last)
        fprintf(out, "%*s  ", in->right ? 0 : padding, "");
    else
        fputc('\n', out);
}

static void print_rows(nq_table *table, FILE *out, int width, bool coloured)
{
    size_t last = table->width - 1;
    int left = width > 0 ? width - columns_before(table) : 0;
    for (size_t i = 0; i < table->width; i++) {
        const column *c = &table->columns[i];
        const cell heading = {(char *)c->name, (int)strlen(c->name), NQ_BOLD};
        if (!c->hidden)
            print_cell(out, &heading, c, i == last, coloured);
    }
    for (size_t i = 0; i < table->count; i++) {
        const column *c = &table->columns[i % table->width];
        bool at_end = i % table->width == last;
        if (at_end && width > 0)
            cut(&table->cells[i], left < LEAST_LAST_COLUMN ? LEAST_LAST_COLUMN : left);
        if (!c->hidden)
            print_cell(out, &table->cells[i], c, at_end, coloured);
    }
}

nq_status nq_table_print_width(nq_table *table, FILE *out, int width, bool coloured, nq_error *err)
{
    if (!table || table->failed) {
        free_table(table);
        return nq_fail_nomem(err, "a table", 0);
    }
    measure(table);
    if (width > 0)
        make_fit(table, width);
    print_rows(table, out, width, coloured);
    free_table(table);
    return NQ_OK;
}

nq_status nq_table_print(nq_table *table, FILE *out, nq_error *err)
{
    return nq_table_print_width(table, out, nq_stream_width(out), nq_stream_has_colour(out), err);
}
