/*
 * The layout of a dense convolution's constants for instructions that add four products of u8 and
 * s8 to a 32-bit lane: blocks of 32 output channels, each with all that computing them takes.
 * Output channels past the last and input bytes past the end of a kernel row have weight 0.
 */
#ifndef NQ_INTEGER_DENSE_BLOCK_H
#define NQ_INTEGER_DENSE_BLOCK_H

#include "worker/integer/kernels.h"
#include <string.h>

enum { NQ_BLOCK = 32 };

/* Where sums start, so that adding a * w gives sum (a - in_zero) * w: over all columns of the
 * kernel, without the first, without the last one. */
typedef struct {
    _Alignas(NQ_ALIGN) int32_t of[3][NQ_BLOCK];
} nq_dense_start;

typedef struct {
    _Alignas(NQ_ALIGN) float bias[NQ_BLOCK];
    float bias_factor[NQ_BLOCK], multiplier[NQ_BLOCK];
    nq_dense_start whole; /* over all rows of the kernel */
    bool fits;            /* no input makes a result that leaves 32 bits */
    /* then nq_dense_start [kernel_h], one row each, and the weights:
     * s8 [kernel_h][row_quads][NQ_BLOCK][4] */
} nq_dense_block;

/*
 * The output channels of a block. The last block repeats some of those before it rather than have
 * less than 32, or than 16 where 16 are enough. Of more than 16 the second half of the block's
 * lanes has the last 16: between 16 and 32 some are there twice.
 */
typedef struct {
    int first, count;
} nq_channels;

static inline nq_channels nq_dense_channels(const nq_window *w, int block)
{
    const int first = block * NQ_BLOCK, left = w->out_c - first;
    const int whole = left > NQ_BLOCK / 2 ? NQ_BLOCK : NQ_BLOCK / 2;
    if (left >= NQ_BLOCK || w->out_c < whole)
        return (nq_channels){first, left < NQ_BLOCK ? left : NQ_BLOCK};
    return (nq_channels){w->out_c - whole, whole};
}

/* row_quads: fours of input bytes in a row of the kernel, at least kernel_w * in_c / 4. */
size_t nq_dense_block_bytes(const nq_window *w, int row_quads);
int nq_dense_blocks(const nq_window *w);
/* weight: s8 [out_c][kernel_h][kernel_w][in_c]. packed: nq_dense_blocks() blocks. */
void nq_dense_pack(const nq_conv *op, int row_quads, const int8_t *weight, void *packed);

/* The rows of the kernel that lie on the input for output row y: padding has none of the rest. */
static inline nq_rows nq_dense_kernel_rows(const nq_window *w, int y)
{
    int top = y * w->stride - w->pad_h;
    int first = top < 0 ? -top : 0;
    int end = w->in_h - top < w->kernel_h ? w->in_h - top : w->kernel_h;
    return (nq_rows){first, end > first ? end - first : 0};
}

static inline const nq_dense_block *nq_dense_block_at(const void *packed, const nq_window *w,
                                                      int row_quads, int i)
{
    return (const nq_dense_block *)((const uint8_t *)packed +
                                    (size_t)i * nq_dense_block_bytes(w, row_quads));
}
static inline const nq_dense_start *nq_dense_row_starts(const nq_dense_block *block)
{
    return (const nq_dense_start *)(block + 1);
}
static inline const int8_t *nq_dense_weight(const nq_dense_block *block, const nq_window *w)
{
    return (const int8_t *)(nq_dense_row_starts(block) + w->kernel_h);
}

/* The start of sums over some rows of the kernel. */
static inline void nq_dense_start_of(const nq_dense_block *block, nq_rows rows,
                                     nq_dense_start *start)
{
    const nq_dense_start *row = nq_dense_row_starts(block) + rows.first;
    memset(start, 0, sizeof *start);
    for (int ky = 0; ky < rows.count; ky++)
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < NQ_BLOCK; i++)
                start->of[k][i] += row[ky].of[k][i];
}

/*
 * A copy of input rows with the padding around them written out: `width` pixels of in_c bytes a
 * row, the first of them pad_w left of the input's; row_bytes from row to row. `rows` may begin
 * before the input and end after it; `in` points at the first of them that it has.
 */
void nq_dense_stage(const nq_conv *op, nq_rows rows, const uint8_t *in, size_t in_pitch, int width,
                    uint8_t *out, size_t row_bytes);

#endif
