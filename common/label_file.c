#include "common/label_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Copies the text and makes room for a row a line. */
static nq_status begin(const char *text, size_t size, nq_label_table *table, nq_error *err)
{
    *table = (nq_label_table){0};
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    if (memchr(text, 0, size))
        return nq_fail(err, NQ_ERR_INPUT, "the list is not text: it has a NUL byte at byte %zu",
                       (size_t)((const char *)memchr(text, 0, size) - text));
    table->text = malloc(size + 1);
    table->rows = malloc(lines * sizeof *table->rows);
    if (!table->text || !table->rows)
        return nq_fail_nomem(err, "a list of labels", size + 1 + lines * sizeof *table->rows);
    memcpy(table->text, text, size);
    table->text[size] = 0;
    return NQ_OK;
}

/* The next line without the blanks around it, cut off in place; NULL at the end. */
static char *next_line(char **rest, uint32_t *line)
{
    char *start = *rest;
    if (!start || !*start)
        return NULL;
    char *end = strchr(start, '\n');
    *rest = end ? end + 1 : NULL;
    if (!end)
        end = start + strlen(start);
    while (start < end && is_blank(*start))
        start++;
    while (end > start && is_blank(end[-1]))
        end--;
    *end = 0;
    ++*line;
    return start;
}

static int compare_rows(const void *a, const void *b)
{
    const nq_label_row *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);
    return by_name ? by_name : x->line < y->line ? -1 : 1;
}

static nq_status finish(nq_label_table *table, nq_error *err)
{
    if (table->count == 0)
        return nq_fail(err, NQ_ERR_INPUT, "the list has no line");
    qsort(table->rows, table->count, sizeof *table->rows, compare_rows);
    for (size_t i = 1; i < table->count; i++)
        if (strcmp(table->rows[i - 1].name, table->rows[i].name) == 0)
            return nq_fail(err, NQ_ERR_INPUT, "line %u: %s stands on line %u already",
                           table->rows[i].line, table->rows[i].name, table->rows[i - 1].line);
    return NQ_OK;
}

/* A class index, or -1. */
static int32_t class_index(const char *text)
{
    int32_t value = 0;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        value = value * 10 + (*text - '0');
        if (value > NQ_LABEL_MAX)
            return -1;
    }
    return value;
}

static nq_status take_label_line(nq_label_table *table, char *text, uint32_t line, nq_error *err)
{
    char *word = text + strlen(text);
    while (word > text && !is_blank(word[-1]))
        word--;
    if (word == text && class_index(text) >= 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "line %u is a number without a file name: this looks like the ILSVRC "
                       "devkit's ground truth, whose ids count from 1 in an order of their own; "
                       "lines of \"NAME CLASS\" are needed, classes from 0 in the order of the "
                       "wnids",
                       line);
    int32_t label = class_index(word);
    if (word == text || label < 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "line %u: \"NAME CLASS\" with a class from 0 to %d is needed, not \"%s\"",
                       line, NQ_LABEL_MAX, text);
    char *end = word;
    while (end > text && is_blank(end[-1]))
        end--;
    *end = 0;
    table->rows[table->count++] = (nq_label_row){.name = text, .label = label, .line = line};
    return NQ_OK;
}

nq_status nq_label_table_parse(const char *text, size_t size, nq_label_table *table, nq_error *err)
{
    nq_status status = begin(text, size, table, err);
    char *rest = table->text, *start;
    uint32_t line = 0;
    while (status == NQ_OK && (start = next_line(&rest, &line)))
        if (*start)
            status = take_label_line(table, start, line, err);
    return status == NQ_OK ? finish(table, err) : status;
}

nq_status nq_class_list_parse(const char *text, size_t size, nq_label_table *table, nq_error *err)
{
    nq_status status = begin(text, size, table, err);
    char *rest = table->text, *start;
    uint32_t line = 0, blank = 0;
    while (status == NQ_OK && (start = next_line(&rest, &line))) {
        if (!*start) {
            blank = blank ? blank : line;
            continue;
        }
        if (blank)
            return nq_fail(err, NQ_ERR_INPUT,
                           "line %u is blank: a class list has one class a line, and the line "
                           "number is its index",
                           blank);
        if (line > NQ_LABEL_MAX)
            return nq_fail(err, NQ_ERR_INPUT, "the class list has more than %d lines",
                           NQ_LABEL_MAX);
        start[strcspn(start, " \t\r")] = 0;
        table->rows[table->count++] =
            (nq_label_row){.name = start, .label = (int32_t)line - 1, .line = line};
    }
    return status == NQ_OK ? finish(table, err) : status;
}

const nq_label_row *nq_label_table_find(const nq_label_table *table, const char *name)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, table->rows[middle].name);
        if (order == 0)
            return &table->rows[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void nq_label_table_free(nq_label_table *table)
{
    free(table->rows);
    free(table->text);
    *table = (nq_label_table){0};
}
