#include "worker/integer/depthwise.h"
#include <string.h>

/* Which channels a block does. Blocks may overlap: a channel computed twice gets the same byte, and
 * no block but the only one of a narrow tensor is less than full. */
typedef struct {
    const nq_depthwise_width *width;
    int first, channels;
} block;

/* The block that begins at channel `done`, or before it where the tensor ends. */
static block block_at(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                      int channels, int done)
{
    int left = channels - done;
    bool is_wide = wide && channels >= wide->lanes && left > narrow->lanes;
    block b = {.width = is_wide ? wide : narrow, .first = done};
    b.channels = channels < b.width->lanes ? channels : b.width->lanes;
    if (left < b.channels)
        b.first = channels - b.channels;
    return b;
}

void nq_depthwise_size(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                       const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    *packed = 0;
    for (int done = 0; done < w->out_c;) {
        block b = block_at(wide, narrow, w->out_c, done);
        *packed += b.width->bytes(op);
        done = b.first + b.channels;
    }
    /* zeros, and the rows under the windows of two rows */
    size_t rows = (size_t)(w->kernel_h + 1) * sizeof(nq_depthwise_row);
    *scratch = NQ_ALIGN + (rows + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
}

void nq_depthwise_pack(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                       const nq_conv *op, const int8_t *weight, void *packed)
{
    uint8_t *to = packed;
    for (int done = 0; done < op->window.out_c;) {
        block b = block_at(wide, narrow, op->window.out_c, done);
        memset(to, 0, b.width->bytes(op));
        b.width->pack(op, weight, b.first, b.channels, to);
        to += b.width->bytes(op);
        done = b.first + b.channels;
    }
}

/* The rows of input under `count` rows of output from y on, at channel `first`. */
static void find_rows(const nq_conv *op, int y, int count, int in_first, const uint8_t *in,
                      size_t in_pitch, int first, const uint8_t *zeros, nq_depthwise_row *rows)
{
    const nq_window *w = &op->window;
    int n = w->kernel_h + (count - 1) * w->stride, top = y * w->stride - w->pad_h;
    for (int i = 0; i < n; i++) {
        rows[i] = (nq_depthwise_row){zeros, 0};
        if (top + i >= 0 && top + i < w->in_h) {
            rows[i].data = in + (size_t)(top + i - in_first) * (size_t)w->in_w * in_pitch + first;
            rows[i].step = in_pitch;
        }
    }
}

void nq_depthwise_run(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                      const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const int in_first = nq_rows_read(w, rows).first, end = rows.first + rows.count;
    const bool pairs = nq_depthwise_is_3x3(w) && w->stride == 1;
    uint8_t *zeros = scratch;
    nq_depthwise_row *in_rows = (void *)(zeros + NQ_ALIGN);
    memset(zeros, op->in_zero, NQ_ALIGN);
    for (int y = rows.first, n; y < end; y += n) {
        n = pairs && y + 1 < end ? 2 : 1;
        const uint8_t *at = packed;
        for (int done = 0; done < w->out_c;) {
            block b = block_at(wide, narrow, w->out_c, done);
            find_rows(op, y, n, in_first, in, in_pitch, b.first, zeros, in_rows);
            b.width->run(&(nq_depthwise_call){.op = op,
                                              .packed = at,
                                              .channels = b.channels,
                                              .rows = n,
                                              .in = in_rows,
                                              .out = out + b.first,
                                              .out_pitch = out_pitch});
            at += b.width->bytes(op);
            done = b.first + b.channels;
        }
        out += (size_t)n * (size_t)w->out_w * out_pitch;
    }
}
