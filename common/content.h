/* What a job's file or folder holds, as one SHA-256: frozen at submit, checked again by the worker.
 */
#ifndef NQ_COMMON_CONTENT_H
#define NQ_COMMON_CONTENT_H

#include "common/error.h"
#include "common/hash.h"

/*
 * The hash of `path` beneath `root` (nq_file_open_beneath) as hex. A file: SHA-256 of its bytes. A
 * folder: SHA-256 over "PATH\0BYTES\n" of every file below it, sorted bytewise by path (common/tree
 * says which there are): it notices files that come, go, or change their length.
 */
nq_status nq_content_hash(const char *root, const char *path, char text[NQ_SHA256_TEXT],
                          nq_error *err);

#endif
