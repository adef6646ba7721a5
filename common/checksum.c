#include "common/checksum.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, reflected */

static uint32_t table[256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t r = i;
        for (int bit = 0; bit < 8; bit++)
            r = r & 1 ? r >> 1 ^ POLYNOMIAL : r >> 1;
        table[i] = r;
    }
}

void nq_checksum_copy_plain(void *to, const void *from, size_t size,
                            uint32_t crc[NQ_CHECKSUM_LANES])
{
    size_t quarter = size / NQ_CHECKSUM_LANES;
    pthread_once(&table_made, make_table);
    for (int l = 0; l < NQ_CHECKSUM_LANES; l++)
        crc[l] = ~0u;
    for (size_t i = 0; i < quarter; i++)
        for (int l = 0; l < NQ_CHECKSUM_LANES; l++) {
            uint8_t byte = ((const uint8_t *)from)[l * quarter + i];
            if (to)
                ((uint8_t *)to)[l * quarter + i] = byte;
            crc[l] = crc[l] >> 8 ^ table[(crc[l] ^ byte) & 255];
        }
    for (int l = 0; l < NQ_CHECKSUM_LANES; l++)
        crc[l] = ~crc[l];
}

#ifdef __x86_64__

/* One instruction takes eight bytes and has a latency of three cycles. */
__attribute__((target("sse4.2"), always_inline)) static inline void copy_lanes(
    uint8_t *to, const uint8_t *from, size_t quarter, uint32_t crc[NQ_CHECKSUM_LANES])
{
    uint64_t sum[NQ_CHECKSUM_LANES] = {~0u, ~0u, ~0u, ~0u};
    for (size_t i = 0; i < quarter; i += 8)
        for (int l = 0; l < NQ_CHECKSUM_LANES; l++) {
            uint64_t word;
            memcpy(&word, from + l * quarter + i, 8);
            if (to)
                memcpy(to + l * quarter + i, &word, 8);
            sum[l] = __builtin_ia32_crc32di(sum[l], word);
        }
    for (int l = 0; l < NQ_CHECKSUM_LANES; l++)
        crc[l] = ~(uint32_t)sum[l];
}

__attribute__((target("sse4.2"))) static void checksum_copy_sse42(void *to, const void *from,
                                                                  size_t size,
                                                                  uint32_t crc[NQ_CHECKSUM_LANES])
{
    if (to)
        copy_lanes(to, from, size / NQ_CHECKSUM_LANES, crc);
    else
        copy_lanes(NULL, from, size / NQ_CHECKSUM_LANES, crc);
}

void nq_checksum_copy(void *to, const void *from, size_t size, uint32_t crc[NQ_CHECKSUM_LANES])
{
    if (__builtin_cpu_supports("sse4.2"))
        checksum_copy_sse42(to, from, size, crc);
    else
        nq_checksum_copy_plain(to, from, size, crc);
}

#else

void nq_checksum_copy(void *to, const void *from, size_t size, uint32_t crc[NQ_CHECKSUM_LANES])
{
    nq_checksum_copy_plain(to, from, size, crc);
}

#endif
