/* Tables for AVX2. */
#ifdef __AVX2__
#include "worker/integer/simd256.h"

#define NQ_ISA avx2
#include "worker/integer/lookup_template.h"

/* Three tables of 256 bytes by byte shuffles take longer than a load a byte. */
void nq_input_avx2(const uint8_t table[3][256], const uint8_t *crop, uint8_t *out, size_t pixels)
{
    for (size_t p = 0; p < pixels; p++, crop += 3, out += 3) {
        out[0] = table[0][crop[0]];
        out[1] = table[1][crop[1]];
        out[2] = table[2][crop[2]];
    }
}
#endif
