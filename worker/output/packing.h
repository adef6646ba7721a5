/*
 * Signed integers of 2 to 8 bits, packed: value i of a row occupies bits i * bits ... of the row's
 * bit stream, and bit p of the stream is bit p % 8 of byte p / 8 (low bits first). Rows begin at
 * whole bytes; the bits that are left over are 0.
 */
#ifndef NQ_OUTPUT_PACKING_H
#define NQ_OUTPUT_PACKING_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a row of n values. */
size_t nq_packed_row(size_t n, int bits);
void nq_pack_row(const int8_t *values, size_t n, int bits, uint8_t *packed);
void nq_unpack_row(const uint8_t *packed, size_t n, int bits, int8_t *values);

#endif
