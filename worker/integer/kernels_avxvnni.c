/* AVX-VNNI, for CPUs that have it without AVX-512: Alder Lake and later. */
#ifdef __AVXVNNI__
#include "worker/integer/dense.h"
#include "worker/integer/depthwise.h"
#include "worker/integer/elementwise.h"

extern const nq_kernels nq_kernels_avx2;

static bool supported(void)
{
    return nq_kernels_avx2.supported() && __builtin_cpu_supports("avxvnni");
}

extern const nq_kernels nq_kernels_avxvnni;
const nq_kernels nq_kernels_avxvnni = {
    .name = "avxvnni",
    .supported = supported,
    .dense = {nq_dense_size_avxvnni, nq_dense_pack_avxvnni, nq_dense_run_avxvnni},
    .depthwise = {nq_depthwise_size_avxvnni, nq_depthwise_pack_avxvnni, nq_depthwise_run_avxvnni},
    .add = nq_add_avx2,
    .lookup = nq_lookup_avx2,
    .shuffle = nq_shuffle_avx2,
    .interleave = nq_interleave_avx2,
    .max_pool = nq_max_pool_avx2,
    .avg_pool = nq_avg_pool_avx2,
    .input = nq_input_avx2,
};
#endif
