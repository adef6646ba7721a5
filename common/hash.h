/* SHA-256 (OpenSSL), as values and as text. */
#ifndef NQ_COMMON_HASH_H
#define NQ_COMMON_HASH_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

#define NQ_SHA256_BYTES 32
#define NQ_SHA256_TEXT  65 /* 64 lower-case hex digits and NUL */

typedef struct nq_hash nq_hash; /* a running SHA-256 */

/* NULL when out of memory. */
nq_hash *nq_hash_new(void);
void nq_hash_add(nq_hash *h, const void *data, size_t size);
/* Ends and frees h. */
void nq_hash_end(nq_hash *h, uint8_t digest[NQ_SHA256_BYTES]);
void nq_hash_free(nq_hash *h);

/* One shot. */
void nq_hash_bytes(const void *data, size_t size, uint8_t digest[NQ_SHA256_BYTES]);
/* All of a file from offset 0; the file position is left alone (pread). bytes may be NULL. */
nq_status nq_hash_fd(int fd, const char *name, uint8_t digest[NQ_SHA256_BYTES], uint64_t *bytes,
                     nq_error *err);
void nq_hash_text(const uint8_t digest[NQ_SHA256_BYTES], char text[NQ_SHA256_TEXT]);

/* 32-bit CRC (zlib polynomial) for journal records. */
uint32_t nq_crc32(const void *data, size_t size);

#endif
