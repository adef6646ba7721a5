/*
 * The resize for AVX-512 VNNI. A weight of 23 bits becomes three signed bytes, w = w0 + 2^8 w1 +
 * 2^16 w2, and vpdpbusd multiplies four taps at a time by each; it does not saturate, so the three
 * sums and their total are exact.
 */
#include "worker/imagenet/resize_kernels.h"

#include <immintrin.h>
#include <string.h>

#define BLOCK    4 /* outputs of a row: one in each quarter of a register */
#define TAPS     4
#define CHANNELS 3
#define DIGITS   3

/* Each digit of four taps, of each of four outputs, for all channels. */
typedef struct {
    int8_t digit[DIGITS][BLOCK][CHANNELS + 1][TAPS];
} row_weights;

/* Each digit of four rows. */
typedef struct {
    int8_t digit[DIGITS][TAPS];
} column_weights;

static bool supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

static void split(int32_t weight, int8_t digit[DIGITS])
{
    for (int d = 0; d < DIGITS; d++) {
        digit[d] = (int8_t)(weight & 255);
        weight = (weight - digit[d]) >> 8;
    }
}

static void pack_row(const nq_taps *taps, int i, const int *first, void *group)
{
    row_weights *to = group;
    memset(to, 0, sizeof *to);
    for (int n = 0; n < BLOCK; n++)
        for (int t = 0; t < TAPS; t++) {
            int8_t digit[DIGITS];
            split(nq_taps_weight(taps, i + n, first[n] + t), digit);
            for (int d = 0; d < DIGITS; d++)
                for (int c = 0; c < CHANNELS; c++)
                    to->digit[d][n][c][t] = digit[d];
        }
}

static void pack_column(const nq_taps *taps, int i, int first, void *group)
{
    column_weights *to = group;
    for (int t = 0; t < TAPS; t++) {
        int8_t digit[DIGITS];
        split(nq_taps_weight(taps, i, first + t), digit);
        for (int d = 0; d < DIGITS; d++)
            to->digit[d][t] = digit[d];
    }
}

static __m512i whole(__m512i s0, __m512i s1, __m512i s2)
{
    __m512i sum = _mm512_add_epi32(s0, _mm512_slli_epi32(s1, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_slli_epi32(s2, 16)), NQ_RESIZE_BITS);
}

static __m128i load_pixels(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

static __m512i load_weights(const int8_t *weights)
{
    return _mm512_load_si512((const __m512i *)weights);
}

static void row(const nq_taps *taps, const nq_packed_taps *packed, const uint8_t *rgb, uint8_t *out)
{
    const __m512i pick =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    /* Bytes 0 to 2 of each quarter, side by side. */
    const __m128i gather = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const row_weights *w = packed->weights;
    (void)taps;
    for (int i = 0; i < NQ_RESIZE_OUTPUTS; i += BLOCK, out += BLOCK * CHANNELS) {
        const int *first = packed->first + i;
        __m512i s0 = _mm512_set1_epi32(NQ_RESIZE_HALF), s1 = _mm512_setzero_si512(), s2 = s1;
        for (int g = 0; g < packed->groups[i]; g++, w++) {
            const uint8_t *at = rgb + (size_t)g * TAPS * CHANNELS;
            __m512i in = _mm512_castsi128_si512(load_pixels(at + (size_t)first[0] * CHANNELS));
            in = _mm512_inserti32x4(in, load_pixels(at + (size_t)first[1] * CHANNELS), 1);
            in = _mm512_inserti32x4(in, load_pixels(at + (size_t)first[2] * CHANNELS), 2);
            in = _mm512_inserti32x4(in, load_pixels(at + (size_t)first[3] * CHANNELS), 3);
            in = _mm512_shuffle_epi8(in, pick);
            s0 = _mm512_dpbusd_epi32(s0, in, load_weights(&w->digit[0][0][0][0]));
            s1 = _mm512_dpbusd_epi32(s1, in, load_weights(&w->digit[1][0][0][0]));
            s2 = _mm512_dpbusd_epi32(s2, in, load_weights(&w->digit[2][0][0][0]));
        }
        __m128i bytes = _mm_shuffle_epi8(_mm512_cvtusepi32_epi8(whole(s0, s1, s2)), gather);
        uint8_t twelve[16];
        _mm_storeu_si128((__m128i *)twelve, bytes);
        memcpy(out, twelve, BLOCK * CHANNELS);
    }
}

typedef struct {
    __m512i digit[DIGITS];
} column_sums;

static void add_products(column_sums *s, __m512i in, const __m512i weights[DIGITS])
{
    for (int d = 0; d < DIGITS; d++)
        s->digit[d] = _mm512_dpbusd_epi32(s->digit[d], in, weights[d]);
}

static __m512i load_row(const uint8_t *at, int n)
{
    return _mm512_loadu_si512((const __m512i *)(at + (size_t)n * NQ_RESIZE_PITCH));
}

/* Four rows' products of 64 columns, to the sums of their four quarters. */
static void add_rows(column_sums sums[4], const uint8_t *at, const column_weights *w)
{
    __m512i weights[DIGITS];
    for (int d = 0; d < DIGITS; d++) {
        int32_t four;
        memcpy(&four, w->digit[d], sizeof four);
        weights[d] = _mm512_set1_epi32(four);
    }
    __m512i a = load_row(at, 0), b = load_row(at, 1), c = load_row(at, 2), d = load_row(at, 3);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    add_products(&sums[0], _mm512_unpacklo_epi16(ab, cd), weights);
    add_products(&sums[1], _mm512_unpackhi_epi16(ab, cd), weights);
    ab = _mm512_unpackhi_epi8(a, b);
    cd = _mm512_unpackhi_epi8(c, d);
    add_products(&sums[2], _mm512_unpacklo_epi16(ab, cd), weights);
    add_products(&sums[3], _mm512_unpackhi_epi16(ab, cd), weights);
}

static void column(const nq_taps *taps, const nq_packed_taps *packed, int i, const uint8_t *rows,
                   uint8_t *out)
{
    const column_weights *weights = (const column_weights *)packed->weights + packed->start[i];
    (void)taps;
    for (int b = 0; b < NQ_RESIZE_ROW; b += 64) {
        const uint8_t *at = rows + b;
        column_sums sums[4];
        for (int q = 0; q < 4; q++)
            sums[q] = (column_sums){{_mm512_set1_epi32(NQ_RESIZE_HALF), _mm512_setzero_si512(),
                                     _mm512_setzero_si512()}};
        for (int g = 0; g < packed->groups[i]; g++, at += TAPS * NQ_RESIZE_PITCH)
            add_rows(sums, at, &weights[g]);
        __m512i quarter[4];
        for (int q = 0; q < 4; q++)
            quarter[q] = whole(sums[q].digit[0], sums[q].digit[1], sums[q].digit[2]);
        __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(quarter[0], quarter[1]),
                                            _mm512_packs_epi32(quarter[2], quarter[3]));
        if (b + 64 <= NQ_RESIZE_ROW)
            _mm512_storeu_si512((__m512i *)(out + b), bytes);
        else
            _mm256_storeu_si256((__m256i *)(out + b), _mm512_castsi512_si256(bytes));
    }
}

_Static_assert(NQ_RESIZE_ROW % 64 == 32 && NQ_RESIZE_PITCH % 64 == 0, "whole registers and a half");

const nq_resize_kernels nq_resize_avx512vnni = {.name = "avx512vnni",
                                                .supported = supported,
                                                .row_block = BLOCK,
                                                .row_taps = TAPS,
                                                .column_taps = TAPS,
                                                .row_bytes = sizeof(row_weights),
                                                .column_bytes = sizeof(column_weights),
                                                .pack_row = pack_row,
                                                .pack_column = pack_column,
                                                .row = row,
                                                .column = column};
