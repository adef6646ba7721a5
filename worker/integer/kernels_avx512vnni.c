/* AVX-512 with VNNI: Zen 4 and later, Ice Lake and later servers. */
#ifdef __AVX512VNNI__
#include "worker/integer/depthwise.h"
#include "worker/integer/elementwise.h"

extern const nq_kernels nq_kernels_c_avx512;

static void dense_size(const nq_conv *op, size_t *packed, size_t *scratch)
{
    nq_kernels_c_avx512.dense.size(op, packed, scratch);
}

static void dense_pack(const nq_conv *op, const int8_t *weight, void *packed)
{
    nq_kernels_c_avx512.dense.pack(op, weight, packed);
}

static void dense_run(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    nq_kernels_c_avx512.dense.run(op, packed, rows, in, in_pitch, out, out_pitch, scratch);
}

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
    .dense = {dense_size, dense_pack, dense_run},
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
