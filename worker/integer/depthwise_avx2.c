/* Depthwise convolution for AVX2. */
#ifdef __AVX2__
#include "worker/integer/simd256.h"

#include "worker/integer/depthwise_template.h"

NQ_DEPTHWISE_DEFINE(avx2, &whole, &halves, &quarters)
#endif
