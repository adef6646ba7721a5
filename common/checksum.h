/* CRC-32C (Castagnoli) of a block in four quarters, fast enough to be asked at every read. */
#ifndef NQ_COMMON_CHECKSUM_H
#define NQ_COMMON_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define NQ_CHECKSUM_LANES 4

/*
 * crc[l]: the CRC-32C of quarter l of the `size` bytes at `from`; size is a multiple of 32. With
 * `to` the bytes are copied there on the way, and the checksums are those of the copy. Four CRCs
 * side by side keep the CPU's instruction busy; where there is none (SSE4.2) tables give the same.
 */
void nq_checksum_copy(void *to, const void *from, size_t size, uint32_t crc[NQ_CHECKSUM_LANES]);

/* The tables alone, for tests. */
void nq_checksum_copy_plain(void *to, const void *from, size_t size,
                            uint32_t crc[NQ_CHECKSUM_LANES]);

#endif
