/* Walking over n bytes a vector at a time: all vectors are full, the last one overlaps the one
 * before it; only fewer bytes than a vector are taken as a part of one. Included after simd256.h or
 * simd512.h.
 *
 *     for (size_t i = 0; i < n; i = nq_block_next(i, n))
 *         nq_block_store(out + i, f(nq_block_load(in + i, n)), n);
 */
#ifndef NQ_INTEGER_BLOCKS_H
#define NQ_INTEGER_BLOCKS_H

NQ_INLINE size_t nq_block_next(size_t i, size_t n)
{
    i += NQ_LANES;
    return i < n && n - i < NQ_LANES ? n - NQ_LANES : i;
}

NQ_INLINE nq_vec nq_block_load(const uint8_t *p, size_t n)
{
    return n >= NQ_LANES ? nq_load(p) : nq_load_part(p, n);
}

NQ_INLINE void nq_block_store(uint8_t *p, nq_vec v, size_t n)
{
    if (n >= NQ_LANES)
        nq_store(p, v);
    else
        nq_store_part(p, v, n);
}

/* The bytes of x and y in turn, blocks of n bytes each. */
NQ_INLINE void nq_block_store_zipped(uint8_t *p, nq_vec x, nq_vec y, size_t n)
{
    nq_vec both[2];
    nq_zip(x, y, both);
    nq_block_store(p, both[0], 2 * n);
    if (2 * n > NQ_LANES)
        nq_block_store(p + NQ_LANES, both[1], 2 * n - NQ_LANES);
}

/* Pixels without gaps between them are one long pixel. */
NQ_INLINE void nq_join_pixels(bool gapless, size_t *pixels, size_t *channels)
{
    if (gapless) {
        *channels *= *pixels;
        *pixels = 1;
    }
}

#endif
