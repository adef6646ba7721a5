#include "common/block.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { SMALL_ALIGN = 64, LARGE = 1 << 20, HUGE_PAGE = 2 << 20 };

void *nq_block_alloc(size_t bytes)
{
    size_t align = bytes < LARGE ? SMALL_ALIGN : HUGE_PAGE;
    if (bytes > (size_t)-1 - align)
        return NULL;
    bytes = bytes ? (bytes + align - 1) / align * align : align;
    void *block = aligned_alloc(align, bytes);
    if (block && align == HUGE_PAGE)
        madvise(block, bytes, MADV_HUGEPAGE); /* a system without them has small ones */
    return block;
}
