/* Depthwise convolution for AVX-512 VNNI: 64 channels at once, the last 32 or fewer in half a
 * vector. */
#ifdef __AVX512VNNI__
#include "worker/integer/simd512.h"

#include "worker/integer/depthwise_template.h"

extern const nq_depthwise_width nq_depthwise_width_256_avx512vnni;

NQ_DEPTHWISE_DEFINE(avx512vnni, &depthwise_width, &nq_depthwise_width_256_avx512vnni)
#endif
