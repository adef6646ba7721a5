#ifdef __AVX512VNNI__
#include "worker/integer/dense_tile_avx512vnni.h"
#include "worker/integer/simd512.h"

/* gcc 12 spills the accumulators around the intrinsic. */
#define DOT(acc, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w))

static inline __m512i broadcast_quad(const uint8_t *p)
{
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* Accumulators a0..a13 are channels 0-15 of the pixels, b0..b13 channels 16-31: named, because
 * compilers keep no array of this size in registers. */
#define EACH_PIXEL(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13)
#define PIXEL(i, address)                                                                          \
    {                                                                                              \
        const __m512i x = broadcast_quad(address);                                                 \
        DOT(a##i, x, w0);                                                                          \
        if (wide)                                                                                  \
            DOT(b##i, x, w1);                                                                      \
    }
#define A_FIRST PIXEL(0, p)
#define A_INNER                                                                                    \
    PIXEL(1, p + step)                                                                             \
    PIXEL(2, p + 2 * step)                                                                         \
    PIXEL(3, p + step3) PIXEL(4, p + 4 * step) PIXEL(5, p + step5)
#define A_LAST  PIXEL(6, p + 2 * step3)
#define B_FIRST PIXEL(7, q)
#define B_INNER                                                                                    \
    PIXEL(8, q + step)                                                                             \
    PIXEL(9, q + 2 * step)                                                                         \
    PIXEL(10, q + step3) PIXEL(11, q + 4 * step) PIXEL(12, q + step5)
#define B_LAST PIXEL(13, q + 2 * step3)

/* One run of input bytes: `pixels` of the tile take part. */
#define RUN(pixels)                                                                                \
    for (int k = 0; k < t->tap_quads; k++) {                                                       \
        const __m512i w0 = _mm512_load_si512(weight), w1 = _mm512_load_si512(weight + 64);         \
        weight += 4 * NQ_BLOCK;                                                                    \
        pixels;                                                                                    \
        p += 4;                                                                                    \
        q += 4;                                                                                    \
    }

/* Two pixels to bytes: 32 channels each, or 16. */
#define A(i) requantize(a##i, c, 0)
#define B(i) requantize(b##i, c, 16)
#define OUTPUT(convert, i, j, one, two)                                                            \
    if (wide)                                                                                      \
        store_wide(convert((__m512[]){A(i), B(i), A(j), B(j)}, &to), one, two, channels);          \
    else                                                                                           \
        store_narrow(convert((__m512[]){A(i), A(j), A(i), A(j)}, &to), one, two);
#define OUTPUTS(convert)                                                                           \
    if (groups == 1) {                                                                             \
        OUTPUT(convert, 0, 1, one, one + pitch)                                                    \
        OUTPUT(convert, 2, 3, one + 2 * pitch, one + 3 * pitch)                                    \
        OUTPUT(convert, 4, 5, one + 4 * pitch, one + 5 * pitch)                                    \
        OUTPUT(convert, 6, 6, one + 6 * pitch, one + 6 * pitch)                                    \
    } else {                                                                                       \
        OUTPUT(convert, 0, 7, one, two)                                                            \
        OUTPUT(convert, 1, 8, one + pitch, two + pitch)                                            \
        OUTPUT(convert, 2, 9, one + 2 * pitch, two + 2 * pitch)                                    \
        OUTPUT(convert, 3, 10, one + 3 * pitch, two + 3 * pitch)                                   \
        OUTPUT(convert, 4, 11, one + 4 * pitch, two + 4 * pitch)                                   \
        OUTPUT(convert, 5, 12, one + 5 * pitch, two + 5 * pitch)                                   \
        OUTPUT(convert, 6, 13, one + 6 * pitch, two + 6 * pitch)                                   \
    }

static inline __m512 requantize(__m512i acc, const nq_dense_block *c, int first)
{
    __m512 bias = _mm512_load_ps(c->bias + first), factor = _mm512_load_ps(c->bias_factor + first);
    return _mm512_mul_ps(_mm512_fmadd_ps(bias, factor, _mm512_cvtepi32_ps(acc)),
                         _mm512_load_ps(c->multiplier + first));
}

static inline __m512i gather_lanes(__m512i bytes)
{
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}

static inline void store_wide(__m512i bytes, uint8_t *one, uint8_t *two, size_t channels)
{
    bytes = gather_lanes(bytes);
    nq_store_two(one, _mm512_castsi512_si256(bytes), channels);
    nq_store_two(two, _mm512_extracti64x4_epi64(bytes, 1), channels);
}

static inline void store_narrow(__m512i bytes, uint8_t *one, uint8_t *two)
{
    const __m256i both = _mm512_castsi512_si256(gather_lanes(bytes));
    _mm_storeu_si128((__m128i *)one, _mm256_castsi256_si128(both));
    _mm_storeu_si128((__m128i *)two, _mm256_extracti128_si256(both, 1));
}

/* A pixel of up to 32 channels. */
static inline void store_pixel(uint8_t *to, __m256i bytes, int channels)
{
    if (channels > 16)
        nq_store_two(to, bytes, (size_t)channels);
    else
        nq_store_some128(to, _mm256_castsi256_si128(bytes), (size_t)channels);
}

/* From a whole tile, groups of seven pixels by 32 bytes, what is wanted of it. */
static void store_part(const nq_tile *t, const uint8_t *from, int groups)
{
    for (int g = 0; g < groups; g++)
        for (int i = 0; i < t->count[g]; i++) {
            uint8_t *to = t->out[g] + (size_t)i * t->out_pitch;
            const __m256i bytes =
                _mm256_loadu_si256((const __m256i *)(from + (g * NQ_GROUP + i) * NQ_BLOCK));
            store_pixel(to, bytes, t->channels);
        }
}

static inline __attribute__((always_inline)) void run(const nq_tile *t, const int groups,
                                                      const int wide)
{
    const int32_t(*start)[NQ_BLOCK] = t->start->of;
#define DECLARE(i)                                                                                 \
    __m512i a##i = _mm512_load_si512(start[0]), b##i = _mm512_load_si512(start[0] + 16);
    EACH_PIXEL(DECLARE)
#define AT_EDGE(i, k) a##i = _mm512_load_si512(start[k]), b##i = _mm512_load_si512(start[k] + 16)
    if (t->left) {
        AT_EDGE(0, 1);
        if (t->left == 2)
            AT_EDGE(7, 1);
    }
    if (t->right) {
        if (groups == 1 || t->right == 2)
            AT_EDGE(6, 2);
        AT_EDGE(13, 2);
    }
    const ptrdiff_t step = t->step, step3 = 3 * step, step5 = 5 * step;
    const int8_t *weight = t->weight;
    for (int row = 0; row < t->rows; row++)
        for (int tap = 0; tap < t->taps; tap++) {
            const ptrdiff_t at = row * t->row_step + tap * t->tap_step;
            const uint8_t *p = t->in[0] + at, *q = t->in[groups - 1] + at;
            if (groups == 1) {
                if (tap == 0 && t->left)
                    RUN(A_INNER A_LAST)
                else if (tap == t->taps - 1 && t->right)
                    RUN(A_FIRST A_INNER)
                else
                    RUN(A_FIRST A_INNER A_LAST)
            } else if (tap == 0 && t->left) {
                if (t->left == 2)
                    RUN(A_INNER A_LAST B_INNER B_LAST)
                else
                    RUN(A_INNER A_LAST B_FIRST B_INNER B_LAST)
            } else if (tap == t->taps - 1 && t->right) {
                if (t->right == 2)
                    RUN(A_FIRST A_INNER B_FIRST B_INNER)
                else
                    RUN(A_FIRST A_INNER A_LAST B_FIRST B_INNER)
            } else {
                RUN(A_FIRST A_INNER A_LAST B_FIRST B_INNER B_LAST)
            }
        }
    const nq_dense_block *c = t->block;
    const nq_bounds to = nq_bounds_of(&t->to);
    const int whole =
        t->channels >= 16 && t->count[0] == NQ_GROUP && t->count[groups - 1] == NQ_GROUP;
    const size_t channels = whole ? (size_t)t->channels : NQ_BLOCK;
    uint8_t spare[2 * NQ_GROUP * NQ_BLOCK];
    uint8_t *one = whole ? t->out[0] : spare;
    uint8_t *two = whole ? t->out[1] : spare + NQ_GROUP * NQ_BLOCK;
    const size_t pitch = whole ? t->out_pitch : NQ_BLOCK;
    if (c->fits) {
        OUTPUTS(nq_to_bytes_within)
    } else {
        OUTPUTS(nq_to_bytes)
    }
    if (!whole)
        store_part(t, spare, groups);
}

/* Functions of their own, so that each has the registers to itself. */
static __attribute__((noinline)) void run_14x32(const nq_tile *t)
{
    run(t, 2, 1);
}
static __attribute__((noinline)) void run_14x16(const nq_tile *t)
{
    run(t, 2, 0);
}
static __attribute__((noinline)) void run_7x32(const nq_tile *t)
{
    run(t, 1, 1);
}
static __attribute__((noinline)) void run_7x16(const nq_tile *t)
{
    run(t, 1, 0);
}

void nq_tile_run(const nq_tile *t, int groups)
{
    if (groups == 2)
        t->channels > 16 ? run_14x32(t) : run_14x16(t);
    else
        t->channels > 16 ? run_7x32(t) : run_7x16(t);
}

/* Memory feeds it one vector of weights a cycle at best, so it needs no more than four sums a
 * channel to hide the latency. */
void nq_tile_run_pixel(const nq_tile *t)
{
    const int8_t *weight = t->weight;
    const uint8_t *p = t->in[0];
    const int32_t *start = t->start->of[0];
    __m512i a0 = _mm512_load_si512(start), b0 = _mm512_load_si512(start + 16);
    __m512i a1 = _mm512_setzero_si512(), a2 = a1, a3 = a1, b1 = a1, b2 = a1, b3 = a1;
    int k = 0;
#define QUAD(i)                                                                                    \
    {                                                                                              \
        const __m512i x = broadcast_quad(p + 4 * i);                                               \
        DOT(a##i, x, _mm512_load_si512(weight + 128 * i));                                         \
        DOT(b##i, x, _mm512_load_si512(weight + 128 * i + 64));                                    \
    }
    for (; k + 4 <= t->tap_quads; k += 4, p += 16, weight += 4 * 128) {
        QUAD(0) QUAD(1) QUAD(2) QUAD(3)
    }
    for (; k < t->tap_quads; k++, p += 4, weight += 128)
        QUAD(0)
    a0 = _mm512_add_epi32(_mm512_add_epi32(a0, a1), _mm512_add_epi32(a2, a3));
    b0 = _mm512_add_epi32(_mm512_add_epi32(b0, b1), _mm512_add_epi32(b2, b3));
    const nq_dense_block *c = t->block;
    const nq_bounds to = nq_bounds_of(&t->to);
    __m512i bytes = gather_lanes(nq_to_bytes((__m512[]){A(0), B(0), A(0), B(0)}, &to));
    store_pixel(t->out[0], _mm512_castsi512_si256(bytes), t->channels);
}
#endif
