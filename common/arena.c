#include "common/arena.h"
#include <stdint.h>

#define UNPLACED SIZE_MAX

static size_t rounded(size_t bytes)
{
    return (bytes + NQ_ARENA_ALIGN - 1) / NQ_ARENA_ALIGN * NQ_ARENA_ALIGN;
}

static size_t lowest_place(const nq_span *spans, int count, const nq_span *span)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const nq_span *other = &spans[i];
        if (other->offset == UNPLACED || other->last < span->first || span->last < other->first)
            continue;
        if (offset < other->offset + rounded(other->bytes) &&
            other->offset < offset + rounded(span->bytes)) {
            offset = other->offset + rounded(other->bytes);
            i = -1; /* it may now meet one that was passed */
        }
    }
    return offset;
}

static nq_span *largest_unplaced(nq_span *spans, int count)
{
    nq_span *largest = NULL;
    for (int i = 0; i < count; i++)
        if (spans[i].offset == UNPLACED && (!largest || spans[i].bytes > largest->bytes))
            largest = &spans[i];
    return largest;
}

size_t nq_arena_assign(nq_span *spans, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        spans[i].offset = UNPLACED;
    for (nq_span *span; (span = largest_unplaced(spans, count)) != NULL;) {
        span->offset = lowest_place(spans, count, span);
        if (total < span->offset + rounded(span->bytes))
            total = span->offset + rounded(span->bytes);
    }
    return total;
}
