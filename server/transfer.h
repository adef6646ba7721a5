/* Downloads: the reply, then chunks of files, one at a time, each sent when the client has taken
 * the one before. */
#ifndef NQ_SERVER_TRANSFER_H
#define NQ_SERVER_TRANSFER_H

#include "server/connection.h"

typedef struct {
    char *folder, *path; /* path beneath folder; malloc'd */
} nq_transfer_part;

typedef struct {
    char name[NQ_ARTIFACT_NAME];
    nq_transfer_part *parts; /* sent one after another */
    size_t count;
    bool measure;                /* bytes and sha256 are to be found by reading all parts before */
    int64_t bytes;               /* -1: not known, as much as there is */
    char sha256[NQ_SHA256_TEXT]; /* "": not known */

    /* Of the transfer itself. */
    size_t at;
    int fd; /* -1: the next part is not open */
    int64_t offset, sent;
    nq_error err;
    uint32_t chunk; /* bytes in `buffer` after its header */
    char buffer[4 + 65536];
} nq_transfer;

/* A zeroed transfer with room for `parts`; NULL: out of memory. */
nq_transfer *nq_transfer_new(size_t parts);
/* Part `i` is `path` beneath `folder` (taken over). False: out of memory. */
bool nq_transfer_set(nq_transfer *transfer, size_t i, char *folder, const char *path);
void nq_transfer_free(void *transfer);

/* Sends call->state, which is a filled nq_transfer, and ends the call. */
void nq_transfer_begin(nq_call *call);

#endif
