/* Opening, migrating, transactions, and the little that every query needs. */
#include "server/store.h"

#include "server/store_internal.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern const char *const nq_schema[];
extern const size_t nq_schema_count;

#define APPLICATION_ID 0x4e455451 /* "NETQ" */
#define BUSY_MILLIS    5000       /* somebody looks into the file with sqlite3 */

nq_status nq_id_list_add(nq_id_list *list, int64_t id, nq_error *err)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        int64_t *grown = realloc(list->ids, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(err, "a list of jobs", room * sizeof *grown);
        list->ids = grown;
        list->room = room;
    }
    list->ids[list->count++] = id;
    return NQ_OK;
}

bool nq_id_list_has(const nq_id_list *list, int64_t id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->ids[i] == id)
            return true;
    return false;
}

void nq_id_list_remove(nq_id_list *list, int64_t id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->ids[i] != id)
            continue;
        memmove(list->ids + i, list->ids + i + 1, (list->count - i - 1) * sizeof *list->ids);
        list->count--;
        return;
    }
}

void nq_id_list_free(nq_id_list *list)
{
    free(list->ids);
    *list = (nq_id_list){0};
}

nq_status nq_store_failed(nq_store *store, int code, const char *doing, nq_error *err)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return nq_fail(err, NQ_ERR_NOMEM, "out of memory in the queue (%s)", doing);
    case SQLITE_FULL:
        return nq_fail(err, NQ_ERR_IO, "the queue %s cannot be written: the disk is full",
                       store->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return nq_fail(err, NQ_ERR_IO,
                       "the queue %s is damaged (%s): restore a copy or move it away", store->path,
                       sqlite3_errmsg(store->db));
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
        return nq_fail(err, NQ_ERR_INTERNAL, "the queue refuses to %s: %s", doing,
                       sqlite3_errmsg(store->db));
    default:
        return nq_fail(err, NQ_ERR_IO, "the queue %s: cannot %s: %s", store->path, doing,
                       sqlite3_errmsg(store->db));
    }
}

static nq_status execute(nq_store *store, const char *sql, const char *doing, nq_error *err)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? NQ_OK : nq_store_failed(store, code, doing, err);
}

static int bind_value(sqlite3_stmt *statement, int i, char type, va_list *values)
{
    if (type == 'i')
        return sqlite3_bind_int64(statement, i, va_arg(*values, int64_t));
    if (type == 'r')
        return sqlite3_bind_double(statement, i, va_arg(*values, double));
    if (type == 'n') {
        int64_t number = va_arg(*values, int64_t);
        return number ? sqlite3_bind_int64(statement, i, number) : sqlite3_bind_null(statement, i);
    }
    const char *text = va_arg(*values, const char *);
    return type == 'z' && !*text ? sqlite3_bind_null(statement, i)
                                 : sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

static nq_status prepare(nq_store *store, sqlite3_stmt **statement, nq_error *err, const char *sql,
                         const char *types, va_list *values)
{
    *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, sql, -1, statement, NULL);
    for (int i = 0; code == SQLITE_OK && types[i]; i++)
        code = bind_value(*statement, i + 1, types[i], values);
    if (code == SQLITE_OK)
        return NQ_OK;
    sqlite3_finalize(*statement);
    *statement = NULL;
    return nq_store_failed(store, code, "prepare a query", err);
}

nq_status nq_store_prepare(nq_store *store, sqlite3_stmt **statement, nq_error *err,
                           const char *sql, const char *types, ...)
{
    va_list values;
    va_start(values, types);
    nq_status status = prepare(store, statement, err, sql, types, &values);
    va_end(values);
    return status;
}

nq_status nq_store_step(nq_store *store, sqlite3_stmt *statement, bool *row, nq_error *err)
{
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE
               ? NQ_OK
               : nq_store_failed(store, code, "read or write a job", err);
}

nq_status nq_store_run(nq_store *store, nq_error *err, const char *sql, const char *types, ...)
{
    va_list values;
    sqlite3_stmt *statement;
    va_start(values, types);
    nq_status status = prepare(store, &statement, err, sql, types, &values);
    va_end(values);
    for (bool row = true; status == NQ_OK && row;)
        status = nq_store_step(store, statement, &row, err);
    sqlite3_finalize(statement);
    return status;
}

nq_status nq_store_number(nq_store *store, int64_t *value, int64_t otherwise, nq_error *err,
                          const char *sql, const char *types, ...)
{
    va_list values;
    sqlite3_stmt *statement;
    bool row = false;
    *value = otherwise;
    va_start(values, types);
    nq_status status = prepare(store, &statement, err, sql, types, &values);
    va_end(values);
    if (status == NQ_OK)
        status = nq_store_step(store, statement, &row, err);
    if (row && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

static nq_status migrate_one(nq_store *store, int64_t version, nq_error *err)
{
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %lld;",
             APPLICATION_ID, (long long)version + 1);
    nq_status status = execute(store, "BEGIN IMMEDIATE", "begin a migration", err);
    if (status != NQ_OK)
        return status;
    status = execute(store, nq_schema[version], "migrate", err);
    if (status == NQ_OK)
        status = execute(store, pragmas, "migrate", err);
    if (status == NQ_OK)
        status = execute(store, "COMMIT", "commit a migration", err);
    if (status != NQ_OK) {
        nq_store_rollback(store);
        nq_error_prefix(err, "migration %lld", (long long)version + 1);
    }
    return status;
}

static nq_status migrate(nq_store *store, nq_error *err)
{
    int64_t version, application, tables;
    nq_status status = nq_store_number(store, &version, 0, err, "PRAGMA user_version", "");
    if (status == NQ_OK)
        status = nq_store_number(store, &application, 0, err, "PRAGMA application_id", "");
    if (status == NQ_OK)
        status = nq_store_number(store, &tables, 0, err, "SELECT count(*) FROM sqlite_schema", "");
    if (status != NQ_OK)
        return status;
    if (tables > 0 && application != APPLICATION_ID)
        return nq_fail(err, NQ_ERR_INPUT, "%s is a database of another program, not a netq queue",
                       store->path);
    if (version < 0 || version > (int64_t)nq_schema_count)
        return nq_fail(err, NQ_ERR_INPUT,
                       "the queue %s has version %lld, this netqd knows versions up to %zu: it was "
                       "written by a newer netqd; start that one",
                       store->path, (long long)version, nq_schema_count);
    while (status == NQ_OK && version < (int64_t)nq_schema_count)
        status = migrate_one(store, version++, err);
    return status;
}

/* The first complaint of SQLite's own check, if any. */
static nq_status check_pages(nq_store *store, nq_error *err)
{
    sqlite3_stmt *statement;
    char verdict[256] = "";
    bool row = false;
    nq_status status = nq_store_prepare(store, &statement, err, "PRAGMA quick_check(1)", "");
    if (status == NQ_OK)
        status = nq_store_step(store, statement, &row, err);
    if (row)
        nq_store_text(statement, 0, verdict, sizeof verdict);
    sqlite3_finalize(statement);
    if (status == NQ_OK && strcmp(verdict, "ok") != 0)
        return nq_fail(err, NQ_ERR_IO,
                       "the queue %s is damaged (%s): restore a copy or move it away", store->path,
                       verdict);
    return status;
}

nq_status nq_store_open(const char *path, nq_store **out, nq_error *err)
{
    *out = NULL;
    nq_store *store = calloc(1, sizeof *store);
    if (!store || !(store->path = strdup(path))) {
        free(store);
        return nq_fail_nomem(err, path, sizeof *store);
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &store->db, flags, NULL);
    nq_status status = code == SQLITE_OK ? NQ_OK : nq_store_failed(store, code, "open it", err);
    if (status == NQ_OK) {
        sqlite3_extended_result_codes(store->db, 1);
        sqlite3_busy_timeout(store->db, BUSY_MILLIS);
        status = execute(store,
                         "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL;"
                         "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
                         "set it up", err);
    }
    if (status == NQ_OK)
        status = check_pages(store, err);
    if (status == NQ_OK)
        status = migrate(store, err);
    if (status != NQ_OK) {
        nq_store_close(store);
        return status;
    }
    *out = store;
    return NQ_OK;
}

void nq_store_close(nq_store *store)
{
    if (!store)
        return;
    sqlite3_close(store->db);
    free(store->path);
    free(store);
}

nq_status nq_store_begin(nq_store *store, bool writes, nq_error *err)
{
    return execute(store, writes ? "BEGIN IMMEDIATE" : "BEGIN", "begin a transaction", err);
}

nq_status nq_store_commit(nq_store *store, nq_error *err)
{
    nq_status status = execute(store, "COMMIT", "commit", err);
    if (status != NQ_OK)
        nq_store_rollback(store);
    return status;
}

void nq_store_rollback(nq_store *store)
{
    if (nq_store_in_transaction(store))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

nq_status nq_store_mark(nq_store *store, nq_error *err)
{
    return execute(store, "SAVEPOINT request", "mark a request", err);
}

nq_status nq_store_keep(nq_store *store, nq_error *err)
{
    return execute(store, "RELEASE request", "keep a request", err);
}

void nq_store_undo(nq_store *store)
{
    if (nq_store_in_transaction(store))
        sqlite3_exec(store->db, "ROLLBACK TO request; RELEASE request", NULL, NULL, NULL);
}

bool nq_store_in_transaction(const nq_store *store)
{
    return !sqlite3_get_autocommit(store->db);
}

void nq_store_text(sqlite3_stmt *statement, int column, char *out, size_t room)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(out, room, "%s", text ? text : "");
}
