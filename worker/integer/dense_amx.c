/*
 * Dense convolution with AMX: tiles of sixteen positions by sixteen channels, up to 64 bytes of
 * input at a time. The positions are
 *  - of a 1x1 convolution of stride 1 the pixels, read where they are;
 *  - of other convolutions of many channels the columns of a copy of the input, line after line
 *    without end, so that only the last tile is not full. The copy has one plane for each remainder
 *    of row and column by the stride: in a plane neighbouring outputs have neighbouring inputs.
 *    What a line has more than outputs is computed in vain;
 *  - of the rest the pixels of each line, read from a copy of the input with its padding; a tile
 *    takes what lies under a row of the kernel.
 */
#ifdef __AMX_INT8__
#include "worker/integer/dense.h"
#include "worker/integer/dense_tile_amx.h"
#include "worker/integer/dense_tile_avx512vnni.h"
#include <immintrin.h>

enum {
    BAND_BYTES = 65536,      /* of input and output that all blocks of channels pass over in turn */
    WEIGHTS_LARGE = 1048576, /* these are better read once than the input */
    PLANES_CHANNELS = 32,    /* from here on a tap alone is worth a tile */
    COPIED_PIXELS = 256,     /* at a time */
    COPY_BLOCKS = 8,         /* so many blocks of channels pay for a copy that only aligns */
    COPIED = 32,             /* bytes by one vector */
    SLACK = 16 * NQ_TILE_BYTES, /* what tiles and vectors may reach past the end of a copy */
    PHASE = 4                   /* steps that are multiplied, then requantized */
};

typedef enum { PIXELS, PLANES, LINES } layout;

static layout layout_of(const nq_window *w)
{
    if (w->kernel_h == 1 && w->kernel_w == 1 && w->stride == 1 && w->pad_h == 0 && w->pad_w == 0)
        return PIXELS;
    if (w->in_c >= PLANES_CHANNELS && w->pad_h < w->kernel_h && w->pad_w < w->kernel_w)
        return PLANES;
    return LINES;
}

/* The kernel as rows of consecutive bytes of the copy: one for a tap where the columns go to
 * different planes. */
static nq_conv shaped(const nq_conv *op)
{
    nq_conv s = *op;
    nq_window *w = &s.window;
    if (layout_of(w) == PLANES && w->stride > 1) {
        w->kernel_h *= w->kernel_w;
        w->kernel_w = 1;
    }
    return s;
}

/* A row of the kernel as chunks; all of equal length, so that tiles are configured once. */
typedef struct {
    int count, bytes;
} row_chunks;

static row_chunks row_chunks_of(const nq_window *shape)
{
    const int bytes = shape->kernel_w * shape->in_c;
    const int count = (bytes + NQ_TILE_BYTES - 1) / NQ_TILE_BYTES;
    return (row_chunks){count, count > 1 ? NQ_TILE_BYTES : (bytes + 3) / 4 * 4};
}

static int row_quads(const nq_window *shape)
{
    const row_chunks c = row_chunks_of(shape);
    return c.count * c.bytes / 4;
}

static size_t aligned(size_t bytes)
{
    return (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

/* ---- planes ---- */

/* Positions of a line: its outputs and, after them, what the last windows see beyond. With stride 1
 * the padding right of a line is that left of the next. */
static int line_pitch(const nq_window *w)
{
    return w->stride == 1 ? w->in_w + w->pad_w : w->out_w + (w->kernel_w - 1) / w->stride;
}

/* Lines from one image's first to the next one's; with stride 1 they share their padding, too. */
static int image_lines(const nq_window *w)
{
    return w->stride == 1 ? w->in_h + w->pad_h : w->out_h + (w->kernel_h - 1) / w->stride;
}

/* Lines of plane (ky, kx) for so many rows of output of an image. */
static int plane_lines(const nq_window *w, int ky, int rows)
{
    return rows + (w->kernel_h - 1 - ky) / w->stride;
}

/* Some rows of output of an image, or all of several images. */
typedef struct {
    int images, rows;
} extent;

static size_t plane_bytes(const nq_window *w, int ky, extent e)
{
    const int lines = (e.images - 1) * image_lines(w) + plane_lines(w, ky, e.rows);
    return aligned((size_t)(lines * line_pitch(w) + w->pad_w) * (size_t)w->in_c);
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Where plane (ky, kx) begins, or all end. */
static size_t plane_offset(const nq_window *w, int ky, int kx, extent e)
{
    const size_t each = (size_t)least(w->stride, w->kernel_w);
    size_t offset = (size_t)kx * plane_bytes(w, ky, e);
    while (ky > 0)
        offset += each * plane_bytes(w, --ky, e);
    return offset;
}

/* ---- lines ---- */

/* A line's positions; tiles do not go on in the next line. */
static int whole_tiles(int positions)
{
    return (positions + NQ_TILE - 1) / NQ_TILE * NQ_TILE;
}

static size_t stage_row(const nq_window *w)
{
    return (size_t)((whole_tiles(w->out_w) - 1) * w->stride + w->kernel_w) * (size_t)w->in_c;
}

/* ---- pixels ---- */

/* Of the copy of a pixel that no tile may read where it is. */
static size_t pixel_bytes(const nq_window *shape)
{
    return aligned((size_t)row_quads(shape) * 4);
}

/* ---- what a layer needs ---- */

/* Scratch: offsets of all chunks, then the copy. */
static size_t offsets_bytes(const nq_window *shape)
{
    return aligned((size_t)(shape->kernel_h * row_chunks_of(shape).count) * sizeof(ptrdiff_t));
}

void nq_dense_size_amx(const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    const nq_conv s = shaped(op);
    *packed = nq_dense_block_bytes(&s.window, row_quads(&s.window)) * (size_t)nq_dense_blocks(w);
    size_t copy = COPIED_PIXELS * pixel_bytes(&s.window);
    if (layout_of(w) == PLANES)
        copy = plane_offset(w, least(w->stride, w->kernel_h), 0,
                            (extent){op->images > 1 ? op->images : 1, w->out_h}) +
               (size_t)(NQ_STEP * w->in_c);
    else if (layout_of(w) == LINES)
        copy = (size_t)((w->out_h - 1) * w->stride + w->kernel_h) * stage_row(w);
    *scratch = offsets_bytes(&s.window) + aligned(copy + SLACK);
}

void nq_dense_pack_amx(const nq_conv *op, const int8_t *weight, void *packed)
{
    const nq_conv s = shaped(op);
    nq_dense_pack(&s, row_quads(&s.window), weight, packed);
}

/* ---- running over positions ---- */

/* Positions to be computed: of a line every `pitch` the first `width` are kept, and of lines every
 * `lines` the first `height`. */
typedef struct {
    const nq_conv *op;
    const nq_window *shape;
    const void *packed;
    nq_tile_input input;
    const uint8_t *in;
    ptrdiff_t line_step;
    int width, pitch, height, lines, positions;
    uint8_t *out;
    size_t out_pitch;
    nq_tile_sums *sums;     /* [PHASE] */
    nq_tile_pixels *pixels; /* [2] */
} job;

/* How many kept ones are before line y, position x. */
static int kept_before(const job *j, int y, int x)
{
    const int image = y / j->lines, line = y % j->lines;
    if (line >= j->height)
        return (image + 1) * j->height * j->width;
    return (image * j->height + line) * j->width + least(x, j->width);
}

static void keep_pixels(const job *j, int first, int channel, nq_tile_pixels *p)
{
    const int n = least(NQ_STEP, j->positions - first);
    int y = first / j->pitch, x = first % j->pitch, count = 0;
    uint8_t *out = j->out + (size_t)kept_before(j, y, x) * j->out_pitch + channel;
    y %= j->lines;
    if (x + n <= j->width && y < j->height) {
        for (; count < n; count++) {
            p->out[count] = out + (size_t)count * j->out_pitch;
            p->position[count] = (uint8_t)count;
        }
    } else {
        for (int i = 0; i < n; i++) {
            p->out[count] = out;
            p->position[count] = (uint8_t)i;
            if (x < j->width && y < j->height) {
                count++;
                out += j->out_pitch;
            }
            if (++x == j->pitch) {
                x = 0;
                y = y + 1 < j->lines ? y + 1 : 0;
            }
        }
    }
    p->count = count;
    for (; count % 4 && count > 0; count++) {
        p->out[count] = p->out[p->count - 1];
        p->position[count] = p->position[p->count - 1];
    }
}

static int tiles_of(int positions)
{
    return (positions + NQ_TILE - 1) / NQ_TILE;
}

static const uint8_t *position_at(const job *j, int p)
{
    return j->in + p / j->pitch * j->line_step + p % j->pitch * j->input.step;
}

/* One chunk: PHASE steps are multiplied, then requantized. */
static void run_phases(const job *j, const nq_tile_channels *channels, int channel, int first,
                       int end)
{
    for (int p = first; p < end; p += PHASE * NQ_STEP) {
        const int n = least(end - p, PHASE * NQ_STEP);
        nq_tiles_multiply_once(&j->input, channels, j->in + p * j->input.step + j->input.offset[0],
                               tiles_of(n), j->sums);
        int done = 0;
        if (j->width == j->pitch && j->height == j->lines)
            done = nq_tiles_requantize_all(j->sums, channels, n,
                                           j->out + (size_t)p * j->out_pitch + channel,
                                           j->out_pitch, &j->op->out);
        for (int i = done / NQ_STEP * NQ_STEP; done < n && i < n; i += NQ_STEP) {
            keep_pixels(j, p + i, channel, j->pixels);
            nq_tiles_requantize(&(nq_tile_result){&j->sums[i / NQ_STEP], j->pixels, *channels},
                                &j->op->out);
        }
    }
}

/* More: a step is requantized during the next one. */
static void run_steps(const job *j, const nq_tile_channels *channels, int channel, int first,
                      int end)
{
    nq_tile_result before = {.channels = *channels};
    int turn = 0;
    for (int p = first; p < end; p += NQ_STEP, turn ^= 1) {
        const uint8_t *const in[2] = {position_at(j, p),
                                      end - p > NQ_TILE ? position_at(j, p + NQ_TILE) : NULL};
        nq_tiles_multiply(&j->input, channels, in, &j->sums[turn], before.sums ? &before : NULL,
                          &j->op->out);
        keep_pixels(j, p, channel, &j->pixels[turn]);
        before.sums = &j->sums[turn];
        before.pixels = &j->pixels[turn];
    }
    nq_tiles_requantize(&before, &j->op->out);
}

/* All blocks of channels pass over a band of positions while it is in the cache; large weights pass
 * it once, and so have a single band. */
static void run_positions(const job *j)
{
    const nq_window *w = j->shape;
    const int blocks = nq_dense_blocks(w), quads = row_quads(w);
    int band = BAND_BYTES / ((int)j->input.step + w->out_c) / NQ_STEP * NQ_STEP;
    if ((size_t)blocks * nq_dense_block_bytes(w, quads) > WEIGHTS_LARGE)
        band = j->positions;
    band = band < NQ_STEP ? NQ_STEP : band;
    for (int p = 0; p < j->positions; p += band)
        for (int i = 0; i < blocks; i++) {
            const nq_dense_block *b = nq_dense_block_at(j->packed, w, quads, i);
            const nq_channels which = nq_dense_channels(w, i);
            const nq_tile_channels channels = {b, nq_dense_weight(b, w), which.count};
            const int end = least(j->positions, p + band);
            if (j->input.chunks == 1 && j->line_step == j->pitch * j->input.step)
                run_phases(j, &channels, which.first, p, end);
            else
                run_steps(j, &channels, which.first, p, end);
        }
}

/* ---- from the input ---- */

static void run_pixel(const job *j, int x, const uint8_t *in)
{
    const nq_window *w = j->shape;
    for (int i = 0; i < nq_dense_blocks(w); i++) {
        const nq_dense_block *b = nq_dense_block_at(j->packed, w, row_quads(w), i);
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

/* n >= COPIED bytes. */
static inline void copy_run(uint8_t *to, const uint8_t *from, int n)
{
    int i = 0;
    for (; i + COPIED <= n; i += COPIED)
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
    if (i < n) {
        i = n - COPIED;
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
    }
}

/* Copies of pixels, each at the beginning of a cache line. */
static void copy_pixels(const uint8_t *in, size_t pitch, int n, int channels, size_t bytes,
                        uint8_t *to)
{
    for (int i = 0; i < n; i++, in += pitch, to += bytes) {
        if (channels >= COPIED)
            copy_run(to, in, channels);
        else
            memcpy(to, in, (size_t)channels);
    }
}

/* From here on pixels are copied: where reading whole fours of bytes, or whole tiles, would reach
 * past the last one; and all of them where most rows of a tile would cross cache lines, which costs
 * more than a copy that several blocks of channels use. */
static int first_copied(const job *j, int pixels, size_t pitch)
{
    const size_t past = (size_t)row_quads(j->shape) * 4 - (size_t)j->shape->in_c;
    const int safe = pixels - (int)((past + pitch - 1) / pitch);
    const bool crossing = j->input.chunks > 2 && pitch % NQ_TILE_BYTES;
    if (safe < 0 || (crossing && nq_dense_blocks(j->shape) >= COPY_BLOCKS))
        return 0;
    return safe / NQ_TILE * NQ_TILE;
}

static void run_pixels(job *j, int pixels, const uint8_t *in, size_t pitch, uint8_t *scratch)
{
    const size_t bytes = pixel_bytes(j->shape);
    uint8_t *const out = j->out;
    int first = first_copied(j, pixels, pitch);
    j->in = in;
    j->input.step = (ptrdiff_t)pitch;
    j->positions = j->width = j->pitch = first;
    j->line_step = first * j->input.step;
    run_positions(j);
    j->in = scratch;
    j->input.step = (ptrdiff_t)bytes;
    for (int n; first < pixels; first += n) {
        n = least(pixels - first, COPIED_PIXELS);
        copy_pixels(in + (size_t)first * pitch, pitch, n, j->shape->in_c, bytes, scratch);
        nq_tiles_written();
        j->out = out + (size_t)first * j->out_pitch;
        if (n == 1) { /* no work for a tile */
            memset(scratch + j->shape->in_c, 0, bytes - (size_t)j->shape->in_c);
            run_pixel(j, 0, scratch);
            break;
        }
        j->positions = j->width = j->pitch = n;
        j->line_step = n * j->input.step;
        run_positions(j);
    }
}

/* Every stride-th pixel of one input row, or padding where it has none. */
static void copy_line(const nq_conv *op, const uint8_t *row, size_t pitch, int kx, uint8_t *to)
{
    const nq_window *w = &op->window;
    const size_t c = (size_t)w->in_c;
    const int n = line_pitch(w);
    if (w->stride == 1 && pitch == c) { /* then kx = 0 */
        memset(to, op->in_zero, (size_t)w->pad_w * c);
        memcpy(to + (size_t)w->pad_w * c, row, (size_t)w->in_w * c);
        return;
    }
    int j = 0, x = kx - w->pad_w;
    for (; j < n && x < 0; j++, x += w->stride, to += c)
        memset(to, op->in_zero, c);
    for (; j < n && x < w->in_w; j++, x += w->stride, to += c)
        copy_run(to, row + (size_t)x * pitch, (int)c);
    memset(to, op->in_zero, (size_t)(n - j) * c);
}

/* Plane (ky, kx) of the rows of one image's input that these rows of output see. `in` points at
 * input row in_first. */
static void copy_plane(const job *j, nq_rows rows, int in_first, const uint8_t *in, size_t pitch,
                       int ky, int kx, uint8_t *to)
{
    const nq_window *w = &j->op->window;
    const size_t line = (size_t)line_pitch(w) * (size_t)w->in_c, row = (size_t)w->in_w * pitch;
    const int n = plane_lines(w, ky, rows.count);
    for (int r = 0; r < n; r++, to += line) {
        const int y = (rows.first + r) * w->stride - w->pad_h + ky;
        if (y < 0 || y >= w->in_h)
            memset(to, j->op->in_zero, line);
        else
            copy_line(j->op, in + (size_t)(y - in_first) * row, pitch, kx, to);
    }
    memset(to, j->op->in_zero, (size_t)(w->pad_w * w->in_c));
}

static void set_tap_offsets(const nq_window *w, const nq_window *shape, extent e, ptrdiff_t *offset)
{
    const row_chunks chunks = row_chunks_of(shape);
    for (int ky = 0; ky < w->kernel_h; ky++)
        for (int kx = 0; kx < w->kernel_w; kx += shape->kernel_w) {
            const size_t plane = plane_offset(w, ky % w->stride, kx % w->stride, e);
            const int position = ky / w->stride * line_pitch(w) + kx / w->stride;
            for (int i = 0; i < chunks.count; i++)
                *offset++ = (ptrdiff_t)plane + position * w->in_c + i * chunks.bytes;
        }
}

static void run_planes(job *j, ptrdiff_t *offset, nq_rows rows, const uint8_t *in, size_t pitch,
                       uint8_t *scratch)
{
    const nq_window *w = &j->op->window;
    const extent e = {nq_rows_images(w, rows), least(rows.count, w->out_h)};
    const nq_rows each = {rows.first, e.rows};
    const int in_first = nq_rows_read(w, each).first;
    const size_t image = (size_t)(w->in_h * w->in_w) * pitch;
    const size_t copied = (size_t)(image_lines(w) * line_pitch(w) * w->in_c);
    for (int ky = 0; ky < least(w->stride, w->kernel_h); ky++)
        for (int kx = 0; kx < least(w->stride, w->kernel_w); kx++) {
            uint8_t *plane = scratch + plane_offset(w, ky, kx, e);
            for (int i = 0; i < e.images; i++)
                copy_plane(j, each, in_first, in + (size_t)i * image, pitch, ky, kx,
                           plane + (size_t)i * copied);
        }
    set_tap_offsets(w, j->shape, e, offset);
    nq_tiles_written();
    j->in = scratch;
    j->input.step = w->in_c;
    j->width = w->out_w;
    j->pitch = line_pitch(w);
    j->line_step = j->pitch * j->input.step;
    j->height = e.rows;
    j->lines = image_lines(w);
    j->positions = ((e.images - 1) * j->lines + e.rows - 1) * j->pitch + j->width;
    run_positions(j);
}

static void run_lines(job *j, ptrdiff_t *offset, nq_rows rows, const uint8_t *in, size_t pitch,
                      uint8_t *scratch)
{
    const nq_window *w = &j->op->window;
    const row_chunks chunks = row_chunks_of(w);
    const size_t row = stage_row(w);
    const nq_rows read = {rows.first * w->stride - w->pad_h,
                          (rows.count - 1) * w->stride + w->kernel_h};
    nq_dense_stage(j->op, read, in, pitch, (int)(row / (size_t)w->in_c), scratch, row);
    for (int ky = 0; ky < w->kernel_h; ky++)
        for (int i = 0; i < chunks.count; i++)
            *offset++ = ky * (ptrdiff_t)row + i * chunks.bytes;
    nq_tiles_written();
    j->in = scratch;
    j->input.step = w->stride * w->in_c;
    j->line_step = w->stride * (ptrdiff_t)row;
    j->width = w->out_w;
    j->pitch = whole_tiles(w->out_w);
    j->positions = (rows.count - 1) * j->pitch + j->width;
    run_positions(j);
}

void nq_dense_run_amx(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    if (layout_of(w) == LINES && nq_rows_images(w, rows) > 1) {
        nq_conv_run_each(nq_dense_run_amx, op, packed, rows, in, in_pitch, out, out_pitch, scratch);
        return;
    }
    const nq_conv s = shaped(op);
    const row_chunks chunks = row_chunks_of(&s.window);
    ptrdiff_t *offset = scratch;
    uint8_t *copy = (uint8_t *)scratch + offsets_bytes(&s.window);
    for (int i = 0; i < chunks.count; i++) /* of a kernel with a single row */
        offset[i] = i * chunks.bytes;
    _Alignas(4096) nq_tile_sums sums[PHASE];
    nq_tile_pixels pixels[2];
    job j = {.op = op,
             .shape = &s.window,
             .packed = packed,
             .input = {.chunks = s.window.kernel_h * chunks.count,
                       .chunk_bytes = chunks.bytes,
                       .offset = offset},
             .height = rows.count,
             .lines = rows.count,
             .out = out,
             .out_pitch = out_pitch,
             .sums = sums,
             .pixels = pixels};
    nq_tiles_configure(&j.input);
    switch (layout_of(w)) {
    case PIXELS:
        run_pixels(&j, rows.count * w->out_w, in, in_pitch, copy);
        break;
    case PLANES:
        run_planes(&j, offset, rows, in, in_pitch, copy);
        break;
    case LINES:
        run_lines(&j, offset, rows, in, in_pitch, copy);
        break;
    }
    nq_tiles_release();
}
#endif
