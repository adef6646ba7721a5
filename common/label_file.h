/* Two small text formats: image labels ("NAME CLASS" a line) and class lists ("WNID words..."). */
#ifndef NQ_COMMON_LABEL_FILE_H
#define NQ_COMMON_LABEL_FILE_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

#define NQ_LABEL_MAX 999999

typedef struct {
    const char *name; /* points into the table's text */
    int32_t label;
    uint32_t line; /* 1-based */
} nq_label_row;

typedef struct {
    char *text;
    nq_label_row *rows; /* sorted by name, bytewise; no name twice */
    size_t count;
} nq_label_table;

/*
 * "NAME CLASS" a line, class 0..NQ_LABEL_MAX, blanks or tabs between; blank lines do not count. A
 * file of bare numbers (the ILSVRC devkit's ground truth, whose ids are not class indices) is
 * refused as such. Sentences name the line. Free with nq_label_table_free(), on failure too.
 */
nq_status nq_label_table_parse(const char *text, size_t size, nq_label_table *table, nq_error *err);

/* One class a line: its first word is the name, its label the number of lines before it. */
nq_status nq_class_list_parse(const char *text, size_t size, nq_label_table *table, nq_error *err);

/* NULL when the name is not there. */
const nq_label_row *nq_label_table_find(const nq_label_table *table, const char *name);

void nq_label_table_free(nq_label_table *table);

#endif
