/*
 * Dense convolution with AVX-512 VNNI. Output pixels are computed in groups of seven neighbours of
 * a line, two groups a register tile (dense_tile_avx512vnni.c), straight from the input where its
 * pixels can be read in fours of bytes and at most one column of padding lies at each side: taps
 * that meet only padding are then left out. Other convolutions read a copy with the padding written
 * out. A 1x1 convolution of stride 1 has a single line, all of its pixels.
 */
#ifdef __AVX512VNNI__
#include "worker/integer/dense.h"
#include "worker/integer/dense_tile_avx512vnni.h"

enum {
    BAND_BYTES = 24576,    /* of input and output that all blocks of channels pass over in turn */
    WEIGHTS_LARGE = 524288 /* these are better read once than the input */
};

typedef struct {
    const nq_conv *op;
    const void *packed;
    int row_quads;
    bool flat;   /* one line */
    bool direct; /* from the input, not from the copy */
    int first;   /* output row that line 0 is */
    int images;  /* line by line in turn */
    int lines, width, groups;
    const uint8_t *in; /* at input row in_first, column -pad_w */
    int in_first;
    ptrdiff_t in_pitch, in_row, in_image;
    uint8_t *out;
    size_t out_pitch;
} job;

static int row_quads(const nq_window *w)
{
    return (w->kernel_w * w->in_c + 3) / 4;
}

static bool is_flat(const nq_window *w)
{
    return w->kernel_h == 1 && w->kernel_w == 1 && w->stride == 1 && w->pad_h == 0 && w->pad_w == 0;
}

/* Without the copy: see above. */
static bool reads_input(const nq_window *w, int width)
{
    const bool edges = w->pad_w == 0 || (w->pad_w == 1 && w->kernel_w == 3);
    return width >= NQ_GROUP && edges && (w->in_c % 4 == 0 || is_flat(w));
}

/* Pixels of a row of the copy; the last group may reach past the line. */
static int stage_width(const nq_window *w, int width)
{
    int pixels = (width + NQ_GROUP - 1) / NQ_GROUP * NQ_GROUP;
    return (pixels - 1) * w->stride + w->kernel_w;
}

static size_t stage_row(const nq_window *w, int width)
{
    return ((size_t)stage_width(w, width) * (size_t)w->in_c + 3) / 4 * 4;
}

void nq_dense_size_avx512vnni(const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    *packed = nq_dense_block_bytes(w, row_quads(w)) * (size_t)nq_dense_blocks(w);
    *scratch = NQ_ALIGN +
               (is_flat(w) ? (size_t)w->in_c + 4 : (size_t)w->in_h * stage_row(w, w->out_w) + 4);
    *scratch = (*scratch + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

void nq_dense_pack_avx512vnni(const nq_conv *op, const int8_t *weight, void *packed)
{
    nq_dense_pack(op, row_quads(&op->window), weight, packed);
}

static int row_of(const job *j, int line)
{
    return j->first + line / j->images;
}

/* The rows of the kernel for a line, and where sums then start. */
static nq_rows set_line(const job *j, int line, nq_tile *t, nq_dense_start *room)
{
    const nq_window *w = &j->op->window;
    const nq_rows rows = nq_dense_kernel_rows(w, row_of(j, line));
    t->rows = rows.count;
    t->weight = nq_dense_weight(t->block, w) + (ptrdiff_t)rows.first * j->row_quads * 4 * NQ_BLOCK;
    t->start = &t->block->whole;
    if (rows.count < w->kernel_h) {
        nq_dense_start_of(t->block, rows, room);
        t->start = room;
    }
    return rows;
}

/* Makes group `g` of a line the tile's group `slot`. */
static void set_group(const job *j, nq_rows rows, int line, int g, int channel, nq_tile *t,
                      int slot)
{
    const nq_window *w = &j->op->window;
    int x = g * NQ_GROUP, count = j->width - x < NQ_GROUP ? j->width - x : NQ_GROUP;
    if (j->direct && count < NQ_GROUP) { /* some pixels twice rather than any past the end */
        x = j->width - NQ_GROUP;
        count = NQ_GROUP;
    }
    const int image = line % j->images, row = row_of(j, line);
    const int y = row * w->stride - w->pad_h + rows.first - j->in_first;
    const int pixel = (image * w->out_h + row - j->first) * j->width + x;
    t->in[slot] = j->in + image * j->in_image + (j->flat ? 0 : y * j->in_row) + x * t->step;
    t->out[slot] = j->out + (size_t)pixel * j->out_pitch + channel;
    t->count[slot] = count;
    const bool padded = j->direct && w->pad_w;
    t->left += padded && g == 0;
    /* with stride 2 the last column may lie on the input */
    t->right += padded && g == j->groups - 1 &&
                (j->width - 1) * w->stride - w->pad_w + w->kernel_w > w->in_w;
}

static void run_tile(const job *j, nq_tile *t, int groups)
{
    const nq_window *w = &j->op->window;
    const bool one_run =
        !j->direct || w->kernel_w == 1 || (j->in_pitch == w->in_c && !t->left && !t->right);
    t->taps = one_run ? 1 : w->kernel_w;
    t->tap_quads = one_run ? j->row_quads : w->in_c / 4;
    nq_tile_run(t, groups);
    t->left = t->right = 0;
}

/* One block of channels over groups [first, end) of some lines. Where a line is a single group, two
 * lines under the same rows of the kernel make a tile. */
static void run_block(const job *j, int block, nq_rows lines, int first, int end)
{
    const nq_window *w = &j->op->window;
    const nq_channels channels = nq_dense_channels(w, block);
    nq_tile t = {.row_step = j->in_row,
                 .tap_step = j->in_pitch,
                 .step = w->stride * j->in_pitch,
                 .block = nq_dense_block_at(j->packed, w, j->row_quads, block),
                 .channels = channels.count,
                 .to = j->op->out,
                 .out_pitch = j->out_pitch};
    nq_dense_start room;
    for (int line = lines.first; line < lines.first + lines.count; line++) {
        const nq_rows rows = set_line(j, line, &t, &room);
        for (int g = first; g < end; g += 2) {
            int groups = 1;
            set_group(j, rows, line, g, channels.first, &t, 0);
            if (g + 1 < end) {
                set_group(j, rows, line, g + 1, channels.first, &t, 1);
                groups = 2;
            } else if (j->groups == 1 && line + 1 < lines.first + lines.count) {
                const nq_rows next = nq_dense_kernel_rows(w, row_of(j, line + 1));
                if (next.first == rows.first && next.count == rows.count) {
                    set_group(j, rows, ++line, g, channels.first, &t, 1);
                    groups = 2;
                }
            }
            run_tile(j, &t, groups);
        }
    }
}

/* All blocks of channels pass over a band of pixels while it is in the first cache; large weights
 * pass the first cache once, and so have a single band. */
static void run_bands(const job *j)
{
    const nq_window *w = &j->op->window;
    const int blocks = nq_dense_blocks(w);
    const int group_bytes = NQ_GROUP * (w->stride * w->stride * w->in_c + w->out_c);
    int groups = BAND_BYTES / group_bytes;
    if ((size_t)blocks * nq_dense_block_bytes(w, j->row_quads) > WEIGHTS_LARGE)
        groups = j->groups * j->lines;
    groups = groups < 2 ? 2 : groups / 2 * 2;
    const int step = j->flat ? groups : j->groups;
    int lines = j->flat ? 1 : groups / j->groups;
    lines = lines < 1 ? 1 : lines;
    for (int line = 0; line < j->lines; line += lines)
        for (int g = 0; g < j->groups; g += step)
            for (int b = 0; b < blocks; b++)
                run_block(j, b, (nq_rows){line, j->lines - line < lines ? j->lines - line : lines},
                          g, j->groups - g < step ? j->groups : g + step);
}

static void run_pixel(const job *j, int x, uint8_t *scratch)
{
    const nq_window *w = &j->op->window;
    memcpy(scratch, j->in + x * j->in_pitch, (size_t)w->in_c);
    memset(scratch + w->in_c, 0, 4);
    for (int b = 0; b < nq_dense_blocks(w); b++) {
        const nq_dense_block *block = nq_dense_block_at(j->packed, w, j->row_quads, b);
        const nq_channels channels = nq_dense_channels(w, b);
        nq_tile_run_pixel(&(nq_tile){.tap_quads = j->row_quads,
                                     .block = block,
                                     .weight = nq_dense_weight(block, w),
                                     .start = &block->whole,
                                     .channels = channels.count,
                                     .to = j->op->out,
                                     .in[0] = scratch,
                                     .out[0] = j->out + (size_t)x * j->out_pitch + channels.first});
    }
}

/* Pixels that are no group, and the last ones where fours of bytes would reach past the tensor, are
 * computed alone. */
static void run_flat(job *j, uint8_t *scratch)
{
    const int pixels = j->width;
    const int past = 4 * j->row_quads - j->op->window.in_c;
    j->width -= (past + (int)j->in_pitch - 1) / (int)j->in_pitch;
    if (j->width >= NQ_GROUP) {
        j->groups = (j->width + NQ_GROUP - 1) / NQ_GROUP;
        run_bands(j);
    } else {
        j->width = 0;
    }
    for (int x = j->width; x < pixels; x++)
        run_pixel(j, x, scratch);
}

void nq_dense_run_avx512vnni(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                             size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const nq_rows read = nq_rows_read(w, rows);
    const bool direct = is_flat(w) || reads_input(w, w->out_w);
    if (!direct && nq_rows_images(w, rows) > 1) {
        nq_conv_run_each(nq_dense_run_avx512vnni, op, packed, rows, in, in_pitch, out, out_pitch,
                         scratch);
        return;
    }
    job j = {.op = op,
             .packed = packed,
             .row_quads = row_quads(w),
             .flat = is_flat(w),
             .direct = direct,
             .first = rows.first,
             .images = nq_rows_images(w, rows),
             .lines = rows.count,
             .width = w->out_w,
             .groups = (w->out_w + NQ_GROUP - 1) / NQ_GROUP,
             .in_first = read.first,
             .in_pitch = (ptrdiff_t)in_pitch,
             .out = out,
             .out_pitch = out_pitch};
    if (j.direct) {
        j.in = in - (ptrdiff_t)w->pad_w * j.in_pitch;
        j.in_row = w->in_w * j.in_pitch;
        j.in_image = w->in_h * j.in_row;
    } else {
        j.in_row = (ptrdiff_t)stage_row(w, j.width);
        j.in_pitch = w->in_c;
        nq_dense_stage(op, read, in, in_pitch, stage_width(w, j.width), scratch, (size_t)j.in_row);
        j.in = scratch;
    }
    if (j.flat) {
        j.first = 0;
        j.images = j.lines = 1;
        j.width = rows.count * w->out_w;
        run_flat(&j, scratch);
    } else {
        run_bands(&j);
    }
}
#endif
