/* Placing tensors of known lifetimes in one block of memory. */
#ifndef NQ_COMMON_ARENA_H
#define NQ_COMMON_ARENA_H

#include <stddef.h>

#define NQ_ARENA_ALIGN 64

/* A tensor that is written at step `first` and last read at step `last`. */
typedef struct {
    int first, last;
    size_t bytes;
    size_t offset; /* out: a multiple of NQ_ARENA_ALIGN */
} nq_span;

/* Gives every span its offset, so that spans that live at a common step do not overlap; largest
 * first, each at the lowest place free. Returns the bytes of the whole block. */
size_t nq_arena_assign(nq_span *spans, int count);

#endif
