/*
 * The integer kernels: one table of functions per instruction set, all exact, all giving the same
 * bytes (NUMERICS: integer operators). Tensors are u8 [H][W][C] of one image; a `pitch` is the
 * number of bytes from one pixel to the next (at least C), so that a kernel can read or write some
 * of a wider tensor's channels. Rows follow each other without gaps. A kernel touches no byte
 * outside the C channels of its pixels; tensors need no alignment, packed weights and scratch
 * memory are aligned to NQ_ALIGN.
 *
 * A new instruction set is a new file that defines one nq_kernels, and a line in kernels.c.
 */
#ifndef NQ_INTEGER_KERNELS_H
#define NQ_INTEGER_KERNELS_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_ALIGN 64

/* What a convolution or pool slides over. Symmetric padding; output (y, x) covers the input from
 * (y * stride - pad_h, x * stride - pad_w). */
typedef struct {
    int in_h, in_w, in_c;
    int out_h, out_w, out_c;
    int kernel_h, kernel_w, stride, pad_h, pad_w;
} nq_window;

/*
 * A range of output rows: [first, first + count), count > 0, inside 0..out_h. A call with rows
 * computes these and needs no more of the input than nq_rows_read() of them: `out` points at output
 * row `first` and `in` at input row nq_rows_read().first, so that a buffer may hold just the rows
 * that a call reads and another just those that it writes. Input rows are not padded: what the
 * window covers outside of 0..in_h and 0..in_w is padding, never read. A whole tensor is rows
 * {0, out_h}, with both pointers at its row 0. A dense convolution also takes rows
 * {0, n * out_h}, n <= nq_conv.images: those of n images whose tensors follow each other.
 */
typedef struct {
    int first, count;
} nq_rows;

/* Input rows under the windows of these output rows; count is 0 when all of them pad. */
static inline nq_rows nq_rows_read(const nq_window *w, nq_rows out)
{
    int begin = out.first * w->stride - w->pad_h;
    int end = (out.first + out.count - 1) * w->stride - w->pad_h + w->kernel_h;
    begin = begin < 0 ? 0 : begin;
    end = end > w->in_h ? w->in_h : end;
    return (nq_rows){.first = begin, .count = end > begin ? end - begin : 0};
}

/* How many images such rows are of. */
static inline int nq_rows_images(const nq_window *w, nq_rows rows)
{
    return rows.count > w->out_h ? rows.count / w->out_h : 1;
}

/* The last step of every operator that computes: clamp(round_half_even(r) + zero, low, high), with
 * 0 <= low <= zero <= high <= 255. ReLU is low = zero. */
typedef struct {
    int32_t zero, low, high;
} nq_output;

/*
 * A convolution or linear layer (1x1 on one pixel): with acc = sum (a - in_zero) * w in 32 bits,
 * padding counting as a = in_zero,
 *
 *     r = fmaf(bias[c], bias_factor[c], (float)acc) * multiplier[c]
 *
 * which is both of NUMERICS' formulas: weights per tensor have bias_factor 1/s, weights per channel
 * have bias already divided by s and bias_factor 1 (the fused operation is then a plain addition).
 */
typedef struct {
    nq_window window;
    int images; /* dense: whole images that one call may take, see nq_rows; 0 means 1 */
    int32_t in_zero;
    nq_output out;
    float *bias, *bias_factor, *multiplier; /* [out_c] */
} nq_conv;

/* The given rows of the output; see nq_rows for what `in` and `out` point at. */
typedef void nq_conv_run(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                         size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch);

/* Whether no input takes r of output channel c near the ends of a 32-bit integer: kernels may then
 * convert it without clamping it first. weight: the channel's n. */
bool nq_conv_fits(const nq_conv *op, int c, const int8_t *weight, size_t n);

/* One way to convolve. */
typedef struct {
    /* Bytes of the packed weights, and of the scratch memory that run() wants; neither is 0. */
    void (*size)(const nq_conv *op, size_t *packed, size_t *scratch);
    /* weight: s8 [out_c][kernel_h][kernel_w][in_c], depthwise [out_c][kernel_h][kernel_w]. */
    void (*pack)(const nq_conv *op, const int8_t *weight, void *packed);
    nq_conv_run *run;
} nq_conv_kernel;

/*
 * real = fmaf(scale, (float)q, offset) with offset = -(scale * zero), for both sides;
 * r = (a's real + b's real) * inverse, inverse = 1 / output scale. out.low does the ReLU.
 */
typedef struct {
    float a_scale, a_offset, b_scale, b_offset, inverse;
    nq_output out;
} nq_add;

/* Calls `run`, which need not take several images, for each. */
static inline void nq_conv_run_each(nq_conv_run *run, const nq_conv *op, const void *packed,
                                    nq_rows rows, const uint8_t *in, size_t in_pitch, uint8_t *out,
                                    size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const size_t in_image = (size_t)(w->in_h * w->in_w) * in_pitch;
    const size_t out_image = (size_t)(w->out_h * w->out_w) * out_pitch;
    for (int i = nq_rows_images(w, rows); i > 0; i--, in += in_image, out += out_image)
        run(op, packed, (nq_rows){0, w->out_h}, in, in_pitch, out, out_pitch, scratch);
}

typedef struct {
    const char *name; /* what NETQ_CPU and metrics.json call it */
    bool (*supported)(void);

    nq_conv_kernel dense;     /* one group */
    nq_conv_kernel depthwise; /* a channel a group: in_c = out_c */

    void (*add)(const nq_add *op, const uint8_t *a, size_t a_pitch, const uint8_t *b,
                size_t b_pitch, uint8_t *out, size_t out_pitch, size_t pixels, int channels);
    /* out = table[in]: requantization, also of a concatenation's parts. */
    void (*lookup)(const uint8_t table[256], const uint8_t *in, size_t in_pitch, uint8_t *out,
                   size_t out_pitch, size_t pixels, int channels);
    /* out channel j * groups + i = in channel i * (channels / groups) + j. */
    void (*shuffle)(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,
                    size_t pixels, int channels, int groups);
    /* Two tensors concatenated, then shuffled in two groups: out channel 2 * j = tables[0][a's
     * channel j], out channel 2 * j + 1 = tables[1][b's channel j]; `channels` of each. */
    void (*interleave)(const uint8_t tables[2][256], const uint8_t *a, size_t a_pitch,
                       const uint8_t *b, size_t b_pitch, uint8_t *out, size_t out_pitch,
                       size_t pixels, int channels);
    /* Maximum over the window's pixels inside the input; out_c = in_c. The given rows, as in
     * nq_conv_kernel.run. */
    void (*max_pool)(const nq_window *window, nq_rows rows, const uint8_t *in, size_t in_pitch,
                     uint8_t *out, size_t out_pitch);
    /* round_half_even((float)sum(q - zero) / (float)pixels) + zero, one pixel out. */
    void (*avg_pool)(const uint8_t *in, size_t in_pitch, size_t pixels, int channels, int32_t zero,
                     uint8_t *out);
    /* out[p][c] = table[c][crop[p][c]], three channels. */
    void (*input)(const uint8_t table[3][256], const uint8_t *crop, uint8_t *out, size_t pixels);
} nq_kernels;

/* The table for this CPU; NETQ_CPU=NAME in the environment forces one by name (an unknown name, or
 * one this CPU cannot run, is NQ_ERR_INPUT). */
nq_status nq_kernels_select(const nq_kernels **kernels, nq_error *err);
const char *nq_kernels_name(const nq_kernels *kernels);

/* Every table of this build from the plainest on, whether this CPU can run it or not: for tests and
 * benchmarks. NULL when i is past the last. */
const nq_kernels *nq_kernels_at(size_t i);

#endif
