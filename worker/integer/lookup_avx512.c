/* Tables for AVX-512 (F, BW, VL, DQ); by VBMI where the CPU has it. */
#ifdef __AVX512BW__
#include "worker/integer/simd512.h"

#define NQ_ISA avx512bw
#include "worker/integer/lookup_template.h"

static bool has_vbmi(void)
{
    return __builtin_cpu_supports("avx512vbmi");
}

void nq_lookup_avx512(const uint8_t table[256], const uint8_t *in, size_t in_pitch, uint8_t *out,
                      size_t out_pitch, size_t pixels, int channels)
{
    (has_vbmi() ? nq_lookup_avx512vbmi : nq_lookup_avx512bw)(table, in, in_pitch, out, out_pitch,
                                                             pixels, channels);
}

void nq_interleave_avx512(const uint8_t tables[2][256], const uint8_t *a, size_t a_pitch,
                          const uint8_t *b, size_t b_pitch, uint8_t *out, size_t out_pitch,
                          size_t pixels, int channels)
{
    (has_vbmi() ? nq_interleave_avx512vbmi : nq_interleave_avx512bw)(
        tables, a, a_pitch, b, b_pitch, out, out_pitch, pixels, channels);
}

void nq_input_avx512(const uint8_t table[3][256], const uint8_t *crop, uint8_t *out, size_t pixels)
{
    (has_vbmi() ? nq_input_avx512vbmi : nq_input_avx2)(table, crop, out, pixels);
}
#endif
