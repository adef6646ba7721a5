/*
 * JSON from outside: one object from bounded bytes, and typed getters whose failures are sentences
 * that name the key. Values stay owned by the object they were taken from.
 */
#ifndef NQ_COMMON_JSON_H
#define NQ_COMMON_JSON_H

#include "common/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Parses `size` bytes as exactly one JSON object (NQ_ERR_INPUT otherwise, naming the byte offset).
 * Refused: more than `limit` bytes, bytes after the object, a key given twice, invalid UTF-8, NUL
 * characters in strings, nesting beyond jansson's limit. `what` names the source in the sentence
 * ("request", a file name). The caller owns *object (json_decref).
 */
nq_status nq_json_parse(const char *text, size_t size, size_t limit, const char *what,
                        json_t **object, nq_error *err);

/* The same for a file. A missing file is NQ_ERR_MISSING or NQ_ERR_IO as nq_file_read() says. */
nq_status nq_json_load(const char *path, size_t limit, json_t **object, nq_error *err);

/*
 * Getters: an absent key leaves *value as it is, so that the caller sets the default first; a value
 * of another type (null included) or out of range is NQ_ERR_INPUT, "KEY: ...".
 */
nq_status nq_json_get_int(const json_t *object, const char *key, long long low, long long high,
                          long long *value, nq_error *err);
nq_status nq_json_get_real(const json_t *object, const char *key, double *value, nq_error *err);
nq_status nq_json_get_bool(const json_t *object, const char *key, bool *value, nq_error *err);
nq_status nq_json_get_string(const json_t *object, const char *key, const char **value,
                             nq_error *err);
nq_status nq_json_get_object(const json_t *object, const char *key, json_t **value, nq_error *err);
nq_status nq_json_get_array(const json_t *object, const char *key, json_t **value, nq_error *err);

/* NQ_ERR_INPUT "KEY: is missing" where the object does not have the key. */
nq_status nq_json_require(const json_t *object, const char *key, nq_error *err);

/* NQ_ERR_INPUT where the object has a key that is not in `valid` (NULL-terminated): the sentence
 * names the key and the nearest valid one. */
nq_status nq_json_check_keys(const json_t *object, const char *const *valid, nq_error *err);

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b; bytes beyond the
 * 63rd of either are not looked at. */
int nq_edit_distance(const char *a, const char *b);

/* The word of the NULL-terminated list that is nearest to `word`, the first of equals; NULL for an
 * empty list. */
const char *nq_nearest(const char *word, const char *const *words);

/* What a value is, for sentences: "an object", "a string", "a whole number", ... */
const char *nq_json_type_name(const json_t *value);

#endif
