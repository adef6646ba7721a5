/* Any text as a label file and as a class list. */
#include "common/label_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const nq_label_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const nq_label_row *row = &table->rows[i];
        if (row->label < 0 || row->label > NQ_LABEL_MAX || *row->name == 0 ||
            nq_label_table_find(table, row->name) != row)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_label_table table;
    nq_error err = {0};
    if (nq_label_table_parse((const char *)data, size, &table, &err) == NQ_OK)
        check(&table);
    nq_label_table_free(&table);
    if (nq_class_list_parse((const char *)data, size, &table, &err) == NQ_OK)
        check(&table);
    nq_label_table_free(&table);
    return 0;
}
