/* AVX2 with FMA: products of 16-bit integers, exact. Haswell, Zen and later. */
#ifdef __AVX2__
#include "worker/integer/dense.h"
#include "worker/integer/depthwise.h"
#include "worker/integer/elementwise.h"

static bool supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

extern const nq_kernels nq_kernels_avx2;
const nq_kernels nq_kernels_avx2 = {
    .name = "avx2",
    .supported = supported,
    .dense = {nq_dense_size_avx2, nq_dense_pack_avx2, nq_dense_run_avx2},
    .depthwise = {nq_depthwise_size_avx2, nq_depthwise_pack_avx2, nq_depthwise_run_avx2},
    .add = nq_add_avx2,
    .lookup = nq_lookup_avx2,
    .shuffle = nq_shuffle_avx2,
    .interleave = nq_interleave_avx2,
    .max_pool = nq_max_pool_avx2,
    .avg_pool = nq_avg_pool_avx2,
    .input = nq_input_avx2,
};
#endif
