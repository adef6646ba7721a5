/* Depthwise convolution for AVX-512 VNNI: 64 channels at once. */
#ifdef __AVX512VNNI__
#include "worker/integer/simd512.h"

#include "worker/integer/depthwise_template.h"

NQ_DEPTHWISE_DEFINE(avx512vnni, &whole, &halves, &quarters)
#endif
