/* Tables for AVX-512 VBMI, which looks up 128 bytes at once. */
#ifdef __AVX512VBMI__
#include "worker/integer/simd512.h"

#define NQ_ISA avx512vbmi
#include "worker/integer/lookup_template.h"

/* Of a vector's 64 bytes, those that begin a pixel's channel `c` when the vector begins at channel
 * `first`. */
static __mmask64 channel_mask(int c, int first)
{
    __mmask64 mask = 0;
    for (int i = 0; i < NQ_LANES; i++)
        if ((first + i) % 3 == c)
            mask |= (__mmask64)1 << i;
    return mask;
}

/* `first`: the channel of the block's first byte. */
static inline nq_vec input_block(const nq_table table[3], nq_vec v, int first)
{
    nq_vec red = nq_table_at(&table[0], v), green = nq_table_at(&table[1], v);
    nq_vec blue = nq_table_at(&table[2], v);
    return _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(red, channel_mask(1, first), green),
                                channel_mask(2, first), blue);
}

void nq_input_avx512vbmi(const uint8_t bytes[3][256], const uint8_t *crop, uint8_t *out,
                         size_t pixels)
{
    nq_table table[3];
    for (int c = 0; c < 3; c++)
        nq_table_load(bytes[c], &table[c]);
    size_t n = 3 * pixels, i = 0;
    for (; n - i >= 3 * NQ_LANES; i += 3 * NQ_LANES)
        for (int k = 0; k < 3; k++) { /* a vector holds 21 pixels and a third */
            size_t at = i + (size_t)k * NQ_LANES;
            nq_store(out + at, input_block(table, nq_load(crop + at), k));
        }
    for (int k = 0; i < n; i += NQ_LANES, k++)
        nq_block_store(out + i, input_block(table, nq_block_load(crop + i, n - i), k), n - i);
}
#endif
