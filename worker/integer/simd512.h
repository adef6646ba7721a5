/* 512-bit vectors under the names that simd256.h explains; needs AVX-512 F, BW, VL and DQ, the
 * products VNNI. */
#ifndef NQ_INTEGER_SIMD_H
#define NQ_INTEGER_SIMD_H

#include "worker/integer/kernels.h"
#include "worker/integer/store_some.h"
#include <immintrin.h>
#include <string.h>

#define NQ_LANES 64
#define NQ_PARTS 1

typedef __m512i nq_vec;
typedef __m512 nq_float;

NQ_INLINE nq_vec nq_splat(int32_t byte)
{
    return _mm512_set1_epi8((char)byte);
}

NQ_INLINE nq_vec nq_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

NQ_INLINE void nq_store(uint8_t *p, nq_vec v)
{
    _mm512_storeu_si512(p, v);
}

NQ_INLINE nq_vec nq_load_part(const uint8_t *p, size_t n)
{
    return _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}

NQ_INLINE void nq_store_part(uint8_t *p, nq_vec v, size_t n)
{
    __m256i low = _mm512_castsi512_si256(v);
    if (n < 32) {
        nq_store_some256(p, low, n);
        return;
    }
    _mm256_storeu_si256((__m256i *)p, low);
    if (n > 32)
        nq_store_some256(p + 32, _mm512_extracti64x4_epi64(v, 1), n - 32);
}

NQ_INLINE nq_vec nq_load_halves(const uint8_t *const p[2], size_t n)
{
    __m256i half[2];
    for (int i = 0; i < 2; i++)
        half[i] = n == 32 ? _mm256_loadu_si256((const __m256i *)p[i])
                          : _mm256_maskz_loadu_epi8((__mmask32)((1ull << n) - 1), p[i]);
    return _mm512_inserti64x4(_mm512_castsi256_si512(half[0]), half[1], 1);
}

NQ_INLINE nq_vec nq_load_quarters(const uint8_t *const p[4], size_t n)
{
    __m128i quarter[4];
    for (int i = 0; i < 4; i++)
        quarter[i] = n == 16 ? _mm_loadu_si128((const __m128i *)p[i])
                             : _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p[i]);
    nq_vec v = _mm512_inserti32x4(_mm512_castsi128_si512(quarter[0]), quarter[1], 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(v, quarter[2], 2), quarter[3], 3);
}

NQ_INLINE void nq_store_halves(uint8_t *const p[2], nq_vec v, size_t n)
{
    nq_store_some256(p[0], _mm512_castsi512_si256(v), n);
    nq_store_some256(p[1], _mm512_extracti64x4_epi64(v, 1), n);
}

NQ_INLINE void nq_store_quarters(uint8_t *const p[4], nq_vec v, size_t n)
{
    nq_store_some128(p[0], _mm512_castsi512_si128(v), n);
    nq_store_some128(p[1], _mm512_extracti32x4_epi32(v, 1), n);
    nq_store_some128(p[2], _mm512_extracti32x4_epi32(v, 2), n);
    nq_store_some128(p[3], _mm512_extracti32x4_epi32(v, 3), n);
}

NQ_INLINE nq_vec nq_max(nq_vec a, nq_vec b)
{
    return _mm512_max_epu8(a, b);
}

NQ_INLINE void nq_zip(nq_vec a, nq_vec b, nq_vec out[2])
{
    const nq_vec first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const nq_vec second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    nq_vec low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
    out[0] = _mm512_permutex2var_epi64(low, first, high);
    out[1] = _mm512_permutex2var_epi64(low, second, high);
}

NQ_INLINE void nq_widen(nq_vec v, nq_vec out[4])
{
    const nq_vec none = _mm512_setzero_si512();
    nq_vec low = _mm512_unpacklo_epi8(v, none), high = _mm512_unpackhi_epi8(v, none);
    out[0] = _mm512_unpacklo_epi16(low, none);
    out[1] = _mm512_unpackhi_epi16(low, none);
    out[2] = _mm512_unpacklo_epi16(high, none);
    out[3] = _mm512_unpackhi_epi16(high, none);
}

NQ_INLINE nq_vec nq_add_ints(nq_vec a, nq_vec b)
{
    return _mm512_add_epi32(a, b);
}

NQ_INLINE nq_vec nq_splat_int(int32_t v)
{
    return _mm512_set1_epi32(v);
}

NQ_INLINE nq_vec nq_load_ints(const int32_t *p)
{
    return _mm512_load_si512(p);
}

NQ_INLINE nq_float nq_to_float(nq_vec v)
{
    return _mm512_cvtepi32_ps(v);
}

NQ_INLINE nq_float nq_splat_float(float v)
{
    return _mm512_set1_ps(v);
}

NQ_INLINE nq_float nq_load_floats(const float *p)
{
    return _mm512_load_ps(p);
}

NQ_INLINE nq_float nq_fma(nq_float a, nq_float b, nq_float c)
{
    return _mm512_fmadd_ps(a, b, c);
}

NQ_INLINE nq_float nq_add_floats(nq_float a, nq_float b)
{
    return _mm512_add_ps(a, b);
}

NQ_INLINE nq_float nq_mul(nq_float a, nq_float b)
{
    return _mm512_mul_ps(a, b);
}

NQ_INLINE nq_float nq_div(nq_float a, nq_float b)
{
    return _mm512_div_ps(a, b);
}

typedef struct {
    nq_float high; /* minus the zero point */
    nq_vec zero16, zero, low, high_byte;
    bool relu; /* the lower bound is the zero point */
} nq_bounds;

NQ_INLINE nq_bounds nq_bounds_of(const nq_output *out)
{
    return (nq_bounds){.high = nq_splat_float((float)(out->high - out->zero)),
                       .zero16 = _mm512_set1_epi16((short)out->zero),
                       .zero = nq_splat(out->zero),
                       .low = nq_splat(out->low),
                       .high_byte = nq_splat(out->high),
                       .relu = out->low == out->zero};
}

NQ_INLINE nq_vec nq_pack(const nq_vec q[4], const nq_bounds *b)
{
    nq_vec low = _mm512_packs_epi32(q[0], q[1]), high = _mm512_packs_epi32(q[2], q[3]);
    if (b->relu)
        return _mm512_adds_epu8(_mm512_packus_epi16(low, high), b->zero);
    low = _mm512_adds_epi16(low, b->zero16);
    high = _mm512_adds_epi16(high, b->zero16);
    return _mm512_max_epu8(_mm512_packus_epi16(low, high), b->low);
}

NQ_INLINE nq_vec nq_round(nq_float r, const nq_bounds *b)
{
    return _mm512_cvtps_epi32(_mm512_min_ps(r, b->high));
}

NQ_INLINE nq_vec nq_to_bytes(const nq_float r[4], const nq_bounds *b)
{
    return nq_pack((const nq_vec[]){nq_round(r[0], b), nq_round(r[1], b), nq_round(r[2], b),
                                    nq_round(r[3], b)},
                   b);
}

NQ_INLINE nq_vec nq_to_bytes_within(const nq_float r[4], const nq_bounds *b)
{
    nq_vec q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        q[j] = _mm512_cvtps_epi32(r[j]);
    return _mm512_min_epu8(nq_pack(q, b), b->high_byte);
}

#ifdef __AVX512VNNI__

#define NQ_DOT_BYTES NQ_LANES

typedef struct {
    nq_vec part[4];
} nq_taps;

NQ_INLINE nq_taps nq_interleave_taps(nq_vec a, nq_vec b, nq_vec c, nq_vec d)
{
    nq_vec ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    nq_vec ab2 = _mm512_unpackhi_epi8(a, b), cd2 = _mm512_unpackhi_epi8(c, d);
    return (nq_taps){{_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd),
                      _mm512_unpacklo_epi16(ab2, cd2), _mm512_unpackhi_epi16(ab2, cd2)}};
}

NQ_INLINE nq_vec nq_dot(nq_vec sum, const nq_taps *taps, int j, const void *weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(taps->part[j]), "vm"(*(const nq_vec *)weight));
    return sum;
}

NQ_INLINE void nq_put_weight(void *to, int e, int t, int8_t weight)
{
    ((int8_t *)to)[4 * e + t] = weight;
}

#endif

#ifdef __AVX512VBMI__

/* Two lookups of 128 bytes; the index's sign bit chooses. */
typedef struct {
    nq_vec quarter[4];
} nq_table;

NQ_INLINE void nq_table_load(const uint8_t bytes[256], nq_table *table)
{
    for (int i = 0; i < 4; i++)
        table->quarter[i] = nq_load(bytes + (size_t)64 * i);
}

NQ_INLINE nq_vec nq_table_at(const nq_table *table, nq_vec index)
{
    nq_vec low = _mm512_permutex2var_epi8(table->quarter[0], index, table->quarter[1]);
    nq_vec high = _mm512_permutex2var_epi8(table->quarter[2], index, table->quarter[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
}

#else

typedef struct {
    nq_vec row[16];
} nq_table;

NQ_INLINE void nq_table_load(const uint8_t bytes[256], nq_table *table)
{
    nq_vec before = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++) {
        nq_vec all = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)));
        table->row[i] = _mm512_xor_si512(all, before);
        before = i == 7 ? _mm512_setzero_si512() : all;
    }
}

NQ_INLINE nq_vec nq_table_half(const nq_vec row[8], nq_vec index)
{
    nq_vec found = _mm512_shuffle_epi8(row[0], index);
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++) {
        index = _mm512_subs_epi8(index, _mm512_set1_epi8(16));
        found = _mm512_xor_si512(found, _mm512_shuffle_epi8(row[i], index));
    }
    return found;
}

NQ_INLINE nq_vec nq_table_at(const nq_table *table, nq_vec index)
{
    nq_vec found = nq_table_half(table->row, index);
    if (!_mm512_movepi8_mask(index))
        return found;
    index = _mm512_xor_si512(index, _mm512_set1_epi8(-128));
    return _mm512_xor_si512(found, nq_table_half(table->row + 8, index));
}

#endif

#endif
