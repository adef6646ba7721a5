/*
 * Dense convolution with AMX: tiles of sixteen positions by sixteen channels, 64 bytes of input
 * each. The positions are
 *  - of a 1x1 convolution of stride 1 the pixels, read where they are;
 *  - of a larger kernel of stride 1 the columns of a copy of the input with its padding, line after
 *    line without end, so that only the last tile is not full; lines share their padding, and the
 *    positions on it are computed in vain;
 *  - of other convolutions the pixels, read from a copy of all that is under each one's window.
 */
#ifdef __AMX_INT8__
#include "worker/integer/dense.h"
#include "worker/integer/dense_tile_amx.h"
#include "worker/integer/dense_tile_avx512vnni.h"
#include <immintrin.h>

enum {
    STEP = 2 * NQ_TILE,      /* positions computed together */
    BAND_BYTES = 131072,     /* of input and output that all blocks of channels pass over in turn */
    WEIGHTS_LARGE = 1048576, /* these are better read once than the input */
    GATHER_BYTES = 131072,   /* of windows copied at once */
    COPIED = 32,             /* by one vector */
    SLACK = 2 * NQ_TILE_BYTES /* what tiles and vectors may reach past the end of a copy */
};

typedef enum { PIXELS, LINES, WINDOWS } layout;

static layout layout_of(const nq_window *w)
{
    if (w->kernel_h == 1 && w->kernel_w == 1 && w->stride == 1 && w->pad_h == 0 && w->pad_w == 0)
        return PIXELS;
    if (w->stride == 1 && w->pad_w < w->kernel_w && w->kernel_w * w->in_c >= 48)
        return LINES;
    return WINDOWS;
}

/* The kernel as rows of consecutive bytes: a copied window is a single one. */
static nq_conv shaped(const nq_conv *op)
{
    nq_conv s = *op;
    if (layout_of(&op->window) == WINDOWS) {
        s.window.kernel_w *= s.window.kernel_h;
        s.window.kernel_h = 1;
    }
    return s;
}

/* Chunks of equal length, so that tiles are configured once. */
static nq_tile_input input_of(const nq_window *shaped_window)
{
    const int bytes = shaped_window->kernel_w * shaped_window->in_c;
    nq_tile_input input = {.rows = shaped_window->kernel_h};
    input.chunks = (bytes + NQ_TILE_BYTES - 1) / NQ_TILE_BYTES;
    input.chunk_bytes = ((bytes + input.chunks - 1) / input.chunks + 3) / 4 * 4;
    return input;
}

static int row_quads(const nq_tile_input *input)
{
    return input->chunks * input->chunk_bytes / 4;
}

static size_t line_pixels(const nq_window *w)
{
    return (size_t)(w->in_w + w->pad_w);
}

/* Lines from one image's first to the next's, which share their padding. */
static int image_lines(const nq_window *w)
{
    return w->in_h + w->pad_h;
}

/* A window's bytes in the copy. */
static size_t window_bytes(const nq_tile_input *input)
{
    return (size_t)(input->chunks * input->chunk_bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

/* What windows are copied from: the input, or a copy with its padding, which may be read past the
 * end. Copied by vectors, short runs take what follows them along. */
static bool windows_of_input(const nq_window *w)
{
    return w->pad_h == 0 && w->pad_w == 0 && w->kernel_w == 1 && w->in_c >= COPIED;
}

static int stage_width(const nq_window *w)
{
    return (w->out_w - 1) * w->stride + w->kernel_w;
}

static size_t stage_bytes(const nq_window *w)
{
    const size_t rows = (size_t)((w->out_h - 1) * w->stride + w->kernel_h);
    return rows * (size_t)stage_width(w) * (size_t)w->in_c;
}

static int windows_at_once(const nq_window *w, const nq_tile_input *input)
{
    int n = GATHER_BYTES / (int)window_bytes(input) / STEP * STEP, all = w->out_h * w->out_w;
    all = (all + STEP - 1) / STEP * STEP;
    n = n < STEP ? STEP : n;
    return n < all ? n : all;
}

void nq_dense_size_amx(const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    const nq_conv s = shaped(op);
    const nq_tile_input input = input_of(&s.window);
    *packed = nq_dense_block_bytes(&s.window, row_quads(&input)) * (size_t)nq_dense_blocks(w);
    if (layout_of(w) == LINES)
        *scratch = ((size_t)(op->images > 1 ? op->images : 1) * (size_t)image_lines(w) +
                    (size_t)w->pad_h) *
                       line_pixels(w) * (size_t)w->in_c +
                   (size_t)(STEP + w->kernel_w) * (size_t)w->in_c;
    else if (layout_of(w) == WINDOWS)
        *scratch = (size_t)windows_at_once(w, &input) * window_bytes(&input) + SLACK +
                   (windows_of_input(w) ? 0 : stage_bytes(w));
    else
        *scratch = STEP * window_bytes(&input);
    *scratch = (*scratch + SLACK + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

void nq_dense_pack_amx(const nq_conv *op, const int8_t *weight, void *packed)
{
    const nq_conv s = shaped(op);
    const nq_tile_input input = input_of(&s.window);
    nq_dense_pack(&s, row_quads(&input), weight, packed);
}

/* Positions to be computed: of a line every `pitch` the first `width` are kept, and of lines every
 * `lines` the first `height`. */
typedef struct {
    const nq_conv *op;
    const nq_window *shaped;
    const void *packed;
    nq_tile_input input;
    const uint8_t *in;
    int width, pitch, height, lines, positions;
    uint8_t *out;
    size_t out_pitch;
    nq_tile_sums *sums[3]; /* those to come, and two that wait: read at once, they would not have
                              reached the cache */
} job;

/* How many kept ones are before line y, position x. */
static int kept_before(const job *j, int y, int x)
{
    const int image = y / j->lines, line = y % j->lines;
    if (line >= j->height)
        return (image + 1) * j->height * j->width;
    return (image * j->height + line) * j->width + (x < j->width ? x : j->width);
}

static void keep_pixels(const job *j, int first, int channel, nq_tile_sums *s)
{
    int y = first / j->pitch, x = first % j->pitch, count = 0;
    const int n = j->positions - first < STEP ? j->positions - first : STEP;
    uint8_t *out = j->out + (size_t)kept_before(j, y, x) * j->out_pitch + channel;
    y %= j->lines;
    if (x + n <= j->width && y < j->height) {
        for (int i = 0; i < n; i++) {
            s->out[i] = out + (size_t)i * j->out_pitch;
            s->position[i] = (uint8_t)i;
        }
        s->count = n;
        return;
    }
    for (int i = 0; i < n; i++) {
        s->out[count] = out;
        s->position[count] = (uint8_t)i;
        if (x < j->width && y < j->height) {
            count++;
            out += j->out_pitch;
        }
        if (++x == j->pitch) {
            x = 0;
            y = y + 1 < j->lines ? y + 1 : 0;
        }
    }
    s->count = count;
}

static void run_block(job *j, int block, int first, int end)
{
    const nq_window *w = j->shaped;
    const int quads = row_quads(&j->input);
    const nq_channels which = nq_dense_channels(w, block);
    const nq_dense_block *b = nq_dense_block_at(j->packed, w, quads, block);
    const nq_tile_channels channels = {b, nq_dense_weight(b, w), which.count};
    for (int p = first; p < end; p += STEP) {
        const uint8_t *in = j->in + p * j->input.step;
        nq_tile_sums *sums = j->sums[0], *before = j->sums[2];
        nq_tiles_multiply(&j->input, &channels,
                          (const uint8_t *[2]){in, in + NQ_TILE * j->input.step},
                          end - p > NQ_TILE ? 2 : 1, sums, before, &j->op->out);
        keep_pixels(j, p, which.first, sums);
        j->sums[2] = j->sums[1];
        j->sums[1] = sums;
        j->sums[0] = before;
    }
}

/* All blocks of channels pass over a band of positions while it is in the first cache; large
 * weights pass it once, and so have a single band. */
static void run_positions(job *j)
{
    const nq_window *w = j->shaped;
    const int blocks = nq_dense_blocks(w);
    int band = BAND_BYTES / ((int)j->input.step + w->out_c) / STEP * STEP;
    if ((size_t)blocks * nq_dense_block_bytes(w, row_quads(&j->input)) > WEIGHTS_LARGE)
        band = j->positions;
    band = band < STEP ? STEP : band;
    for (int p = 0; p < j->positions; p += band)
        for (int b = 0; b < blocks; b++)
            run_block(j, b, p, j->positions - p < band ? j->positions : p + band);
    nq_tiles_finish(j->sums[2], &j->op->out);
    nq_tiles_finish(j->sums[1], &j->op->out);
}

static void run_pixel(const job *j, int x, const uint8_t *in)
{
    const nq_window *w = j->shaped;
    const int quads = row_quads(&j->input);
    for (int i = 0; i < nq_dense_blocks(w); i++) {
        const nq_dense_block *b = nq_dense_block_at(j->packed, w, quads, i);
        const nq_channels channels = nq_dense_channels(w, i);
        nq_tile_run_pixel(&(nq_tile){.tap_quads = (w->in_c + 3) / 4,
                                     .block = b,
                                     .weight = nq_dense_weight(b, w),
                                     .start = &b->whole,
                                     .channels = channels.count,
                                     .to = j->op->out,
                                     .in[0] = in,
                                     .out[0] = j->out + (size_t)x * j->out_pitch + channels.first});
    }
}

/* Whole tiles where the pixels are, as far as no tile reads past the last one; copies of the rest.
 * A pixel alone is no work for a tile. */
static void run_pixels(job *j, int pixels, const uint8_t *in, size_t pitch, uint8_t *scratch)
{
    const size_t c = (size_t)j->op->window.in_c, bytes = window_bytes(&j->input);
    const size_t past = (size_t)(4 * row_quads(&j->input)) - c;
    j->in = in;
    j->input.step = (ptrdiff_t)pitch;
    j->positions = (pixels - (int)((past + pitch - 1) / pitch)) / NQ_TILE * NQ_TILE;
    j->width = j->pitch = pixels;
    run_positions(j);
    const int rest = pixels - j->positions;
    uint8_t *to = scratch;
    for (int i = 0; i < rest; i++, to += bytes) {
        memcpy(to, in + (size_t)(j->positions + i) * pitch, c);
        memset(to + c, 0, bytes - c);
    }
    nq_tiles_written();
    if (rest == 1) {
        run_pixel(j, j->positions, scratch);
    } else if (rest > 1) {
        j->in = scratch;
        j->input.step = (ptrdiff_t)bytes;
        j->out += (size_t)j->positions * j->out_pitch;
        j->positions = j->width = j->pitch = rest;
        run_positions(j);
    }
}

/* Lines that share their padding: the columns right of one are those left of the next, the rows
 * below an image those above the next. */
static void run_lines(job *j, nq_rows rows, const uint8_t *in, size_t pitch, uint8_t *scratch)
{
    const nq_window *w = &j->op->window;
    const int images = nq_rows_images(w, rows), count = rows.count / images;
    const nq_rows read = {rows.first - w->pad_h, count - 1 + w->kernel_h};
    const size_t row = line_pixels(w) * (size_t)w->in_c;
    const size_t image = (size_t)image_lines(w) * row;
    uint8_t *to = scratch;
    for (int i = 0; i < images; i++, to += image, in += (size_t)(w->in_h * w->in_w) * pitch)
        nq_dense_stage(j->op, read, in, pitch, (int)line_pixels(w), to, row);
    memset(to - image + (size_t)read.count * row, j->op->in_zero,
           (size_t)w->pad_w * (size_t)w->in_c);
    nq_tiles_written();
    j->in = scratch;
    j->input.step = w->in_c;
    j->input.row_step = (ptrdiff_t)row;
    j->width = w->out_w;
    j->pitch = (int)line_pixels(w);
    j->height = count;
    j->lines = image_lines(w);
    j->positions = ((images - 1) * j->lines + count - 1) * j->pitch + j->width;
    run_positions(j);
}

/* n bytes, or as much more as fills a vector. */
static inline void copy_run(uint8_t *to, const uint8_t *from, int n)
{
    int i = 0;
    for (; i + COPIED <= n; i += COPIED)
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
    if (i < n) {
        i = n < COPIED ? 0 : n - COPIED;
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
    }
}

/* Where windows are copied from: output pixel (y, x) sees rows from y * stride on. */
typedef struct {
    const uint8_t *data;
    size_t row, pixel;
} source;

static void copy_windows(const job *j, const source *from, int first, int n, uint8_t *to)
{
    const nq_window *w = &j->op->window;
    const size_t bytes = window_bytes(&j->input);
    const int run = w->kernel_w * w->in_c;
    int y = first / w->out_w, x = first % w->out_w;
    for (int i = 0; i < n; i++, to += bytes) {
        const uint8_t *in = from->data + (size_t)(y * w->stride) * from->row +
                            (size_t)(x * w->stride) * from->pixel;
        for (int ky = 0; ky < w->kernel_h; ky++)
            copy_run(to + ky * run, in + (size_t)ky * from->row, run);
        if (++x == w->out_w) {
            x = 0;
            y++;
        }
    }
}

static void run_windows(job *j, nq_rows rows, const uint8_t *in, size_t pitch, uint8_t *scratch)
{
    const nq_window *w = &j->op->window;
    const size_t bytes = window_bytes(&j->input);
    const int most = windows_at_once(w, &j->input), all = rows.count * w->out_w;
    source from = {in, (size_t)w->in_w * pitch, pitch};
    if (!windows_of_input(w)) {
        uint8_t *stage = scratch + (size_t)most * bytes + SLACK;
        from = (source){stage, (size_t)stage_width(w) * (size_t)w->in_c, (size_t)w->in_c};
        const nq_rows read = {rows.first * w->stride - w->pad_h,
                              (rows.count - 1) * w->stride + w->kernel_h};
        nq_dense_stage(j->op, read, in, pitch, stage_width(w), stage, from.row);
    }
    uint8_t *const out = j->out;
    for (int first = 0; first < all; first += most) {
        const int n = all - first < most ? all - first : most;
        copy_windows(j, &from, first, n, scratch);
        nq_tiles_written();
        j->in = scratch;
        j->input.step = (ptrdiff_t)bytes;
        j->positions = j->width = j->pitch = n;
        j->out = out + (size_t)first * j->out_pitch;
        run_positions(j);
    }
}

void nq_dense_run_amx(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    if (layout_of(w) == WINDOWS && nq_rows_images(w, rows) > 1) {
        nq_conv_run_each(nq_dense_run_amx, op, packed, rows, in, in_pitch, out, out_pitch, scratch);
        return;
    }
    const nq_conv shape = shaped(op);
    nq_tile_sums sums[3];
    for (int i = 0; i < 3; i++) {
        sums[i].count = 0;
        sums[i].channels.block = packed;
        sums[i].channels.channels = 0;
    }
    job j = {.op = op,
             .shaped = &shape.window,
             .packed = packed,
             .input = input_of(&shape.window),
             .height = 1,
             .lines = 1,
             .out = out,
             .out_pitch = out_pitch,
             .sums = {&sums[0], &sums[1], &sums[2]}};
    nq_tiles_configure(&j.input);
    switch (layout_of(w)) {
    case PIXELS:
        run_pixels(&j, rows.count * w->out_w, in, in_pitch, scratch);
        break;
    case LINES:
        run_lines(&j, rows, in, in_pitch, scratch);
        break;
    case WINDOWS:
        run_windows(&j, rows, in, in_pitch, scratch);
        break;
    }
    nq_tiles_release();
}
#endif
