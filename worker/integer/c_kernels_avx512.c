/* The plain C kernels, compiled for AVX-512 (F, BW, VL, DQ). */
#ifdef __AVX512BW__
#define NQ_TEMPLATE_TABLE nq_kernels_c_avx512
#define NQ_TEMPLATE_NAME  "c-avx512"
#define NQ_TEMPLATE_SUPPORTED                                                                      \
    (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&                    \
     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&                   \
     __builtin_cpu_supports("fma"))
#include "worker/integer/c_kernels_template.h"
#endif
