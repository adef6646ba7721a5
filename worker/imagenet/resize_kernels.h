/*
 * The two passes of the resize, one table of functions per instruction set, all giving the bytes of
 * the plain C one: the sums are the same integers, in another order.
 */
#ifndef NQ_IMAGENET_RESIZE_KERNELS_H
#define NQ_IMAGENET_RESIZE_KERNELS_H

#include "worker/imagenet/resize.h"
#include <stdbool.h>

#define NQ_RESIZE_OUTPUTS 224 /* of an axis: the crop's */
#define NQ_RESIZE_BITS    22  /* of a weight's fraction: Pillow's PRECISION_BITS = 32 - 8 - 2 */
#define NQ_RESIZE_HALF    (1 << (NQ_RESIZE_BITS - 1))

/* A row after the horizontal pass: u8 [224][3], and room so that whole vectors can be read. */
#define NQ_RESIZE_ROW   (NQ_RESIZE_OUTPUTS * 3)
#define NQ_RESIZE_PITCH 704

struct nq_resize_kernels {
    const char *name; /* as NETQ_CPU has it */
    bool (*supported)(void);
    int row_block;             /* outputs of a row that are computed together */
    int row_taps, column_taps; /* taps that are multiplied together: a group */
    size_t row_bytes;          /* of packed weights: of a block's group */
    size_t column_bytes;       /* of an output's group */
    /* Packs group g of the block of outputs from i on, of which output i + n has its first tap at
     * first[n]; of output i of a column. NULL: the taps are used as they are. */
    void (*pack_row)(const nq_taps *taps, int i, const int *first, void *group);
    void (*pack_column)(const nq_taps *taps, int i, int first, void *group);
    /* Horizontal pass of a row; rgb is readable NQ_RESIZE_SLACK bytes beyond its pixels. */
    void (*row)(const nq_taps *taps, const nq_packed_taps *packed, const uint8_t *rgb,
                uint8_t *out);
    /* Vertical pass: output i, from rows that begin at `rows` with pitch NQ_RESIZE_PITCH: as many
     * as its groups have taps. Writes NQ_RESIZE_ROW bytes. */
    void (*column)(const nq_taps *taps, const nq_packed_taps *packed, int i, const uint8_t *rows,
                   uint8_t *out);
};

/* The weight of a tap for output i, 0 where there is none. */
static inline int32_t nq_taps_weight(const nq_taps *taps, int i, int tap)
{
    int t = tap - taps->first[i];
    return t >= 0 && t < taps->count[i] ? taps->weights[(size_t)i * taps->stride + t] : 0;
}

/* The best that this CPU runs; NETQ_CPU in the environment asks for a plainer one by name. */
const nq_resize_kernels *nq_resize_kernels_select(void);
/* All of this build, the plainest first; NULL beyond the last. For tests. */
const nq_resize_kernels *nq_resize_kernels_at(size_t i);

#endif
