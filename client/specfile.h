/* From a command line to the spec that is sent: a spec file, flags of the table, absolute paths. */
#ifndef NQ_CLIENT_SPECFILE_H
#define NQ_CLIENT_SPECFILE_H

#include "common/error.h"
#include <jansson.h>
#include <stddef.h>

#define NQ_SPEC_FILE_MAX (1u << 20)

/* Reads a spec file, "-" for standard input. The caller owns *spec. */
nq_status nq_specfile_load(const char *path, json_t **spec, nq_error *err);

/* Puts the members of `over` over those of `spec`, one level deep. 0, or -1 when out of memory. */
int nq_specfile_overlay(json_t *spec, const json_t *over);

/*
 * An absolute path for `path`, which is taken from the working directory (as $PWD names it, if that
 * is right, so that a root which is a symbolic link stays recognisable); "." and ".." parts are
 * resolved by text. NULL when out of memory; the caller frees it.
 */
char *nq_absolute_path(const char *path);

/* Makes the values of all path keys of a written spec absolute. Values of a wrong type are left for
 * the daemon to refuse. */
nq_status nq_specfile_make_absolute(json_t *spec, nq_error *err);

/* "--weights-bits" of "weights.bits", without the dashes in front. */
void nq_specfile_flag(const char *key, char *flag, size_t size);

#endif
