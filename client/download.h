/* The bytes after the reply to `get` or `logs`. */
#ifndef NQ_CLIENT_DOWNLOAD_H
#define NQ_CLIENT_DOWNLOAD_H

#include "client/client.h"

/*
 * Writes the chunks that follow `reply` to `out`, without the first `skip` bytes; *total (may be
 * NULL) is their number in all. Where the reply gives a size or a sha256, other bytes are
 * NQ_ERR_IO, after they have been written.
 */
nq_status nq_download_stream(nq_client *client, const json_t *reply, FILE *out, uint64_t skip,
                             uint64_t *total, nq_error *err);

/* The same into a file, which is replaced only by the whole of it, checked. */
nq_status nq_download_file(nq_client *client, const json_t *reply, const char *path, nq_error *err);

#endif
