#include "worker/integer/dense_block.h"
#include <string.h>

int nq_dense_blocks(const nq_window *w)
{
    return (w->out_c + NQ_BLOCK - 1) / NQ_BLOCK;
}

size_t nq_dense_block_bytes(const nq_window *w, int row_quads)
{
    return sizeof(nq_dense_block) +
           (size_t)w->kernel_h * (sizeof(nq_dense_start) + (size_t)row_quads * 4 * NQ_BLOCK);
}

/* One output channel: its weights into every fourth-byte column `lane`, and its sums. A sum of a
 * whole kernel times 255 fits 32 bits (nq_qmodel_check), so do its parts. */
static void pack_channel(const nq_conv *op, const int8_t *weight, int row_quads, int lane,
                         nq_dense_block *block)
{
    const nq_window *w = &op->window;
    nq_dense_start *start = (nq_dense_start *)(block + 1);
    int8_t *to = (int8_t *)(start + w->kernel_h);
    const int depth = w->kernel_w * w->in_c;
    for (int ky = 0; ky < w->kernel_h; ky++, weight += depth) {
        int32_t sum = 0, first = 0, last = 0;
        for (int i = 0; i < depth; i++) {
            to[((size_t)(i / 4) * NQ_BLOCK + (size_t)lane) * 4 + (size_t)(i % 4)] = weight[i];
            sum += weight[i];
            first += i < w->in_c ? weight[i] : 0;
            last += i >= depth - w->in_c ? weight[i] : 0;
        }
        to += (size_t)row_quads * 4 * NQ_BLOCK;
        const int32_t sums[3] = {sum, sum - first, sum - last};
        for (int k = 0; k < 3; k++) {
            start[ky].of[k][lane] = -op->in_zero * sums[k];
            block->whole.of[k][lane] += -op->in_zero * sums[k];
        }
    }
}

void nq_dense_pack(const nq_conv *op, int row_quads, const int8_t *weight, void *packed)
{
    const nq_window *w = &op->window;
    const size_t bytes = nq_dense_block_bytes(w, row_quads);
    const size_t depth = (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)w->in_c;
    memset(packed, 0, bytes * (size_t)nq_dense_blocks(w));
    for (int b = 0; b < nq_dense_blocks(w); b++) {
        nq_dense_block *block = (nq_dense_block *)((uint8_t *)packed + (size_t)b * bytes);
        const nq_channels channels = nq_dense_channels(w, b);
        block->fits = true;
        const int half = NQ_BLOCK / 2, lanes = channels.count > half ? NQ_BLOCK : channels.count;
        for (int lane = 0; lane < lanes; lane++) {
            const int c = channels.first + (lane < half ? lane : channels.count - NQ_BLOCK + lane);
            block->bias[lane] = op->bias[c];
            block->bias_factor[lane] = op->bias_factor[c];
            block->multiplier[lane] = op->multiplier[c];
            block->fits &= nq_conv_fits(op, c, weight + (size_t)c * depth, depth);
            pack_channel(op, weight + (size_t)c * depth, row_quads, lane, block);
        }
    }
}

void nq_dense_stage(const nq_conv *op, nq_rows rows, const uint8_t *in, size_t in_pitch, int width,
                    uint8_t *out, size_t row_bytes)
{
    const nq_window *w = &op->window;
    const size_t c = (size_t)w->in_c;
    const size_t left = (size_t)(w->pad_w < width ? w->pad_w : width) * c;
    const int copied = width - w->pad_w < w->in_w ? width - w->pad_w : w->in_w;
    const size_t bytes = copied > 0 ? (size_t)copied * c : 0;
    const size_t right = (size_t)width * c - left - bytes;
    for (int y = rows.first; y < rows.first + rows.count; y++, out += row_bytes) {
        if (y < 0 || y >= w->in_h) {
            memset(out, op->in_zero, (size_t)width * c);
            continue;
        }
        memset(out, op->in_zero, left);
        if (in_pitch == c)
            memcpy(out + left, in, bytes);
        else
            for (int x = 0; x < copied; x++)
                memcpy(out + left + (size_t)x * c, in + (size_t)x * in_pitch, c);
        memset(out + left + bytes, op->in_zero, right);
        in += (size_t)w->in_w * in_pitch;
    }
}
