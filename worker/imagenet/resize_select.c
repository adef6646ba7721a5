#include "worker/imagenet/resize_kernels.h"

#include <stdlib.h>
#include <string.h>

extern const nq_resize_kernels nq_resize_c;
#ifdef __x86_64__
/* Weak: a compiler without the instruction set may leave the file out. */
extern const nq_resize_kernels nq_resize_avx2 __attribute__((weak));
extern const nq_resize_kernels nq_resize_avx512vnni __attribute__((weak));
#endif

/* The last one that the CPU supports is taken. */
static const nq_resize_kernels *const tables[] = {
    &nq_resize_c,
#ifdef __x86_64__
    &nq_resize_avx2,
    &nq_resize_avx512vnni,
#endif
};
#define TABLES (sizeof tables / sizeof tables[0])

/* How much of the CPU a name of NETQ_CPU allows. Names that are not here allow everything: what
 * they mean, and whether they exist, is the integer kernels' business. */
static const struct {
    const char *name;
    size_t tables;
} allowances[] = {{"c", 1}, {"avx2", 2}, {"avxvnni", 2}};

static size_t allowed(void)
{
    const char *forced = getenv("NETQ_CPU");
    for (size_t i = 0; forced && i < sizeof allowances / sizeof *allowances; i++)
        if (strcmp(forced, allowances[i].name) == 0)
            return allowances[i].tables;
    return TABLES;
}

const nq_resize_kernels *nq_resize_kernels_at(size_t i)
{
    for (size_t t = 0; t < TABLES; t++)
        if (tables[t] && i-- == 0)
            return tables[t];
    return NULL;
}

const nq_resize_kernels *nq_resize_kernels_select(void)
{
    const nq_resize_kernels *best = tables[0];
    size_t most = allowed();
    for (size_t t = 1; t < most && t < TABLES; t++)
        if (tables[t] && tables[t]->supported())
            best = tables[t];
    return best;
}
