/* Dense convolution for AVX-VNNI, 256 bits wide. */
#ifdef __AVXVNNI__
#include "worker/integer/simd256.h"

#define NQ_ISA avxvnni
#include "worker/integer/dense_template.h"
#endif
