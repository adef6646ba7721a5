/* Memory for large tensors. */
#ifndef NQ_COMMON_BLOCK_H
#define NQ_COMMON_BLOCK_H

#include <stddef.h>

/* A block aligned to 64 bytes; from a megabyte on to 2 MB, in whole pages of that size, which the
 * system is asked to use (fewer misses of the address cache). NULL when there is no memory. Free it
 * with free(). */
void *nq_block_alloc(size_t bytes);

#endif
