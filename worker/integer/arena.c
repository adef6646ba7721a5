#include "worker/integer/plan.h"

static bool meet(const nq_block *a, const nq_block *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t block_end(const nq_block *b)
{
    return b->offset + (b->bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

/* The lowest offset at which b meets none of the blocks placed before it. */
static size_t lowest_offset(const nq_block *blocks, const int *placed, int count, const nq_block *b)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const nq_block *other = &blocks[placed[i]];
        if (meet(b, other) && other->offset < offset + b->bytes && offset < block_end(other)) {
            offset = block_end(other);
            i = -1; /* the new place may meet one that the old one did not */
        }
    }
    return offset;
}

size_t nq_blocks_place(nq_block *blocks, int count, int *order)
{
    /* Large ones first: small ones then fill the gaps. Equal sizes stay in their order. */
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && blocks[order[at - 1]].bytes < blocks[i].bytes; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        nq_block *b = &blocks[order[i]];
        b->offset = lowest_offset(blocks, order, i, b);
        total = block_end(b) > total ? block_end(b) : total;
    }
    return total;
}
