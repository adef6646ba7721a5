/* Inside the AVX-512 VNNI convolution: the register tile, one or two groups of seven output pixels
 * by 32 channels. */
#ifndef NQ_INTEGER_DENSE_TILE_AVX512VNNI_H
#define NQ_INTEGER_DENSE_TILE_AVX512VNNI_H

#include "worker/integer/dense_block.h"

enum { NQ_GROUP = 7 };

typedef struct {
    /* Input bytes that a pixel needs: `rows` rows of the kernel, row_step apart, of `taps` runs,
     * tap_step apart, of tap_quads fours of bytes. */
    int rows, taps, tap_quads;
    ptrdiff_t row_step, tap_step;
    ptrdiff_t step; /* bytes from a pixel's input to its right neighbour's */
    const nq_dense_block *block;
    const int8_t *weight; /* of the first of these rows */
    const nq_dense_start *start;
    int channels; /* of the block that exist */
    /* Groups whose first (last) pixel is at the edge: its first (last) tap is padding. One of two:
     * of the first group the first pixel, of the second the last. */
    int left, right;
    nq_output to;
    size_t out_pitch;
    const uint8_t *in[2];
    uint8_t *out[2];
    int count[2]; /* pixels of the group that are stored */
} nq_tile;

/* groups: 1 or 2. */
void nq_tile_run(const nq_tile *tile, int groups);
/* One pixel alone, in one run of bytes: a linear layer. Reads whole fours of in[0]. */
void nq_tile_run_pixel(const nq_tile *tile);

#endif
