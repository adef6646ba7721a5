/* The narrow half of depthwise_avx512vnni.c. */
#ifdef __AVX512VNNI__
#include "worker/integer/simd256.h"

#include "worker/integer/depthwise_template.h"

extern const nq_depthwise_width nq_depthwise_width_256_avx512vnni;
const nq_depthwise_width nq_depthwise_width_256_avx512vnni = {LANES, block_bytes, pack_block,
                                                              run_block};
#endif
