/* The plain C kernels, compiled for AVX2 and FMA. */
#ifdef __AVX2__
#define NQ_TEMPLATE_TABLE     nq_kernels_c_avx2
#define NQ_TEMPLATE_NAME      "c-avx2"
#define NQ_TEMPLATE_SUPPORTED (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#include "worker/integer/c_kernels_template.h"
#endif
