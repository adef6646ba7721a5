/* What the store's files share. */
#ifndef NQ_SERVER_STORE_INTERNAL_H
#define NQ_SERVER_STORE_INTERNAL_H

#include "server/store.h"
#include <sqlite3.h>

struct nq_store {
    sqlite3 *db;
    char *path;
};

/* Columns in the order that nq_store_read() takes them in. */
extern const char nq_store_columns[];

/* The sentence of SQLite's last failure. */
nq_status nq_store_failed(nq_store *store, int code, const char *doing, nq_error *err);

/*
 * Prepares `sql` and binds the values that `types` lists: i int64_t, s text, z text ("" is NULL),
 * n int64_t (0 is NULL), r double. Texts must live until the statement is finalized.
 */
nq_status nq_store_prepare(nq_store *store, sqlite3_stmt **statement, nq_error *err,
                           const char *sql, const char *types, ...);
/* *row: there is one. */
nq_status nq_store_step(nq_store *store, sqlite3_stmt *statement, bool *row, nq_error *err);
/* Prepare, step to the end, finalize. */
nq_status nq_store_run(nq_store *store, nq_error *err, const char *sql, const char *types, ...);
/* The first column of the first row, or `otherwise`. */
nq_status nq_store_number(nq_store *store, int64_t *value, int64_t otherwise, nq_error *err,
                          const char *sql, const char *types, ...);

/* A row of nq_store_columns. */
nq_status nq_store_read(sqlite3_stmt *statement, nq_job *job, nq_error *err);
/* Copies a text column, "" for NULL; what does not fit is cut. */
void nq_store_text(sqlite3_stmt *statement, int column, char *out, size_t room);

#endif
