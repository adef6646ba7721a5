/*
 * The resize for AVX2. A weight of 23 bits is split, w = high * 2^11 + low, so that vpmaddwd can
 * multiply pairs of taps by 16-bit halves; the sums of low and high products are exact, and so is
 * low + high * 2^11, which is the sum in plain C.
 */
#include "worker/imagenet/resize_kernels.h"

#include <immintrin.h>
#include <string.h>

#define LOW_BITS 11
#define LOW(w)   ((int16_t)((w) & ((1 << LOW_BITS) - 1)))
#define HIGH(w)  ((int16_t)((w) >> LOW_BITS))
#define BLOCK    2 /* outputs of a row: one in each half of a register */
#define TAPS     4
#define CHANNELS 3

/* low and high of taps 0, 1 and of taps 2, 3; of each two outputs, each weight for all channels. */
typedef struct {
    int16_t low01[16], high01[16], low23[16], high23[16];
} row_weights;

/* low and high of two rows. */
typedef struct {
    int16_t low[2], high[2];
} column_weights;

static bool supported(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Two weights side by side, for all channels of one output. */
static void pack_pair(int32_t first, int32_t second, int16_t *low, int16_t *high)
{
    for (int c = 0; c < CHANNELS; c++) {
        low[2 * c] = LOW(first);
        low[2 * c + 1] = LOW(second);
        high[2 * c] = HIGH(first);
        high[2 * c + 1] = HIGH(second);
    }
}

static void pack_row(const nq_taps *taps, int i, const int *first, void *group)
{
    row_weights *to = group;
    memset(to, 0, sizeof *to);
    for (int n = 0; n < BLOCK; n++) {
        int32_t w[TAPS];
        for (int t = 0; t < TAPS; t++)
            w[t] = nq_taps_weight(taps, i + n, first[n] + t);
        pack_pair(w[0], w[1], to->low01 + 8 * n, to->high01 + 8 * n);
        pack_pair(w[2], w[3], to->low23 + 8 * n, to->high23 + 8 * n);
    }
}

static void pack_column(const nq_taps *taps, int i, int first, void *group)
{
    column_weights *to = group;
    for (int t = 0; t < 2; t++) {
        int32_t w = nq_taps_weight(taps, i, first + t);
        to->low[t] = LOW(w);
        to->high[t] = HIGH(w);
    }
}

static __m256i whole(__m256i low, __m256i high)
{
    return _mm256_srai_epi32(_mm256_add_epi32(low, _mm256_slli_epi32(high, LOW_BITS)),
                             NQ_RESIZE_BITS);
}

static __m128i load_pixels(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

static __m256i pairs(__m256i values, const int16_t *weights)
{
    return _mm256_madd_epi16(values, _mm256_load_si256((const __m256i *)weights));
}

static void row(const nq_taps *taps, const nq_packed_taps *packed, const uint8_t *rgb, uint8_t *out)
{
    const __m256i pick01 = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i pick23 = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    const row_weights *w = packed->weights;
    (void)taps;
    for (int i = 0; i < NQ_RESIZE_OUTPUTS; i += BLOCK, out += BLOCK * CHANNELS) {
        const uint8_t *a = rgb + (size_t)packed->first[i] * CHANNELS;
        const uint8_t *b = rgb + (size_t)packed->first[i + 1] * CHANNELS;
        __m256i low = _mm256_set1_epi32(NQ_RESIZE_HALF), high = _mm256_setzero_si256();
        for (int g = 0; g < packed->groups[i]; g++, w++) {
            __m256i in =
                _mm256_inserti128_si256(_mm256_castsi128_si256(load_pixels(a)), load_pixels(b), 1);
            __m256i in01 = _mm256_shuffle_epi8(in, pick01), in23 = _mm256_shuffle_epi8(in, pick23);
            low = _mm256_add_epi32(low,
                                   _mm256_add_epi32(pairs(in01, w->low01), pairs(in23, w->low23)));
            high = _mm256_add_epi32(
                high, _mm256_add_epi32(pairs(in01, w->high01), pairs(in23, w->high23)));
            a += TAPS * CHANNELS;
            b += TAPS * CHANNELS;
        }
        __m256i words = _mm256_packs_epi32(whole(low, high), _mm256_setzero_si256());
        __m256i bytes = _mm256_packus_epi16(words, words);
        int first = _mm256_extract_epi32(bytes, 0), second = _mm256_extract_epi32(bytes, 4);
        memcpy(out, &first, CHANNELS);
        memcpy(out + CHANNELS, &second, CHANNELS);
    }
}

/* Adds two rows' products of 32 columns to the sums of their four quarters. */
static void add_rows(__m256i a, __m256i b, __m256i low_weights, __m256i high_weights,
                     __m256i low[4], __m256i high[4])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i front = _mm256_unpacklo_epi8(a, b), back = _mm256_unpackhi_epi8(a, b);
    __m256i quarters[4] = {_mm256_unpacklo_epi8(front, zero), _mm256_unpackhi_epi8(front, zero),
                           _mm256_unpacklo_epi8(back, zero), _mm256_unpackhi_epi8(back, zero)};
    for (int q = 0; q < 4; q++) {
        low[q] = _mm256_add_epi32(low[q], _mm256_madd_epi16(quarters[q], low_weights));
        high[q] = _mm256_add_epi32(high[q], _mm256_madd_epi16(quarters[q], high_weights));
    }
}

static __m256i load_row(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

static void column(const nq_taps *taps, const nq_packed_taps *packed, int i, const uint8_t *rows,
                   uint8_t *out)
{
    const column_weights *weights = (const column_weights *)packed->weights + packed->start[i];
    (void)taps;
    for (int b = 0; b < NQ_RESIZE_ROW; b += 32) {
        const uint8_t *at = rows + b;
        __m256i low[4], high[4];
        for (int q = 0; q < 4; q++) {
            low[q] = _mm256_set1_epi32(NQ_RESIZE_HALF);
            high[q] = _mm256_setzero_si256();
        }
        for (int g = 0; g < packed->groups[i]; g++, at += 2 * NQ_RESIZE_PITCH) {
            int32_t pair[2];
            memcpy(pair, &weights[g], sizeof pair);
            add_rows(load_row(at), load_row(at + NQ_RESIZE_PITCH), _mm256_set1_epi32(pair[0]),
                     _mm256_set1_epi32(pair[1]), low, high);
        }
        __m256i front = _mm256_packs_epi32(whole(low[0], high[0]), whole(low[1], high[1]));
        __m256i back = _mm256_packs_epi32(whole(low[2], high[2]), whole(low[3], high[3]));
        _mm256_storeu_si256((__m256i *)(out + b), _mm256_packus_epi16(front, back));
    }
}

_Static_assert(NQ_RESIZE_ROW % 32 == 0, "whole registers");

const nq_resize_kernels nq_resize_avx2 = {.name = "avx2",
                                          .supported = supported,
                                          .row_block = BLOCK,
                                          .row_taps = TAPS,
                                          .column_taps = 2,
                                          .row_bytes = sizeof(row_weights),
                                          .column_bytes = sizeof(column_weights),
                                          .pack_row = pack_row,
                                          .pack_column = pack_column,
                                          .row = row,
                                          .column = column};
