/*
 * Inside the AMX convolution: tiles of sixteen positions by sixteen channels. A position is an
 * output pixel, or lies between the lines of output where nothing is kept. Sums leave the tiles
 * through memory and are requantized there.
 *
 * The CPU multiplies tiles where it also computes with 512-bit floats, and does little of the
 * second during the first. So sums of few products are requantized several steps together after
 * their multiplications; those of many products between the tile instructions of a later step,
 * which leave room.
 */
#ifndef NQ_INTEGER_DENSE_TILE_AMX_H
#define NQ_INTEGER_DENSE_TILE_AMX_H

#include "worker/integer/dense_block.h"

enum {
    NQ_TILE = 16,
    NQ_TILE_BYTES = 64,
    NQ_STEP = 2 * NQ_TILE /* positions that are multiplied together */
};

/* The input of all positions: chunks of chunk_bytes (a multiple of 4, at most NQ_TILE_BYTES), at
 * offset[] from a position, positions `step` apart. */
typedef struct {
    int chunks, chunk_bytes;
    const ptrdiff_t *offset;
    ptrdiff_t step;
} nq_tile_input;

typedef struct {
    const nq_dense_block *block;
    const int8_t *weight;
    int channels; /* of the block that exist */
} nq_tile_channels;

/* Which of a step's positions are kept, and where; after the last one it is repeated up to a
 * multiple of four. */
typedef struct {
    int count;
    uint8_t position[NQ_STEP];
    uint8_t *out[NQ_STEP];
} nq_tile_pixels;

/* One step's sums. Steps lie one after another: 4096 bytes apart, loads of the one do not seem to
 * depend on stores of the other before they are done. */
typedef struct {
    _Alignas(NQ_ALIGN) int32_t of[NQ_STEP][NQ_BLOCK];
} nq_tile_sums;

typedef struct {
    const nq_tile_sums *sums;
    const nq_tile_pixels *pixels;
    nq_tile_channels channels;
} nq_tile_result;

/* gcc does not know what memory the intrinsics read: to be said between writing and multiplying. */
static inline void nq_tiles_written(void)
{
    __asm__ volatile("" ::: "memory");
}

/* This thread's tiles, until nq_tiles_release(). */
void nq_tiles_configure(const nq_tile_input *input);
void nq_tiles_release(void);

/* One step: a tile of positions from in[0] on, and one from in[1] on (NULL: none). Meanwhile
 * `before` is requantized (NULL: nothing). */
void nq_tiles_multiply(const nq_tile_input *input, const nq_tile_channels *channels,
                       const uint8_t *const in[2], nq_tile_sums *sums, const nq_tile_result *before,
                       const nq_output *to);
/* Any number of tiles of positions from `in` on, of a single chunk, into consecutive sums. */
void nq_tiles_multiply_once(const nq_tile_input *input, const nq_tile_channels *channels,
                            const uint8_t *in, int tiles, nq_tile_sums *sums);
void nq_tiles_requantize(const nq_tile_result *result, const nq_output *to);
/* Positions that are all kept, one after another. Returns how many of them are done: not an odd
 * end, and none where results might not fit 32 bits. */
int nq_tiles_requantize_all(const nq_tile_sums *sums, const nq_tile_channels *channels, int count,
                            uint8_t *out, size_t pitch, const nq_output *to);

#endif
