#define NAME nq_normals_plain
#include "common/random_normals_template.h"

#include <stdbool.h>

#ifdef __x86_64__
/* A compiler without the instruction set may leave the file out. */
#pragma weak nq_normals_avx512
#endif

static nq_normals_chunk *choose(void)
{
#ifdef __x86_64__
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (nq_normals_avx512 && avx512)
        return nq_normals_avx512;
#endif
    return nq_normals_plain;
}

static void skip_blocks(nq_random *r, uint32_t blocks)
{
    uint32_t before = r->counter[0];
    r->counter[0] += blocks;
    r->counter[1] += r->counter[0] < before;
}

void nq_random_normals(nq_random *r, size_t n, float *out, size_t stride)
{
    nq_normals_chunk *chunk = choose();
    double value[NQ_NORMALS_CHUNK];
    while (n > 0) {
        if (n < NQ_NORMALS_CHUNK || r->used != 4) {
            *out = (float)nq_random_normal(r);
            out += stride;
            n--;
            continue;
        }
        chunk(r, value);
        skip_blocks(r, NQ_NORMALS_BLOCKS);
        for (int j = 0; j < NQ_NORMALS_CHUNK; j++, out += stride)
            *out = (float)value[j];
        n -= NQ_NORMALS_CHUNK;
    }
}
