/* Tables for AVX-512 VBMI, which looks up 128 bytes at once. */
#ifdef __AVX512VBMI__
#include "worker/integer/simd512.h"

#define NQ_ISA avx512vbmi
#include "worker/integer/lookup_template.h"

/* Of a vector's 64 bytes, every third from `first` on. */
static inline __mmask64 every_third(int first)
{
    return (__mmask64)0x9249249249249249u << first;
}

/* `green`, `blue`: where the first of them are. */
static inline nq_vec input_block(const nq_table table[3], nq_vec v, int green, int blue)
{
    nq_vec out = nq_table_at(&table[0], v);
    out = _mm512_mask_mov_epi8(out, every_third(green), nq_table_at(&table[1], v));
    return _mm512_mask_mov_epi8(out, every_third(blue), nq_table_at(&table[2], v));
}

/* A vector holds 21 pixels and a third. */
void nq_input_avx512vbmi(const uint8_t bytes[3][256], const uint8_t *crop, uint8_t *out,
                         size_t pixels)
{
    nq_table table[3];
    for (int c = 0; c < 3; c++)
        nq_table_load(bytes[c], &table[c]);
    size_t n = 3 * pixels, i = 0;
    for (; n - i >= 3 * NQ_LANES; i += 3 * NQ_LANES) {
        const uint8_t *in = crop + i;
        nq_store(out + i, input_block(table, nq_load(in), 1, 2));
        nq_store(out + i + NQ_LANES, input_block(table, nq_load(in + NQ_LANES), 0, 1));
        nq_store(out + i + 2 * NQ_LANES, input_block(table, nq_load(in + 2 * NQ_LANES), 2, 0));
    }
    for (int first = 0; i < n; i += NQ_LANES, first += NQ_LANES % 3) {
        int green = (4 - first) % 3, blue = (5 - first) % 3;
        nq_vec v = nq_block_load(crop + i, n - i);
        nq_block_store(out + i, input_block(table, v, green, blue), n - i);
    }
}
#endif
