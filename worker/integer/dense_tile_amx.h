/*
 * Inside the AMX convolution: two tiles of sixteen positions by 32 channels. A position is an
 * output pixel or lies between the lines of output, where nothing is kept. Sums leave the tiles
 * through memory; what they become is computed while the next tiles are being multiplied.
 */
#ifndef NQ_INTEGER_DENSE_TILE_AMX_H
#define NQ_INTEGER_DENSE_TILE_AMX_H

#include "worker/integer/dense_block.h"

enum { NQ_TILE = 16, NQ_TILE_BYTES = 64 };

/* The input of all positions: `rows` rows of the kernel, row_step apart, of `chunks` times
 * chunk_bytes (a multiple of 4, at most NQ_TILE_BYTES) that follow each other. */
typedef struct {
    int rows, chunks, chunk_bytes;
    ptrdiff_t row_step, step; /* from a position to the next */
} nq_tile_input;

typedef struct {
    const nq_dense_block *block;
    const int8_t *weight;
    int channels; /* of the block that exist */
} nq_tile_channels;

/* Sums that wait for their requantization, and the pixels that are kept. */
typedef struct {
    _Alignas(NQ_ALIGN) int32_t sum[2 * NQ_TILE][NQ_BLOCK];
    uint8_t *out[2 * NQ_TILE];
    uint8_t position[2 * NQ_TILE];
    int count;
    nq_tile_channels channels;
} nq_tile_sums;

/* gcc does not know what memory the intrinsics read: to be said between writing and multiplying. */
static inline void nq_tiles_written(void)
{
    __asm__ volatile("" ::: "memory");
}

/* This thread's tiles, until nq_tiles_release(). */
void nq_tiles_configure(const nq_tile_input *input);
void nq_tiles_release(void);

/* sums = the products of one or two tiles of positions, at in[0] and in[1]; meanwhile `before` is
 * finished, if its count is not 0. The caller says which pixels of `sums` are kept. */
void nq_tiles_multiply(const nq_tile_input *input, const nq_tile_channels *channels,
                       const uint8_t *const in[2], int tiles, nq_tile_sums *sums,
                       nq_tile_sums *before, const nq_output *to);
void nq_tiles_finish(nq_tile_sums *sums, const nq_output *to);

#endif
