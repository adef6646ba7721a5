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

/* What a block's sums become, in registers: two vectors of channels. */
typedef struct {
    __m512 bias[2], bias_factor[2], multiplier[2];
    nq_bounds to;
    __mmask32 kept;
    int whole;
} finisher;

static inline finisher finisher_of(const nq_tile_channels *channels, const nq_output *to)
{
    const nq_dense_block *b = channels->block;
    finisher f = {.to = nq_bounds_of(to), .whole = channels->channels == NQ_BLOCK};
    f.kept = f.whole ? 0xffffffffu : (1u << channels->channels) - 1;
    for (int i = 0; i < 2; i++) {
        f.bias[i] = _mm512_load_ps(b->bias + NQ_TILE * i);
        f.bias_factor[i] = _mm512_load_ps(b->bias_factor + NQ_TILE * i);
        f.multiplier[i] = _mm512_load_ps(b->multiplier + NQ_TILE * i);
    }
    return f;
}

static inline __m512 requantize(const finisher *f, const int32_t *sum, int i)
{
    __m512 acc = _mm512_cvtepi32_ps(_mm512_load_si512(sum + NQ_TILE * i));
    return _mm512_mul_ps(_mm512_fmadd_ps(f->bias[i], f->bias_factor[i], acc), f->multiplier[i]);
}

/* Two pixels, or one twice. */
static inline __attribute__((always_inline)) void finish_pair(const finisher *f,
                                                              const nq_tile_sums *s, int i)
{
    const int j = i + 1 < s->count ? i + 1 : i;
    const int32_t *one = s->sum[s->position[i]], *two = s->sum[s->position[j]];
    __m512i bytes = nq_to_bytes((__m512[]){requantize(f, one, 0), requantize(f, one, 1),
                                           requantize(f, two, 0), requantize(f, two, 1)},
                                &f->to);
    bytes = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
    const __m256i first = _mm512_castsi512_si256(bytes);
    const __m256i second = _mm512_extracti64x4_epi64(bytes, 1);
    if (f->whole) {
        _mm256_storeu_si256((__m256i *)s->out[i], first);
        _mm256_storeu_si256((__m256i *)s->out[j], second);
    } else {
        _mm256_mask_storeu_epi8(s->out[i], f->kept, first);
        _mm256_mask_storeu_epi8(s->out[j], f->kept, second);
    }
}

void nq_tiles_finish(nq_tile_sums *s, const nq_output *to)
{
    if (s->count == 0)
        return;
    const finisher f = finisher_of(&s->channels, to);
    for (int i = 0; i < s->count; i += 2)
        finish_pair(&f, s, i);
    s->count = 0;
}

/* Pixels of the sums before, spread evenly over the slots between tile instructions: those take
 * long, and the CPU looks only a few hundred instructions ahead. */
typedef struct {
    finisher f;
    const nq_tile_sums *sums;
    int pairs, slots, credit, done;
} meanwhile;

static inline __attribute__((always_inline)) void slot(meanwhile *m)
{
    m->credit += m->pairs;
    for (; m->credit >= m->slots; m->credit -= m->slots, m->done += 2)
        finish_pair(&m->f, m->sums, m->done);
}

void nq_tiles_multiply(const nq_tile_input *input, const nq_tile_channels *channels,
                       const uint8_t *const in[2], int tiles, nq_tile_sums *sums,
                       nq_tile_sums *before, const nq_output *to)
{
    meanwhile m = {.f = finisher_of(&before->channels, to),
                   .sums = before,
                   .pairs = (before->count + 1) / 2,
                   .slots = 4 * input->rows * input->chunks + 4};
    const int32_t *start = channels->block->whole.of[0];
    const int8_t *weight = channels->weight;
    const ptrdiff_t step = input->step, channel_step = 4 * NQ_BLOCK;
    const int wide = channels->channels > NQ_TILE, two = tiles == 2;
    /* a step of 0: all positions start alike */
    _tile_loadd(SUMS_00, start, 0);
    _tile_loadd(SUMS_01, start + 16, 0);
    _tile_loadd(SUMS_10, start, 0);
    _tile_loadd(SUMS_11, start + 16, 0);
    for (int row = 0; row < input->rows; row++)
        for (int chunk = 0; chunk < input->chunks; chunk++) {
            const ptrdiff_t at = row * input->row_step + chunk * input->chunk_bytes;
            _tile_loadd(CHANNELS_0, weight, channel_step);
            _tile_loadd(POSITIONS_0, in[0] + at, step);
            _tile_dpbusd(SUMS_00, POSITIONS_0, CHANNELS_0);
            slot(&m);
            if (wide) {
                _tile_loadd(CHANNELS_1, weight + NQ_TILE_BYTES, channel_step);
                _tile_dpbusd(SUMS_01, POSITIONS_0, CHANNELS_1);
            }
            slot(&m);
            if (two) {
                _tile_loadd(POSITIONS_1, in[1] + at, step);
                _tile_dpbusd(SUMS_10, POSITIONS_1, CHANNELS_0);
            }
            slot(&m);
            if (wide && two)
                _tile_dpbusd(SUMS_11, POSITIONS_1, CHANNELS_1);
            slot(&m);
            weight += input->chunk_bytes * NQ_BLOCK;
        }
    _tile_stored(SUMS_00, sums->sum, sizeof sums->sum[0]);
    slot(&m);
    if (wide)
        _tile_stored(SUMS_01, &sums->sum[0][16], sizeof sums->sum[0]);
    slot(&m);
    if (two)
        _tile_stored(SUMS_10, &sums->sum[NQ_TILE], sizeof sums->sum[0]);
    slot(&m);
    if (wide && two)
        _tile_stored(SUMS_11, &sums->sum[NQ_TILE][16], sizeof sums->sum[0]);
    slot(&m);
    sums->channels = *channels;
    before->count = 0;
}
#endif
