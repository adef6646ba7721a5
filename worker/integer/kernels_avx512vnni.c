/* AVX-512 with VNNI: Zen 4 and later, Ice Lake and later servers. */
#ifdef __AVX512VNNI__
#include "worker/integer/dense.h"
#include "worker/integer/depthwise.h"
#include "worker/integer/elementwise.h"

static bool supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

extern const nq_kernels nq_kernels_avx512vnni;
const nq_kernels nq_kernels_avx512vnni = {
    .name = "avx512vnni",
    .supported = supported,
    .dense = {nq_dense_size_avx512vnni, nq_dense_pack_avx512vnni, nq_dense_run_avx512vnni},
    .depthwise = {nq_depthwise_size_avx512vnni, nq_depthwise_pack_avx512vnni,
                  nq_depthwise_run_avx512vnni},
    .add = nq_add_avx512,
    .lookup = nq_lookup_avx512,
    .shuffle = nq_shuffle_avx512,
    .interleave = nq_interleave_avx512,
    .max_pool = nq_max_pool_avx512,
    .avg_pool = nq_avg_pool_avx512,
    .input = nq_input_avx512,
};
#endif
