/*
 * Depthwise convolution of one block of channels, a vector's bytes wide: a file includes simd256.h
 * or simd512.h, then this once, and takes `depthwise_width`.
 *
 * Four taps of a channel are brought side by side (nq_interleave_taps) and multiplied at once. For
 * 3x3 the four are rows of one column: three of them serve one row of output and, with the weights
 * moved down by one, the other three the row below; and a column serves three outputs of a row.
 * Everything else takes its taps in the order of the kernel, four by four.
 */
#include "worker/integer/depthwise.h"

enum { PARTS = 4, LANES = NQ_LANES };

/* Packed: what the sums start from, -in_zero * sum of weights; bias, factor and multiplier;
 * weights. All in the order of quads. */
typedef struct {
    int32_t start[LANES];
    float bias[LANES], factor[LANES], multiplier[LANES];
    uint8_t weights[]; /* [group][PARTS][NQ_DOT_BYTES] */
} packed_block;

/* 3x3: column by column, each for the upper row and moved down. Otherwise four taps a group. */
static int groups(const nq_window *w)
{
    return nq_depthwise_is_3x3(w) ? 6 : (w->kernel_h * w->kernel_w + 3) / 4;
}

static size_t block_bytes(const nq_conv *op)
{
    return sizeof(packed_block) + (size_t)(groups(&op->window) * PARTS) * NQ_DOT_BYTES;
}

static void put_weight(packed_block *b, int i, int group, int tap, int8_t weight)
{
    uint8_t *to = b->weights + (size_t)(group * PARTS + i / (LANES / PARTS)) * NQ_DOT_BYTES;
    nq_put_weight(to, i % (LANES / PARTS), tap, weight);
}

static void pack_block(const nq_conv *op, const int8_t *weight, int first, int channels,
                       void *packed)
{
    const nq_window *w = &op->window;
    const int taps = w->kernel_h * w->kernel_w;
    packed_block *b = packed;
    for (int i = 0; i < LANES; i++) {
        int e = i % (LANES / PARTS), j = i / (LANES / PARTS);
        int c = 16 * (e / 4) + 4 * j + e % 4; /* see simd256.h */
        if (c >= channels)
            continue;
        const int8_t *from = weight + (size_t)(first + c) * (size_t)taps;
        int32_t sum = 0;
        for (int t = 0; t < taps; t++) {
            sum += from[t];
            if (nq_depthwise_is_3x3(w)) {
                put_weight(b, i, t % 3 * 2, t / 3, from[t]);
                put_weight(b, i, t % 3 * 2 + 1, t / 3 + 1, from[t]);
            } else {
                put_weight(b, i, t / 4, t % 4, from[t]);
            }
        }
        b->start[i] = -op->in_zero * sum;
        b->bias[i] = op->bias[first + c];
        b->factor[i] = op->bias_factor[first + c];
        b->multiplier[i] = op->multiplier[first + c];
    }
}

static inline nq_vec load(const uint8_t *p, int channels)
{
    return channels == LANES ? nq_load(p) : nq_load_part(p, (size_t)channels);
}

static inline void finish(const packed_block *b, const nq_bounds *bounds, const nq_vec sum[PARTS],
                          uint8_t *out, int channels)
{
    nq_float r[PARTS];
#pragma GCC unroll 4
    for (int j = 0; j < PARTS; j++) {
        const size_t at = (size_t)j * (LANES / PARTS);
        nq_float acc = nq_to_float(sum[j]);
        r[j] = nq_mul(nq_fma(nq_load_floats(b->bias + at), nq_load_floats(b->factor + at), acc),
                      nq_load_floats(b->multiplier + at));
    }
    nq_vec v = nq_to_bytes(r, bounds);
    if (channels == LANES)
        nq_store(out, v);
    else
        nq_store_part(out, v, (size_t)channels);
}

/* Input column x of three or four rows. */
static inline nq_taps column(const nq_depthwise_call *call, int x, int rows, int channels)
{
    const nq_depthwise_row *r = call->in;
    nq_vec v[4];
    if (x < 0 || x >= call->op->window.in_w) {
        v[0] = v[1] = v[2] = v[3] = nq_splat(call->op->in_zero);
        return nq_interleave_taps(v[0], v[1], v[2], v[3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        v[i] = load(r[i < rows ? i : 0].data + (size_t)x * r[i < rows ? i : 0].step, channels);
    return nq_interleave_taps(v[0], v[1], v[2], v[3]);
}

/* Output column from its three input columns; `rows` of it, one below the other. */
static inline void output_3x3(const nq_depthwise_call *call, const nq_bounds *bounds, int rows,
                              int channels, const nq_taps *left, const nq_taps *middle,
                              const nq_taps *right, uint8_t *out)
{
    const packed_block *b = call->packed;
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++) {
        nq_vec sum[PARTS];
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++) {
            const uint8_t *w = b->weights + (size_t)(i * PARTS + j) * NQ_DOT_BYTES;
            const size_t next = (size_t)2 * PARTS * NQ_DOT_BYTES;
            sum[j] = nq_load_ints(b->start + j * (LANES / PARTS));
            sum[j] = nq_dot(sum[j], left, j, w);
            sum[j] = nq_dot(sum[j], middle, j, w + next);
            sum[j] = nq_dot(sum[j], right, j, w + 2 * next);
        }
        finish(b, bounds, sum, out, channels);
        out += (size_t)call->op->window.out_w * call->out_pitch;
    }
}

/* Columns change places instead of moving: three steps and they are where they were. */
static inline __attribute__((always_inline)) void run_stride_1(const nq_depthwise_call *call,
                                                               const nq_bounds *bounds, int rows,
                                                               int channels)
{
    const nq_window *w = &call->op->window;
    const int ahead = 2 - w->pad_w, read = rows + 2;
    uint8_t *out = call->out;
    nq_taps a = column(call, -w->pad_w, read, channels);
    nq_taps b = column(call, 1 - w->pad_w, read, channels), c;
    for (int x = 0;;) {
        c = column(call, x + ahead, read, channels);
        output_3x3(call, bounds, rows, channels, &a, &b, &c, out);
        out += call->out_pitch;
        if (++x == w->out_w)
            break;
        a = column(call, x + ahead, read, channels);
        output_3x3(call, bounds, rows, channels, &b, &c, &a, out);
        out += call->out_pitch;
        if (++x == w->out_w)
            break;
        b = column(call, x + ahead, read, channels);
        output_3x3(call, bounds, rows, channels, &c, &a, &b, out);
        out += call->out_pitch;
        if (++x == w->out_w)
            break;
    }
}

static inline __attribute__((always_inline)) void run_stride_2(const nq_depthwise_call *call,
                                                               const nq_bounds *bounds,
                                                               int channels)
{
    const nq_window *w = &call->op->window;
    uint8_t *out = call->out;
    nq_taps left = column(call, -w->pad_w, 3, channels);
    for (int x = 0; x < w->out_w; x++, out += call->out_pitch) {
        nq_taps middle = column(call, 2 * x + 1 - w->pad_w, 3, channels);
        nq_taps right = column(call, 2 * x + 2 - w->pad_w, 3, channels);
        output_3x3(call, bounds, 1, channels, &left, &middle, &right, out);
        left = right;
    }
}

static inline nq_vec load_tap(const nq_depthwise_call *call, int x, int tap)
{
    const nq_window *w = &call->op->window;
    if (tap >= w->kernel_h * w->kernel_w)
        return nq_splat(0);
    const nq_depthwise_row *row = &call->in[tap / w->kernel_w];
    int at = x * w->stride - w->pad_w + tap % w->kernel_w;
    if (at < 0 || at >= w->in_w)
        return nq_splat(call->op->in_zero);
    return load(row->data + (size_t)at * row->step, call->channels);
}

static void run_any(const nq_depthwise_call *call, const nq_bounds *bounds)
{
    const packed_block *b = call->packed;
    const nq_window *w = &call->op->window;
    uint8_t *out = call->out;
    for (int x = 0; x < w->out_w; x++, out += call->out_pitch) {
        nq_vec sum[PARTS];
        for (int j = 0; j < PARTS; j++)
            sum[j] = nq_load_ints(b->start + j * (LANES / PARTS));
        for (int g = 0; g < groups(w); g++) {
            nq_taps taps =
                nq_interleave_taps(load_tap(call, x, 4 * g), load_tap(call, x, 4 * g + 1),
                                   load_tap(call, x, 4 * g + 2), load_tap(call, x, 4 * g + 3));
#pragma GCC unroll 4
            for (int j = 0; j < PARTS; j++)
                sum[j] =
                    nq_dot(sum[j], &taps, j, b->weights + (size_t)(g * PARTS + j) * NQ_DOT_BYTES);
        }
        finish(b, bounds, sum, out, call->channels);
    }
}

static inline __attribute__((always_inline)) void run_3x3(const nq_depthwise_call *call,
                                                          const nq_bounds *bounds, int channels)
{
    if (call->op->window.stride == 2)
        run_stride_2(call, bounds, channels);
    else if (call->rows == 2)
        run_stride_1(call, bounds, 2, channels);
    else
        run_stride_1(call, bounds, 1, channels);
}

static void run_block(const nq_depthwise_call *call)
{
    const nq_bounds bounds = nq_bounds_of(&call->op->out);
    if (!nq_depthwise_is_3x3(&call->op->window))
        run_any(call, &bounds);
    else if (call->channels == LANES)
        run_3x3(call, &bounds, LANES); /* a constant: no part of a vector */
    else
        run_3x3(call, &bounds, call->channels);
}

static const nq_depthwise_width depthwise_width = {LANES, block_bytes, pack_block, run_block};
