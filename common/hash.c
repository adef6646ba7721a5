#include "common/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

struct nq_hash {
    EVP_MD_CTX *context;
};

static EVP_MD *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* Looked up once: a look-up takes longer than hashing a row of logits. */
static const EVP_MD *algorithm(void)
{
    pthread_once(&fetched, fetch);
    return sha256 ? sha256 : EVP_sha256();
}

nq_hash *nq_hash_new(void)
{
    nq_hash *h = malloc(sizeof *h);
    if (!h)
        return NULL;
    h->context = EVP_MD_CTX_new();
    if (!h->context || EVP_DigestInit_ex(h->context, algorithm(), NULL) != 1) {
        nq_hash_free(h);
        return NULL;
    }
    return h;
}

void nq_hash_add(nq_hash *h, const void *data, size_t size)
{
    EVP_DigestUpdate(h->context, data, size);
}

void nq_hash_end(nq_hash *h, uint8_t digest[NQ_SHA256_BYTES])
{
    EVP_DigestFinal_ex(h->context, digest, NULL);
    nq_hash_free(h);
}

void nq_hash_free(nq_hash *h)
{
    if (h)
        EVP_MD_CTX_free(h->context);
    free(h);
}

void nq_hash_bytes(const void *data, size_t size, uint8_t digest[NQ_SHA256_BYTES])
{
    EVP_Digest(data, size, digest, NULL, algorithm(), NULL);
}

nq_status nq_hash_fd(int fd, const char *name, uint8_t digest[NQ_SHA256_BYTES], uint64_t *bytes,
                     nq_error *err)
{
    enum { CHUNK = 1 << 18 };
    uint8_t *chunk = malloc(CHUNK);
    nq_hash *h = nq_hash_new();
    if (!chunk || !h) {
        free(chunk);
        nq_hash_free(h);
        return nq_fail_nomem(err, name, CHUNK);
    }
    uint64_t total = 0;
    ssize_t n;
    while ((n = pread(fd, chunk, CHUNK, (off_t)total)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int code = errno;
            free(chunk);
            nq_hash_free(h);
            return nq_fail_errno(err, code, "cannot read %s", name);
        }
        nq_hash_add(h, chunk, (size_t)n);
        total += (uint64_t)n;
    }
    free(chunk);
    nq_hash_end(h, digest);
    if (bytes)
        *bytes = total;
    return NQ_OK;
}

void nq_hash_text(const uint8_t digest[NQ_SHA256_BYTES], char text[NQ_SHA256_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < NQ_SHA256_BYTES; i++) {
        text[2 * i] = hex[digest[i] >> 4];
        text[2 * i + 1] = hex[digest[i] & 15];
    }
    text[2 * NQ_SHA256_BYTES] = 0;
}

uint32_t nq_crc32(const void *data, size_t size)
{
    return (uint32_t)crc32_z(0, data, size);
}
