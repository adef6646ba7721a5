/*
 * 256-bit vectors under the names that the kernel templates are written in; simd512.h gives the
 * same names to 512 bits, so a file includes one of the two and then templates. Compiled for AVX2
 * this multiplies by vpmaddwd, for AVX-VNNI by vpdpbusd; both are exact.
 *
 * The order of quads: unpacking bytes works inside 128-bit lanes, so 32-bit element e of part j
 * stands for the vector's byte 16 * (e / 4) + 4 * j + e % 4. Packing the parts undoes it.
 */
#ifndef NQ_INTEGER_SIMD_H
#define NQ_INTEGER_SIMD_H

#include "worker/integer/kernels.h"
#include "worker/integer/store_some.h"
#include <immintrin.h>
#include <string.h>

#define NQ_LANES 32 /* bytes of a vector */
/* Whether parts of vectors are loaded as fast as whole ones. */
#define NQ_PARTS 0

typedef __m256i nq_vec;
typedef __m256 nq_float;

NQ_INLINE nq_vec nq_splat(int32_t byte)
{
    return _mm256_set1_epi8((char)byte);
}

NQ_INLINE nq_vec nq_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

NQ_INLINE void nq_store(uint8_t *p, nq_vec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

/* The first n < NQ_LANES bytes, touching no others; what lies above them is 0. */
NQ_INLINE nq_vec nq_load_part(const uint8_t *p, size_t n)
{
    uint8_t whole[NQ_LANES] = {0};
    memcpy(whole, p, n);
    return nq_load(whole);
}

NQ_INLINE void nq_store_part(uint8_t *p, nq_vec v, size_t n)
{
    nq_store_some256(p, v, n);
}

/* Two or four pieces of n bytes, at most a half or a quarter of a vector, side by side; what lies
 * between them is of no matter. */
NQ_INLINE nq_vec nq_load_halves(const uint8_t *const p[2], size_t n)
{
    __m128i half[2];
    for (int i = 0; i < 2; i++)
        half[i] = n == 16 ? _mm_loadu_si128((const __m128i *)p[i])
                          : _mm256_castsi256_si128(nq_load_part(p[i], n));
    return _mm256_setr_m128i(half[0], half[1]);
}

NQ_INLINE nq_vec nq_load_quarters(const uint8_t *const p[4], size_t n)
{
    long long quarter[4] = {0};
    for (int i = 0; i < 4; i++)
        memcpy(&quarter[i], p[i], n);
    return _mm256_setr_epi64x(quarter[0], quarter[1], quarter[2], quarter[3]);
}

NQ_INLINE void nq_store_halves(uint8_t *const p[2], nq_vec v, size_t n)
{
    nq_store_some128(p[0], _mm256_castsi256_si128(v), n);
    nq_store_some128(p[1], _mm256_extracti128_si256(v, 1), n);
}

NQ_INLINE void nq_store_quarters(uint8_t *const p[4], nq_vec v, size_t n)
{
    __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
    nq_store_some128(p[0], low, n);
    nq_store_some128(p[1], _mm_unpackhi_epi64(low, low), n);
    nq_store_some128(p[2], high, n);
    nq_store_some128(p[3], _mm_unpackhi_epi64(high, high), n);
}

NQ_INLINE nq_vec nq_max(nq_vec a, nq_vec b)
{
    return _mm256_max_epu8(a, b);
}

/* The bytes of a and b in turn, 2 * NQ_LANES of them. */
NQ_INLINE void nq_zip(nq_vec a, nq_vec b, nq_vec out[2])
{
    nq_vec low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    out[0] = _mm256_permute2x128_si256(low, high, 0x20);
    out[1] = _mm256_permute2x128_si256(low, high, 0x31);
}

/* Bytes to 32-bit integers in the order of quads, and those to floats. */
NQ_INLINE void nq_widen(nq_vec v, nq_vec out[4])
{
    const nq_vec none = _mm256_setzero_si256();
    nq_vec low = _mm256_unpacklo_epi8(v, none), high = _mm256_unpackhi_epi8(v, none);
    out[0] = _mm256_unpacklo_epi16(low, none);
    out[1] = _mm256_unpackhi_epi16(low, none);
    out[2] = _mm256_unpacklo_epi16(high, none);
    out[3] = _mm256_unpackhi_epi16(high, none);
}

NQ_INLINE nq_vec nq_add_ints(nq_vec a, nq_vec b)
{
    return _mm256_add_epi32(a, b);
}

NQ_INLINE nq_vec nq_splat_int(int32_t v)
{
    return _mm256_set1_epi32(v);
}

NQ_INLINE nq_vec nq_load_ints(const int32_t *p)
{
    return _mm256_load_si256((const __m256i *)p);
}

NQ_INLINE nq_float nq_to_float(nq_vec v)
{
    return _mm256_cvtepi32_ps(v);
}

NQ_INLINE nq_float nq_splat_float(float v)
{
    return _mm256_set1_ps(v);
}

NQ_INLINE nq_float nq_load_floats(const float *p)
{
    return _mm256_load_ps(p);
}

NQ_INLINE nq_float nq_fma(nq_float a, nq_float b, nq_float c)
{
    return _mm256_fmadd_ps(a, b, c);
}

NQ_INLINE nq_float nq_add_floats(nq_float a, nq_float b)
{
    return _mm256_add_ps(a, b);
}

NQ_INLINE nq_float nq_mul(nq_float a, nq_float b)
{
    return _mm256_mul_ps(a, b);
}

NQ_INLINE nq_float nq_div(nq_float a, nq_float b)
{
    return _mm256_div_ps(a, b);
}

/* nq_output for vectors. */
typedef struct {
    nq_float high; /* minus the zero point */
    nq_vec zero16, zero, low, high_byte;
    bool relu; /* the lower bound is the zero point */
} nq_bounds;

NQ_INLINE nq_bounds nq_bounds_of(const nq_output *out)
{
    return (nq_bounds){.high = nq_splat_float((float)(out->high - out->zero)),
                       .zero16 = _mm256_set1_epi16((short)out->zero),
                       .zero = nq_splat(out->zero),
                       .low = nq_splat(out->low),
                       .high_byte = nq_splat(out->high),
                       .relu = out->low == out->zero};
}

/* Four parts in the order of quads, rounded, to bytes: packing saturates, to 0..255 at last. */
NQ_INLINE nq_vec nq_pack(const nq_vec q[4], const nq_bounds *b)
{
    nq_vec low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
    if (b->relu)
        return _mm256_adds_epu8(_mm256_packus_epi16(low, high), b->zero);
    low = _mm256_adds_epi16(low, b->zero16);
    high = _mm256_adds_epi16(high, b->zero16);
    return _mm256_max_epu8(_mm256_packus_epi16(low, high), b->low);
}

/* The largest floats must not reach the conversion, which would make negative integers of them; the
 * smallest ones it does well. */
NQ_INLINE nq_vec nq_round(nq_float r, const nq_bounds *b)
{
    return _mm256_cvtps_epi32(_mm256_min_ps(r, b->high));
}

/* Four parts in the order of quads to bytes: the last step of every operator, see nq_output. */
NQ_INLINE nq_vec nq_to_bytes(const nq_float r[4], const nq_bounds *b)
{
    return nq_pack((const nq_vec[]){nq_round(r[0], b), nq_round(r[1], b), nq_round(r[2], b),
                                    nq_round(r[3], b)},
                   b);
}

/* The same for floats below 2^31. */
NQ_INLINE nq_vec nq_to_bytes_within(const nq_float r[4], const nq_bounds *b)
{
    nq_vec q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        q[j] = _mm256_cvtps_epi32(r[j]);
    return _mm256_min_epu8(nq_pack(q, b), b->high_byte);
}

/*
 * Four taps of NQ_LANES channels, and their products with weights: nq_dot() adds part j of them to
 * a sum. The weights of a part are NQ_DOT_BYTES, written by nq_put_weight().
 */
#ifdef __AVXVNNI__

#define NQ_DOT_BYTES NQ_LANES

typedef struct {
    nq_vec part[4];
} nq_taps;

NQ_INLINE nq_taps nq_interleave_taps(nq_vec a, nq_vec b, nq_vec c, nq_vec d)
{
    nq_vec ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpacklo_epi8(c, d);
    nq_vec ab2 = _mm256_unpackhi_epi8(a, b), cd2 = _mm256_unpackhi_epi8(c, d);
    return (nq_taps){{_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd),
                      _mm256_unpacklo_epi16(ab2, cd2), _mm256_unpackhi_epi16(ab2, cd2)}};
}

/* Not the intrinsic: gcc 12 spills an accumulator at each of them. */
NQ_INLINE nq_vec nq_multiply_add(nq_vec sum, nq_vec u8, nq_vec s8)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u8), "xm"(s8));
    return sum;
}

NQ_INLINE nq_vec nq_dot(nq_vec sum, const nq_taps *taps, int j, const void *weight)
{
    return nq_multiply_add(sum, taps->part[j], *(const nq_vec *)weight);
}

/* Weight of tap t for element e of a part. */
NQ_INLINE void nq_put_weight(void *to, int e, int t, int8_t weight)
{
    ((int8_t *)to)[4 * e + t] = weight;
}

#else

#define NQ_DOT_BYTES (2 * NQ_LANES)

/* As 16-bit pairs: of a and c in part j, of b and d in part 4 + j. */
typedef struct {
    nq_vec part[8];
} nq_taps;

NQ_INLINE nq_taps nq_interleave_taps(nq_vec a, nq_vec b, nq_vec c, nq_vec d)
{
    const nq_vec none = _mm256_setzero_si256();
    nq_vec ac = _mm256_unpacklo_epi8(a, c), bd = _mm256_unpacklo_epi8(b, d);
    nq_vec ac2 = _mm256_unpackhi_epi8(a, c), bd2 = _mm256_unpackhi_epi8(b, d);
    return (nq_taps){{_mm256_unpacklo_epi8(ac, none), _mm256_unpackhi_epi8(ac, none),
                      _mm256_unpacklo_epi8(ac2, none), _mm256_unpackhi_epi8(ac2, none),
                      _mm256_unpacklo_epi8(bd, none), _mm256_unpackhi_epi8(bd, none),
                      _mm256_unpacklo_epi8(bd2, none), _mm256_unpackhi_epi8(bd2, none)}};
}

NQ_INLINE nq_vec nq_multiply_add(nq_vec sum, nq_vec a, nq_vec b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

NQ_INLINE nq_vec nq_dot(nq_vec sum, const nq_taps *taps, int j, const void *weight)
{
    const nq_vec *w = weight;
    sum = nq_multiply_add(sum, taps->part[j], w[0]);
    return nq_multiply_add(sum, taps->part[4 + j], w[1]);
}

NQ_INLINE void nq_put_weight(void *to, int e, int t, int8_t weight)
{
    ((int16_t *)to)[t % 2 * NQ_LANES / 2 + 2 * e + t / 2] = weight;
}

#endif

/*
 * A table of 256 bytes as 16 rows of 16, each XORed with the row before: a row is looked up for
 * every index that has not gone below 0 after subtracting 16 a row, so that the XOR of all of them
 * ends at the right row. Indices of the upper half are brought to 0..127 by their sign bit.
 */
typedef struct {
    nq_vec row[16];
} nq_table;

NQ_INLINE void nq_table_load(const uint8_t bytes[256], nq_table *table)
{
    nq_vec before = _mm256_setzero_si256();
    for (int i = 0; i < 16; i++) {
        __m128i row = _mm_loadu_si128((const __m128i *)(bytes + (size_t)16 * i));
        nq_vec both = _mm256_broadcastsi128_si256(row);
        table->row[i] = _mm256_xor_si256(both, before);
        before = i == 7 ? _mm256_setzero_si256() : both;
    }
}

NQ_INLINE nq_vec nq_table_half(const nq_vec row[8], nq_vec index)
{
    nq_vec found = _mm256_shuffle_epi8(row[0], index);
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++) {
        index = _mm256_subs_epi8(index, _mm256_set1_epi8(16));
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(row[i], index));
    }
    return found;
}

/* Of activations calibrated to 7 bits hardly any is in the upper half. */
NQ_INLINE nq_vec nq_table_at(const nq_table *table, nq_vec index)
{
    nq_vec found = nq_table_half(table->row, index);
    if (!_mm256_movemask_epi8(index))
        return found;
    index = _mm256_xor_si256(index, _mm256_set1_epi8(-128));
    return _mm256_xor_si256(found, nq_table_half(table->row + 8, index));
}

#endif
