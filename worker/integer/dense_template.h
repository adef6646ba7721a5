/*
 * Dense convolution with 256-bit vectors: a file includes simd256.h, defines NQ_ISA (the functions'
 * last name) and includes this once.
 *
 * The input rows under a stripe of output rows are staged: padding written out and, for vpmaddwd,
 * bytes widened to 16 bits. A window is then kernel_h runs of neighbouring elements, and a tile of
 * six pixels by sixteen channels keeps its sums in registers: every element is broadcast to one
 * pixel's sums with its neighbours (a group of 32 bits), against the weights of that group.
 */
#include "worker/integer/dense.h"

#define JOIN(a, b)  a##_##b
#define NAME(a, b)  JOIN(a, b)
#define FUNCTION(f) NAME(f, NQ_ISA)

#ifdef __AVXVNNI__
typedef uint8_t element;
#else
typedef int16_t element;
#endif

enum {
    GROUP = 4 / sizeof(element), /* elements that are multiplied at once */
    TILE = 6,                    /* pixels */
    BLOCK = 16,                  /* channels */
    STAGE_BYTES = 96 << 10       /* of input at a time: some of the second-level cache */
};

/* Sixteen output channels, in the order of lanes; what the sums start from is -in_zero * sum of
 * weights. */
typedef struct {
    int32_t start[BLOCK];
    float bias[BLOCK], factor[BLOCK], multiplier[BLOCK];
    element weights[]; /* [kernel_h][groups of a run][BLOCK][GROUP] */
} dense_block;

/* Elements of a run, whole groups: kernel_w pixels; weights past the last are 0. */
static size_t run_elements(const nq_window *w)
{
    return ((size_t)(w->kernel_w * w->in_c) + GROUP - 1) / GROUP * GROUP;
}

static size_t block_bytes(const nq_window *w)
{
    return sizeof(dense_block) + (size_t)w->kernel_h * run_elements(w) * BLOCK * sizeof(element);
}

static int block_count(const nq_window *w)
{
    return (w->out_c + BLOCK - 1) / BLOCK;
}

/* Where channel c of `channels` lies: so that packing the two vectors of a pixel puts their halves
 * in order; up to eight channels make do with the first. */
static int lane_of(int c, int channels)
{
    return channels <= BLOCK / 2 ? c : c / 8 * 4 + c / 4 % 2 * 8 + c % 4;
}

/* ---- staging ---- */

static bool is_1x1(const nq_window *w)
{
    return w->kernel_h == 1 && w->kernel_w == 1 && w->pad_h == 0 && w->pad_w == 0;
}

/* Elements of one staged row: of a 1x1 convolution only the pixels that it reads. */
static size_t row_elements(const nq_window *w)
{
    int pixels = is_1x1(w) ? w->out_w : w->in_w + 2 * w->pad_w;
    return (size_t)pixels * (size_t)w->in_c;
}

static int staged_rows(const nq_window *w, int rows)
{
    return is_1x1(w) ? rows : (rows - 1) * w->stride + w->kernel_h;
}

/* Rows of output whose input is staged together. */
static int stripe_rows(const nq_window *w)
{
    int rows = 1;
    while (rows < w->out_h &&
           (size_t)staged_rows(w, rows + 1) * row_elements(w) * sizeof(element) <= STAGE_BYTES)
        rows++;
    return rows;
}

#ifdef __AVXVNNI__
static void put(const uint8_t *in, size_t n, element *to)
{
    memcpy(to, in, n);
}
#else
static void put(const uint8_t *in, size_t n, element *to)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(in + i));
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_cvtepu8_epi16(bytes));
    }
    for (; i < n; i++)
        to[i] = in[i];
}
#endif

static element *pad(const nq_conv *op, size_t pixels, element *to)
{
    size_t n = pixels * (size_t)op->window.in_c;
    for (size_t i = 0; i < n; i++)
        to[i] = (element)op->in_zero;
    return to + n;
}

/* `pixels` of them, every step-th. */
static element *put_pixels(const uint8_t *in, size_t pitch, int pixels, int step, size_t channels,
                           element *to)
{
    if (pitch == channels && step == 1) {
        put(in, (size_t)pixels * channels, to);
        return to + (size_t)pixels * channels;
    }
    for (int x = 0; x < pixels; x++, in += (size_t)step * pitch, to += channels)
        put(in, channels, to);
    return to;
}

/* What output rows y to y + rows read; `in` is at input row in_first. */
static void stage(const nq_conv *op, int y, int rows, int in_first, const uint8_t *in, size_t pitch,
                  element *to)
{
    const nq_window *w = &op->window;
    const size_t row = (size_t)w->in_w * pitch, channels = (size_t)w->in_c;
    const int top = y * w->stride - w->pad_h;
    for (int i = 0; i < staged_rows(w, rows); i++) {
        int from = top + i * (is_1x1(w) ? w->stride : 1);
        const uint8_t *pixels = in + (size_t)(from - in_first) * row;
        if (is_1x1(w)) {
            to = put_pixels(pixels, pitch, w->out_w, w->stride, channels, to);
        } else if (from < 0 || from >= w->in_h) {
            to = pad(op, (size_t)(w->in_w + 2 * w->pad_w), to);
        } else {
            to = pad(op, (size_t)w->pad_w, to);
            to = put_pixels(pixels, pitch, w->in_w, 1, channels, to);
            to = pad(op, (size_t)w->pad_w, to);
        }
    }
    memset(to, 0, GROUP * sizeof *to); /* the last run's last group may end here */
}

/* ---- tiles ---- */

typedef struct {
    const dense_block *block;
    size_t channels; /* of the block that exist */
    const nq_bounds *bounds;
    int rows;             /* of the kernel */
    size_t run, row_step; /* elements of a run, and from one to the next */
    const element *in[TILE];
    uint8_t *out;
    size_t out_pitch;
} dense_tile;

NQ_INLINE nq_vec broadcast(const element *p)
{
    int32_t group;
    memcpy(&group, p, sizeof group);
    return _mm256_set1_epi32(group);
}

/* Two pixels' sums: of each the first vector, and the second if there is one. */
NQ_INLINE void finish(const dense_tile *t, const nq_vec sum[4], bool two_vectors, int pixel,
                      bool two_pixels)
{
    const dense_block *b = t->block;
    nq_float r[4];
    for (int i = 0; i < 4; i++) {
        int from = i % 2 * 8;
        if (i % 2 == 1 && !two_vectors) {
            r[i] = _mm256_permute2f128_ps(r[i - 1], r[i - 1], 1);
            continue;
        }
        r[i] = nq_mul(nq_fma(nq_load_floats(b->bias + from), nq_load_floats(b->factor + from),
                             nq_to_float(sum[i])),
                      nq_load_floats(b->multiplier + from));
    }
    nq_vec bytes = _mm256_permute4x64_epi64(nq_to_bytes(r, t->bounds), 0xD8);
    uint8_t *out = t->out + (size_t)pixel * t->out_pitch;
    nq_store_some128(out, _mm256_castsi256_si128(bytes), t->channels);
    if (two_pixels)
        nq_store_some128(out + t->out_pitch, _mm256_extracti128_si256(bytes, 1), t->channels);
}

/* n and two_vectors are constants; named sums stay in registers. */
NQ_INLINE void run_tile(const dense_tile *t, const int n, const bool two_vectors)
{
    const element *w = t->block->weights;
    const nq_vec start_a = nq_load_ints(t->block->start),
                 start_b = nq_load_ints(t->block->start + 8);
#define EACH_PIXEL(f) f(0) f(1) f(2) f(3) f(4) f(5)
#define START(i)                                                                                   \
    nq_vec a##i = start_a, b##i = start_b;                                                         \
    const element *p##i = t->in[i < n ? i : 0];
#define MULTIPLY(i)                                                                                \
    if (i < n) {                                                                                   \
        nq_vec x = broadcast(p##i + at);                                                           \
        a##i = nq_multiply_add(a##i, x, weight_a);                                                 \
        if (two_vectors)                                                                           \
            b##i = nq_multiply_add(b##i, x, weight_b);                                             \
    }
#define FINISH(i, j)                                                                               \
    if (i < n)                                                                                     \
        finish(t, (const nq_vec[]){a##i, b##i, a##j, b##j}, two_vectors, i, j < n);
    EACH_PIXEL(START)
    for (int ky = 0; ky < t->rows; ky++) {
        const size_t first = (size_t)ky * t->row_step, end = first + t->run;
        for (size_t at = first; at < end; at += GROUP, w += BLOCK * GROUP) {
            const nq_vec *weight = (const nq_vec *)w;
            const nq_vec weight_a = weight[0], weight_b = weight[1];
            EACH_PIXEL(MULTIPLY)
        }
    }
    FINISH(0, 1)
    FINISH(2, 3)
    FINISH(4, 5)
#undef EACH_PIXEL
#undef START
#undef MULTIPLY
#undef FINISH
}

#define TILES(f) f(1) f(2) f(3) f(4) f(5) f(6)
#define DEFINE_TILE(n)                                                                             \
    static void run_tile_##n(const dense_tile *t)                                                  \
    {                                                                                              \
        run_tile(t, n, true);                                                                      \
    }                                                                                              \
    static void run_half_tile_##n(const dense_tile *t)                                             \
    {                                                                                              \
        run_tile(t, n, false);                                                                     \
    }
TILES(DEFINE_TILE)

#define NAME_TILE(n) {run_half_tile_##n, run_tile_##n},
static void (*const run_tiles[TILE][2])(const dense_tile *t) = {TILES(NAME_TILE)};

/* ---- the functions of nq_conv_kernel ---- */

void FUNCTION(nq_dense_size)(const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    size_t staged = (size_t)staged_rows(w, stripe_rows(w)) * row_elements(w) + GROUP;
    *packed = (size_t)block_count(w) * block_bytes(w);
    *scratch = (staged * sizeof(element) + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

void FUNCTION(nq_dense_pack)(const nq_conv *op, const int8_t *weight, void *packed)
{
    const nq_window *w = &op->window;
    const size_t run = (size_t)(w->kernel_w * w->in_c), padded = run_elements(w);
    memset(packed, 0, (size_t)block_count(w) * block_bytes(w));
    for (int c = 0; c < w->out_c; c++) {
        dense_block *b = (dense_block *)((uint8_t *)packed + (size_t)(c / BLOCK) * block_bytes(w));
        const int lane = lane_of(c % BLOCK, w->out_c - c / BLOCK * BLOCK);
        int32_t sum = 0;
        for (int ky = 0; ky < w->kernel_h; ky++)
            for (size_t i = 0; i < run; i++) {
                size_t at = (size_t)ky * padded + i, group = at / GROUP;
                b->weights[(group * BLOCK + (size_t)lane) * GROUP + at % GROUP] = (element)*weight;
                sum += *weight++;
            }
        b->start[lane] = -op->in_zero * sum;
        b->bias[lane] = op->bias[c];
        b->factor[lane] = op->bias_factor[c];
        b->multiplier[lane] = op->multiplier[c];
    }
}

/* All channels of `rows` rows whose input is staged: block by block, whose weights stay near. */
static void run_stripe(const nq_conv *op, const void *packed, const nq_bounds *bounds, int rows,
                       const element *staged, uint8_t *out, size_t out_pitch)
{
    const nq_window *w = &op->window;
    const size_t step_x = (size_t)((is_1x1(w) ? 1 : w->stride) * w->in_c);
    const size_t step_y = row_elements(w) * (size_t)(is_1x1(w) ? 1 : w->stride);
    const int pixels = rows * w->out_w, tiles = (pixels + TILE - 1) / TILE;
    dense_tile t = {.bounds = bounds,
                    .rows = w->kernel_h,
                    .run = run_elements(w),
                    .row_step = row_elements(w),
                    .out_pitch = out_pitch};
    for (int b = 0; b < block_count(w); b++) {
        const int channels = w->out_c - b * BLOCK;
        t.block = (const void *)((const uint8_t *)packed + (size_t)b * block_bytes(w));
        t.channels = channels < BLOCK ? (size_t)channels : BLOCK;
        t.out = out + b * BLOCK;
        for (int i = 0, x = 0, y = 0; i < tiles; i++) {
            int n = pixels / tiles + (i < pixels % tiles); /* all about as large */
            for (int p = 0; p < n; p++) {
                t.in[p] = staged + (size_t)y * step_y + (size_t)x * step_x;
                if (++x == w->out_w)
                    x = 0, y++;
            }
            run_tiles[n - 1][channels > BLOCK / 2](&t);
            t.out += (size_t)n * out_pitch;
        }
    }
}

void FUNCTION(nq_dense_run)(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                            size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const nq_bounds bounds = nq_bounds_of(&op->out);
    if (nq_rows_images(w, rows) > 1 && !(is_1x1(w) && w->stride == 1)) {
        nq_conv_run_each(FUNCTION(nq_dense_run), op, packed, rows, in, in_pitch, out, out_pitch,
                         scratch);
        return;
    }
    const int in_first = nq_rows_read(w, rows).first, end = rows.first + rows.count;
    const int most = stripe_rows(w);
    for (int y = rows.first; y < end; y += most) {
        int n = end - y < most ? end - y : most;
        stage(op, y, n, in_first, in, in_pitch, scratch);
        run_stripe(op, packed, &bounds, n, scratch, out, out_pitch);
        out += (size_t)(n * w->out_w) * out_pitch;
    }
}
