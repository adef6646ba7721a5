/*
 * Looking up bytes in tables: a file includes simd256.h or simd512.h, defines NQ_ISA (the
 * functions' last name) and includes this once.
 */
#include "worker/integer/blocks.h"
#include "worker/integer/elementwise.h"

#define JOIN(a, b)  a##_##b
#define NAME(a, b)  JOIN(a, b)
#define FUNCTION(f) NAME(f, NQ_ISA)

/* Where the parameters of a concatenation's inputs are the output's, tables change nothing. */
static bool changes_nothing(const uint8_t table[256])
{
    for (int i = 0; i < 256; i++)
        if (table[i] != i)
            return false;
    return true;
}

static void copy(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch, size_t pixels,
                 size_t n)
{
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (size_t i = 0; i < n; i = nq_block_next(i, n))
            nq_block_store(out + i, nq_block_load(in + i, n), n);
}

void FUNCTION(nq_lookup)(const uint8_t bytes[256], const uint8_t *in, size_t in_pitch, uint8_t *out,
                         size_t out_pitch, size_t pixels, int channels)
{
    size_t n = (size_t)channels;
    nq_join_pixels(in_pitch == n && out_pitch == n, &pixels, &n);
    if (changes_nothing(bytes)) {
        copy(in, in_pitch, out, out_pitch, pixels, n);
        return;
    }
    nq_table table;
    nq_table_load(bytes, &table);
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (size_t i = 0; i < n; i = nq_block_next(i, n))
            nq_block_store(out + i, nq_table_at(&table, nq_block_load(in + i, n)), n);
}

/* n bytes of a and b in turn; a NULL table changes nothing. */
NQ_INLINE void interleave_pixel(const nq_table *a_table, const nq_table *b_table, const uint8_t *a,
                                const uint8_t *b, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i = nq_block_next(i, n)) {
        nq_vec x = nq_block_load(a + i, n), y = nq_block_load(b + i, n);
        x = a_table ? nq_table_at(a_table, x) : x;
        y = b_table ? nq_table_at(b_table, y) : y;
        nq_block_store_zipped(out + 2 * i, x, y, n);
    }
}

void FUNCTION(nq_interleave)(const uint8_t bytes[2][256], const uint8_t *a, size_t a_pitch,
                             const uint8_t *b, size_t b_pitch, uint8_t *out, size_t out_pitch,
                             size_t pixels, int channels)
{
    const bool a_same = changes_nothing(bytes[0]), b_same = changes_nothing(bytes[1]);
    const size_t n = (size_t)channels;
    nq_table table[2];
    nq_table_load(bytes[0], &table[0]);
    nq_table_load(bytes[1], &table[1]);
    for (size_t p = 0; p < pixels; p++, a += a_pitch, b += b_pitch, out += out_pitch) {
        if (a_same && b_same)
            interleave_pixel(NULL, NULL, a, b, out, n);
        else if (a_same)
            interleave_pixel(NULL, &table[1], a, b, out, n);
        else if (b_same)
            interleave_pixel(&table[0], NULL, a, b, out, n);
        else
            interleave_pixel(&table[0], &table[1], a, b, out, n);
    }
}
