#ifdef __AMX_INT8__
#include "worker/integer/dense_tile_amx.h"
#include "worker/integer/simd512.h"

/* Tile registers: sums of two tiles of positions by two of channels, then positions, channels. The
 * intrinsics are macros that want literal numbers. */
#define SUMS_00     0
#define SUMS_01     1
#define SUMS_10     2
#define SUMS_11     3
#define POSITIONS_0 4
#define POSITIONS_1 5
#define CHANNELS_0  6
#define CHANNELS_1  7

enum {
    SUMS_STEP = sizeof(int32_t[NQ_BLOCK]), /* from a position's sums to the next one's */
    CHANNELS_STEP = 4 * NQ_BLOCK           /* from four bytes' weights to the next four's */
};

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;

void nq_tiles_configure(const nq_tile_input *input)
{
    tile_config c = {.palette = 1};
    for (int i = SUMS_00; i <= CHANNELS_1; i++) {
        c.bytes[i] = NQ_TILE_BYTES;
        c.rows[i] = NQ_TILE;
    }
    c.bytes[POSITIONS_0] = c.bytes[POSITIONS_1] = (uint16_t)input->chunk_bytes;
    c.rows[CHANNELS_0] = c.rows[CHANNELS_1] = (uint8_t)(input->chunk_bytes / 4);
    nq_tiles_written();
    _tile_loadconfig(&c);
}

void nq_tiles_release(void)
{
    _tile_release();
}

/* ---- requantization ---- */

/* What a block's sums become, in registers: two vectors of channels. */
typedef struct {
    __m512 bias[2], bias_factor[2], multiplier[2];
    nq_bounds to;
    int channels;
} finisher;

NQ_INLINE finisher finisher_of(const nq_tile_channels *channels, const nq_output *to)
{
    const nq_dense_block *b = channels->block;
    finisher f = {.to = nq_bounds_of(to), .channels = channels->channels};
    for (int i = 0; i < 2; i++) {
        f.bias[i] = _mm512_load_ps(b->bias + NQ_TILE * i);
        f.bias_factor[i] = _mm512_load_ps(b->bias_factor + NQ_TILE * i);
        f.multiplier[i] = _mm512_load_ps(b->multiplier + NQ_TILE * i);
    }
    return f;
}

NQ_INLINE __m512 scale(const finisher *f, const int32_t *sums, int i)
{
    __m512 acc = _mm512_cvtepi32_ps(_mm512_load_si512(sums + NQ_TILE * i));
    return _mm512_mul_ps(_mm512_fmadd_ps(f->bias[i], f->bias_factor[i], acc), f->multiplier[i]);
}

NQ_INLINE __m512i to_bytes(const finisher *f, const __m512 r[4], bool fits)
{
    __m512i bytes = fits ? nq_to_bytes_within(r, &f->to) : nq_to_bytes(r, &f->to);
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}

/* Two pixels of more than 16 channels. */
NQ_INLINE void finish_two(const finisher *f, const int32_t *const sums[2], uint8_t *const out[2],
                          bool fits)
{
    const __m512i bytes = to_bytes(f,
                                   (__m512[]){scale(f, sums[0], 0), scale(f, sums[0], 1),
                                              scale(f, sums[1], 0), scale(f, sums[1], 1)},
                                   fits);
    nq_store_two(out[0], _mm512_castsi512_si256(bytes), (size_t)f->channels);
    nq_store_two(out[1], _mm512_extracti64x4_epi64(bytes, 1), (size_t)f->channels);
}

/* Four pixels of up to 16 channels. */
NQ_INLINE void finish_four(const finisher *f, const int32_t *const sums[4], uint8_t *const out[4],
                           bool fits)
{
    const __m512i bytes = to_bytes(f,
                                   (__m512[]){scale(f, sums[0], 0), scale(f, sums[1], 0),
                                              scale(f, sums[2], 0), scale(f, sums[3], 0)},
                                   fits);
    const __mmask16 kept = (__mmask16)((1u << f->channels) - 1);
    _mm_mask_storeu_epi8(out[0], kept, _mm512_castsi512_si128(bytes));
    _mm_mask_storeu_epi8(out[1], kept, _mm512_extracti32x4_epi32(bytes, 1));
    _mm_mask_storeu_epi8(out[2], kept, _mm512_extracti32x4_epi32(bytes, 2));
    _mm_mask_storeu_epi8(out[3], kept, _mm512_extracti32x4_epi32(bytes, 3));
}

NQ_INLINE void finish_kept(const finisher *f, const nq_tile_result *r, int i, bool fits)
{
    const nq_tile_pixels *p = r->pixels;
    finish_two(f, (const int32_t *[]){r->sums->of[p->position[i]], r->sums->of[p->position[i + 1]]},
               &p->out[i], fits);
}

NQ_INLINE void finish_kept_four(const finisher *f, const nq_tile_result *r, int i, bool fits)
{
    const nq_tile_pixels *p = r->pixels;
    finish_four(f,
                (const int32_t *[]){r->sums->of[p->position[i]], r->sums->of[p->position[i + 1]],
                                    r->sums->of[p->position[i + 2]],
                                    r->sums->of[p->position[i + 3]]},
                &p->out[i], fits);
}

void nq_tiles_requantize(const nq_tile_result *r, const nq_output *to)
{
    const finisher f = finisher_of(&r->channels, to);
    const int count = r->pixels->count;
    if (f.channels <= NQ_TILE)
        for (int i = 0; i < count; i += 4)
            finish_kept_four(&f, r, i, r->channels.block->fits);
    else if (r->channels.block->fits)
        for (int i = 0; i < count; i += 2)
            finish_kept(&f, r, i, true);
    else
        for (int i = 0; i < count; i += 2)
            finish_kept(&f, r, i, false);
}

int nq_tiles_requantize_all(const nq_tile_sums *sums, const nq_tile_channels *channels, int count,
                            uint8_t *out, size_t pitch, const nq_output *to)
{
    if (!channels->block->fits)
        return 0;
    const finisher f = finisher_of(channels, to);
    const int32_t(*sum)[NQ_BLOCK] = sums->of;
    int i = 0;
    if (f.channels <= NQ_TILE)
        for (; i + 4 <= count; i += 4, sum += 4, out += 4 * pitch)
            finish_four(&f, (const int32_t *[]){sum[0], sum[1], sum[2], sum[3]},
                        (uint8_t *[]){out, out + pitch, out + 2 * pitch, out + 3 * pitch}, true);
    else
        for (; i + 2 <= count; i += 2, sum += 2, out += 2 * pitch)
            finish_two(&f, (const int32_t *[]){sum[0], sum[1]}, (uint8_t *[]){out, out + pitch},
                       true);
    return i;
}

/* ---- multiplication ---- */

/* Pairs of pixels of the result before, spread evenly over the slots between tile instructions:
 * those take long, and the CPU looks only a few hundred instructions ahead. */
typedef struct {
    finisher f;
    const nq_tile_result *result;
    int pairs, slots, credit, next;
} meanwhile;

NQ_INLINE void slot(meanwhile *m)
{
    m->credit += m->pairs;
    for (; m->credit >= m->slots; m->credit -= m->slots, m->next += 2)
        finish_kept(&m->f, m->result, m->next, true);
}

NQ_INLINE void multiply(const nq_tile_input *input, const nq_tile_channels *channels,
                        const uint8_t *const in[2], nq_tile_sums *sums, meanwhile *m,
                        const int wide, const int two)
{
    const int32_t *start = channels->block->whole.of[0];
    const int8_t *weight = channels->weight;
    const ptrdiff_t step = input->step;
    const ptrdiff_t weight_bytes = input->chunk_bytes * NQ_BLOCK;
    /* a step of 0: all positions start alike */
    _tile_loadd(SUMS_00, start, 0);
    if (wide)
        _tile_loadd(SUMS_01, start + NQ_TILE, 0);
    if (two)
        _tile_loadd(SUMS_10, start, 0);
    if (wide && two)
        _tile_loadd(SUMS_11, start + NQ_TILE, 0);
    for (int i = 0; i < input->chunks; i++, weight += weight_bytes) {
        const ptrdiff_t at = input->offset[i];
        _tile_loadd(CHANNELS_0, weight, CHANNELS_STEP);
        _tile_loadd(POSITIONS_0, in[0] + at, step);
        _tile_dpbusd(SUMS_00, POSITIONS_0, CHANNELS_0);
        slot(m);
        if (wide) {
            _tile_loadd(CHANNELS_1, weight + NQ_TILE_BYTES, CHANNELS_STEP);
            _tile_dpbusd(SUMS_01, POSITIONS_0, CHANNELS_1);
        }
        slot(m);
        if (two) {
            _tile_loadd(POSITIONS_1, in[1] + at, step);
            _tile_dpbusd(SUMS_10, POSITIONS_1, CHANNELS_0);
        }
        slot(m);
        if (wide && two)
            _tile_dpbusd(SUMS_11, POSITIONS_1, CHANNELS_1);
        slot(m);
    }
    _tile_stored(SUMS_00, sums->of, SUMS_STEP);
    slot(m);
    if (wide)
        _tile_stored(SUMS_01, sums->of[0] + NQ_TILE, SUMS_STEP);
    slot(m);
    if (two)
        _tile_stored(SUMS_10, sums->of[NQ_TILE], SUMS_STEP);
    slot(m);
    if (wide && two)
        _tile_stored(SUMS_11, sums->of[NQ_TILE] + NQ_TILE, SUMS_STEP);
    slot(m);
}

void nq_tiles_multiply(const nq_tile_input *input, const nq_tile_channels *channels,
                       const uint8_t *const in[2], nq_tile_sums *sums, const nq_tile_result *before,
                       const nq_output *to)
{
    const int wide = channels->channels > NQ_TILE;
    meanwhile m = {.slots = 4 * input->chunks + 4};
    if (before && before->channels.block->fits && before->channels.channels > NQ_TILE) {
        m.f = finisher_of(&before->channels, to);
        m.result = before;
        m.pairs = (before->pixels->count + 1) / 2;
    } else if (before) {
        nq_tiles_requantize(before, to);
    }
    if (wide && in[1])
        multiply(input, channels, in, sums, &m, 1, 1);
    else if (wide)
        multiply(input, channels, in, sums, &m, 1, 0);
    else
        multiply(input, channels, in, sums, &m, 0, in[1] != NULL);
}

/* Two sets of sums in turn, so that one is stored while the other is multiplied. */
#define ONCE(one, two, positions, tile)                                                            \
    _tile_loadd(one, start, 0);                                                                    \
    _tile_loadd(two, start + NQ_TILE, 0);                                                          \
    _tile_loadd(positions, in + (tile)*NQ_TILE * step, step);                                      \
    _tile_dpbusd(one, positions, CHANNELS_0);                                                      \
    _tile_dpbusd(two, positions, CHANNELS_1)
#define STORE(one, two, tile)                                                                      \
    _tile_stored(one, sum[(tile)*NQ_TILE], SUMS_STEP);                                             \
    _tile_stored(two, sum[(tile)*NQ_TILE] + NQ_TILE, SUMS_STEP)

void nq_tiles_multiply_once(const nq_tile_input *input, const nq_tile_channels *channels,
                            const uint8_t *in, int tiles, nq_tile_sums *sums)
{
    const int32_t *start = channels->block->whole.of[0];
    const ptrdiff_t step = input->step;
    int32_t(*sum)[NQ_BLOCK] = sums->of;
    _tile_loadd(CHANNELS_0, channels->weight, CHANNELS_STEP);
    _tile_loadd(CHANNELS_1, channels->weight + NQ_TILE_BYTES, CHANNELS_STEP);
    ONCE(SUMS_00, SUMS_01, POSITIONS_0, 0);
    int i = 0; /* the tile whose sums are in registers */
    for (; i + 2 < tiles; i += 2) {
        ONCE(SUMS_10, SUMS_11, POSITIONS_1, i + 1);
        STORE(SUMS_00, SUMS_01, i);
        ONCE(SUMS_00, SUMS_01, POSITIONS_0, i + 2);
        STORE(SUMS_10, SUMS_11, i + 1);
    }
    if (i + 1 < tiles) {
        ONCE(SUMS_10, SUMS_11, POSITIONS_1, i + 1);
        STORE(SUMS_10, SUMS_11, i + 1);
    }
    STORE(SUMS_00, SUMS_01, i);
}
#endif
