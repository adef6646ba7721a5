/* Depthwise convolution for AVX-VNNI, 256 bits wide. */
#ifdef __AVXVNNI__
#include "worker/integer/simd256.h"

#include "worker/integer/depthwise_template.h"

NQ_DEPTHWISE_DEFINE(avxvnni, &whole, &halves, &quarters)
#endif
