/* Dense convolution for AVX2. */
#ifdef __AVX2__
#include "worker/integer/simd256.h"

#define NQ_ISA avx2
#include "worker/integer/dense_template.h"
#endif
