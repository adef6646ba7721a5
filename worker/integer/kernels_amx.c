/* Dense convolutions with AMX, the rest with AVX-512: Sapphire Rapids and later servers. */
#ifdef __AMX_INT8__
#include "worker/integer/dense.h"
#include "worker/integer/depthwise.h"
#include "worker/integer/elementwise.h"
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux lends a process the tiles' state when it asks. */
static bool tiles_granted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

extern const nq_kernels nq_kernels_avx512vnni;

static bool supported(void)
{
    unsigned a, b, c, d;
    const unsigned tiles = 1u << 24, int8 = 1u << 25;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tiles) && (d & int8) &&
           nq_kernels_avx512vnni.supported() && tiles_granted();
}

extern const nq_kernels nq_kernels_amx;
const nq_kernels nq_kernels_amx = {
    .name = "amx",
    .supported = supported,
    .dense = {nq_dense_size_amx, nq_dense_pack_amx, nq_dense_run_amx},
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
