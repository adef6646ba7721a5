#include "worker/integer/depthwise.h"
#include <string.h>

/* Which channels a block does. Blocks may overlap: a channel computed twice gets the same byte, and
 * no block but the only one of a narrow tensor is less than full. */
typedef struct {
    const nq_depthwise_width *width;
    int first, channels;
} block;

/* The block that begins at channel `done`, or before it where the tensor ends: as wide as possible,
 * but no wider than what is left needs, and full if it must be. */
static block block_at(const nq_depthwise_width *const *widths, int channels, int done)
{
    int left = channels - done;
    while (widths[1] &&
           (widths[1]->channels >= left || (channels < widths[0]->channels && !widths[0]->parts)))
        widths++;
    block b = {.width = widths[0], .first = done};
    b.channels = channels < b.width->channels ? channels : b.width->channels;
    if (left < b.channels)
        b.first = channels - b.channels;
    return b;
}

/* Rows, of input and of output, that a call may name. */
static size_t most_rows(const nq_window *w, size_t *in)
{
    size_t out = 2 * NQ_DEPTHWISE_FOLDS;
    *in = (size_t)w->kernel_h + (out - 1) * (size_t)w->stride;
    return out;
}

void nq_depthwise_size(const nq_depthwise_width *const *widths, const nq_conv *op, size_t *packed,
                       size_t *scratch)
{
    const nq_window *w = &op->window;
    *packed = 0;
    for (int done = 0; done < w->out_c;) {
        block b = block_at(widths, w->out_c, done);
        *packed += b.width->bytes(op);
        done = b.first + b.channels;
    }
    /* bytes to read and bytes to write in place of a row, and the rows */
    size_t in, out = most_rows(w, &in), bytes = (in + out) * sizeof(nq_depthwise_row);
    *scratch = 2 * NQ_ALIGN + (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

void nq_depthwise_pack(const nq_depthwise_width *const *widths, const nq_conv *op,
                       const int8_t *weight, void *packed)
{
    uint8_t *to = packed;
    for (int done = 0; done < op->window.out_c;) {
        block b = block_at(widths, op->window.out_c, done);
        memset(to, 0, b.width->bytes(op));
        b.width->pack(op, weight, b.first, b.channels, b.width->channels, to);
        to += b.width->bytes(op);
        done = b.first + b.channels;
    }
}

/* `count` rows from row y on of a tensor that has the rows in `have`, of which the first is at
 * data; `none` in place of others. */
static void find_rows(int y, int count, nq_rows have, uint8_t *data, size_t row_bytes,
                      uint8_t *none, nq_depthwise_row *rows)
{
    for (int i = 0; i < count; i++, y++) {
        rows[i] = (nq_depthwise_row){none, 0};
        if (y >= have.first && y < have.first + have.count) {
            rows[i].data = data + (size_t)(y - have.first) * row_bytes;
            rows[i].mask = SIZE_MAX;
        }
    }
}

/* The tensors of a call, and what the rows of its blocks are written into. */
typedef struct {
    nq_rows in_rows, out_rows; /* that exist */
    uint8_t *in, *out;         /* the first ones; only `out` is written to */
    size_t in_pitch, out_pitch;
    uint8_t *zeros, *nowhere;
    nq_depthwise_row *in_list, *out_list;
} tensors;

static void run_block(const nq_conv *op, const block *b, const void *packed, nq_rows rows,
                      const tensors *t)
{
    const nq_window *w = &op->window;
    const bool may_pair = nq_depthwise_is_3x3(w) && w->stride == 1;
    const int end = rows.first + rows.count;
    nq_depthwise_call call = {.op = op,
                              .packed = packed,
                              .channels = b->channels,
                              .in = t->in_list,
                              .out = t->out_list,
                              .in_pitch = t->in_pitch,
                              .out_pitch = t->out_pitch};
    for (int y = rows.first, n; y < end; y += n) {
        call.pairs = may_pair && end - y > b->width->folds;
        n = b->width->folds * (call.pairs ? 2 : 1);
        find_rows(y * w->stride - w->pad_h, w->kernel_h + (n - 1) * w->stride, t->in_rows,
                  t->in + b->first, (size_t)w->in_w * t->in_pitch, t->zeros, t->in_list);
        find_rows(y, n, t->out_rows, t->out + b->first, (size_t)w->out_w * t->out_pitch, t->nowhere,
                  t->out_list);
        b->width->run(&call);
    }
}

void nq_depthwise_run(const nq_depthwise_width *const *widths, const nq_conv *op,
                      const void *packed, nq_rows rows, const uint8_t *in, size_t in_pitch,
                      uint8_t *out, size_t out_pitch, void *scratch)
{
    enum { TOGETHER = 2 * NQ_DEPTHWISE_FOLDS }; /* rows whose input stays near for all blocks */
    const nq_window *w = &op->window;
    const int end = rows.first + rows.count;
    tensors t = {.in_rows = nq_rows_read(w, rows),
                 .out_rows = rows,
                 .in = (uint8_t *)(uintptr_t)in,
                 .out = out,
                 .in_pitch = in_pitch,
                 .out_pitch = out_pitch,
                 .zeros = scratch,
                 .nowhere = (uint8_t *)scratch + NQ_ALIGN};
    size_t in_count;
    most_rows(w, &in_count);
    t.in_list = (void *)(t.nowhere + NQ_ALIGN);
    t.out_list = t.in_list + in_count;
    memset(t.zeros, op->in_zero, NQ_ALIGN);
    for (int y = rows.first; y < end; y += TOGETHER) {
        const uint8_t *at = packed;
        const nq_rows some = {y, end - y < TOGETHER ? end - y : TOGETHER};
        for (int done = 0; done < w->out_c;) {
            block b = block_at(widths, w->out_c, done);
            run_block(op, &b, at, some, &t);
            at += b.width->bytes(op);
            done = b.first + b.channels;
        }
    }
}
