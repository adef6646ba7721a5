/* Kernels without weights for AVX-512 (F, BW, VL, DQ). */
#ifdef __AVX512BW__
#include "worker/integer/simd512.h"

#define NQ_ISA avx512
#include "worker/integer/elementwise_template.h"
#endif
