/*
 * Depthwise convolution of one block of channels, a vector's bytes wide or a half or a quarter of
 * them (nq_depthwise_width.folds): a file includes simd256.h or simd512.h, then this once, and
 * takes `whole`, `halves` and `quarters`.
 *
 * Four taps of a channel are brought side by side (nq_interleave_taps) and multiplied at once. For
 * 3x3 the four are rows of one column: three of them serve one row of output and, with the weights
 * moved down by one, the other three the row below; and a column serves three outputs of a row.
 * Everything else takes its taps in the order of the kernel, four by four; so does a block whose
 * results might be too large for a conversion to integers that does not look (`fast` is false).
 */
#include "worker/integer/depthwise.h"

enum { PARTS = 4, LANES = NQ_LANES };

/* Packed: what the sums start from, -in_zero * sum of weights; bias, factor and multiplier;
 * weights. All in the order of quads. */
typedef struct {
    int32_t start[LANES];
    float bias[LANES], factor[LANES], multiplier[LANES];
    _Alignas(NQ_ALIGN) bool fast;
    _Alignas(NQ_ALIGN) uint8_t weights[]; /* [group][PARTS][NQ_DOT_BYTES] */
} packed_block;

/* Fast: column by column, each for the upper row and moved down. Otherwise four taps a group. */
static int groups(const nq_window *w, bool fast)
{
    return fast ? 6 : (w->kernel_h * w->kernel_w + 3) / 4;
}

static size_t block_bytes(const nq_conv *op)
{
    const nq_window *w = &op->window;
    return sizeof(packed_block) +
           (size_t)(groups(w, nq_depthwise_is_3x3(w)) * PARTS) * NQ_DOT_BYTES;
}

static void put_weight(packed_block *b, int i, int group, int tap, int8_t weight)
{
    uint8_t *to = b->weights + (size_t)(group * PARTS + i / (LANES / PARTS)) * NQ_DOT_BYTES;
    nq_put_weight(to, i % (LANES / PARTS), tap, weight);
}

static void pack_block(const nq_conv *op, const int8_t *weight, int first, int channels,
                       int width_channels, void *packed)
{
    const nq_window *w = &op->window;
    const int taps = w->kernel_h * w->kernel_w;
    packed_block *b = packed;
    b->fast = nq_depthwise_is_3x3(w);
    for (int c = first; c < first + channels; c++)
        b->fast &= nq_conv_fits(op, c, weight + (size_t)c * (size_t)taps, (size_t)taps);
    for (int i = 0; i < LANES; i++) {
        int e = i % (LANES / PARTS), j = i / (LANES / PARTS);
        int c = (16 * (e / 4) + 4 * j + e % 4) % width_channels; /* see simd256.h */
        if (c >= channels)
            continue;
        const int8_t *from = weight + (size_t)(first + c) * (size_t)taps;
        int32_t sum = 0;
        for (int t = 0; t < taps; t++) {
            sum += from[t];
            if (b->fast) {
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

/* How a call is computed; constants to the functions below, which are inlined. */
typedef struct {
    int folds, pairs, channels;
} way;

NQ_INLINE uint8_t *at(const nq_depthwise_row *row, size_t offset)
{
    return row->data + (offset & row->mask);
}

/* Input column x of row i of each fold. */
NQ_INLINE nq_vec load(const nq_depthwise_call *call, way k, int i, int x)
{
    const int fold_rows = (k.pairs ? 2 : 1) * call->op->window.stride;
    const size_t offset = (size_t)x * call->in_pitch, n = (size_t)k.channels;
    const uint8_t *p[NQ_DEPTHWISE_FOLDS] = {0};
#pragma GCC unroll 4
    for (int f = 0; f < k.folds; f++)
        p[f] = at(&call->in[f * fold_rows + i], offset);
    if (k.folds == 1)
        return k.channels == LANES ? nq_load(p[0]) : nq_load_part(p[0], n);
    return k.folds == 2 ? nq_load_halves(p, n) : nq_load_quarters(p, n);
}

/* Output column x of row i of each fold. */
NQ_INLINE void store(const nq_depthwise_call *call, way k, int i, int x, nq_vec v)
{
    const size_t offset = (size_t)x * call->out_pitch, n = (size_t)k.channels;
    uint8_t *p[NQ_DEPTHWISE_FOLDS] = {0};
#pragma GCC unroll 4
    for (int f = 0; f < k.folds; f++)
        p[f] = at(&call->out[f * (k.pairs ? 2 : 1) + i], offset);
    if (k.folds == 1 && k.channels == LANES)
        nq_store(p[0], v);
    else if (k.folds == 1)
        nq_store_part(p[0], v, n);
    else if (k.folds == 2)
        nq_store_halves(p, v, n);
    else
        nq_store_quarters(p, v, n);
}

/* The float before rounding, of part j. */
NQ_INLINE nq_float scale(const packed_block *b, int j, nq_vec sum)
{
    const size_t from = (size_t)j * (LANES / PARTS);
    nq_float bias = nq_load_floats(b->bias + from), factor = nq_load_floats(b->factor + from);
    return nq_mul(nq_fma(bias, factor, nq_to_float(sum)), nq_load_floats(b->multiplier + from));
}

/* Input column x of the three or four rows of each fold. */
NQ_INLINE nq_taps column(const nq_depthwise_call *call, way k, int x)
{
    if (x < 0 || x >= call->op->window.in_w) {
        nq_vec pad = nq_splat(call->op->in_zero);
        return nq_interleave_taps(pad, pad, pad, pad);
    }
    nq_vec third = load(call, k, 2, x);
    return nq_interleave_taps(load(call, k, 0, x), load(call, k, 1, x), third,
                              k.pairs ? load(call, k, 3, x) : third);
}

/* Output column x from its three input columns; both rows of a pair at once, which load what they
 * have in common once. */
NQ_INLINE void output(const nq_depthwise_call *call, way k, const nq_bounds *bounds, int x,
                      const nq_taps *left, const nq_taps *middle, const nq_taps *right)
{
    const packed_block *b = call->packed;
    const size_t next = (size_t)2 * PARTS * NQ_DOT_BYTES; /* weights of the next column */
    nq_float upper[PARTS], lower[PARTS];
#pragma GCC unroll 4
    for (int j = 0; j < PARTS; j++) {
        const uint8_t *w = b->weights + (size_t)j * NQ_DOT_BYTES, *v = w + next / 2;
        const nq_vec start = nq_load_ints(b->start + j * (LANES / PARTS));
        nq_vec sum = nq_dot(nq_dot(start, left, j, w), middle, j, w + next);
        upper[j] = scale(b, j, nq_dot(sum, right, j, w + 2 * next));
        if (!k.pairs)
            continue;
        sum = nq_dot(nq_dot(start, left, j, v), middle, j, v + next);
        lower[j] = scale(b, j, nq_dot(sum, right, j, v + 2 * next));
    }
    store(call, k, 0, x, nq_to_bytes_within(upper, bounds));
    if (k.pairs)
        store(call, k, 1, x, nq_to_bytes_within(lower, bounds));
}

/* Columns change places instead of moving: three steps and they are where they were. */
NQ_INLINE void run_stride_1(const nq_depthwise_call *call, way k, const nq_bounds *bounds)
{
    const int width = call->op->window.out_w, first = -call->op->window.pad_w;
    nq_taps a = column(call, k, first), b = column(call, k, first + 1), c;
    for (int x = 0;;) {
        c = column(call, k, first + x + 2);
        output(call, k, bounds, x, &a, &b, &c);
        if (++x == width)
            break;
        a = column(call, k, first + x + 2);
        output(call, k, bounds, x, &b, &c, &a);
        if (++x == width)
            break;
        b = column(call, k, first + x + 2);
        output(call, k, bounds, x, &c, &a, &b);
        if (++x == width)
            break;
    }
}

NQ_INLINE void run_stride_2(const nq_depthwise_call *call, way k, const nq_bounds *bounds)
{
    const int width = call->op->window.out_w, first = -call->op->window.pad_w;
    nq_taps left = column(call, k, first);
    for (int x = 0; x < width; x++) {
        nq_taps middle = column(call, k, first + 2 * x + 1);
        nq_taps right = column(call, k, first + 2 * x + 2);
        output(call, k, bounds, x, &left, &middle, &right);
        left = right;
    }
}

/* Input of tap `tap` for output column x of row i of each fold. */
NQ_INLINE nq_vec load_tap(const nq_depthwise_call *call, way k, int i, int x, int tap)
{
    const nq_window *w = &call->op->window;
    int from = x * w->stride - w->pad_w + tap % w->kernel_w;
    if (tap >= w->kernel_h * w->kernel_w || from < 0 || from >= w->in_w)
        return nq_splat(call->op->in_zero); /* past the last tap the weights are 0 */
    return load(call, k, i + tap / w->kernel_w, from);
}

NQ_INLINE void run_any(const nq_depthwise_call *call, way k, const nq_bounds *bounds, int i)
{
    const packed_block *b = call->packed;
    const nq_window *w = &call->op->window;
    for (int x = 0; x < w->out_w; x++) {
        nq_vec sum[PARTS];
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++)
            sum[j] = nq_load_ints(b->start + j * (LANES / PARTS));
        for (int g = 0; g < groups(w, false); g++) {
            nq_taps taps = nq_interleave_taps(
                load_tap(call, k, i, x, 4 * g), load_tap(call, k, i, x, 4 * g + 1),
                load_tap(call, k, i, x, 4 * g + 2), load_tap(call, k, i, x, 4 * g + 3));
            const uint8_t *weights = b->weights + (size_t)(g * PARTS) * NQ_DOT_BYTES;
#pragma GCC unroll 4
            for (int j = 0; j < PARTS; j++)
                sum[j] = nq_dot(sum[j], &taps, j, weights + (size_t)j * NQ_DOT_BYTES);
        }
        nq_float r[PARTS];
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++)
            r[j] = scale(b, j, sum[j]);
        store(call, k, i, x, nq_to_bytes(r, bounds));
    }
}

NQ_INLINE void run_way(const nq_depthwise_call *call, way k, const nq_bounds *bounds)
{
    const packed_block *b = call->packed;
    if (!b->fast) {
        for (int i = 0; i < (call->pairs ? 2 : 1); i++)
            run_any(call, (way){k.folds, call->pairs, k.channels}, bounds, i);
    } else if (call->op->window.stride == 2) {
        run_stride_2(call, k, bounds);
    } else if (call->pairs) {
        run_stride_1(call, (way){k.folds, 1, k.channels}, bounds);
    } else {
        run_stride_1(call, k, bounds);
    }
}

NQ_INLINE void run_block(const nq_depthwise_call *call, int folds)
{
    const nq_bounds bounds = nq_bounds_of(&call->op->out);
    if (call->channels == LANES / folds)
        run_way(call, (way){folds, 0, LANES / folds}, &bounds);
    else if (NQ_PARTS || folds == NQ_DEPTHWISE_FOLDS)
        run_way(call, (way){folds, 0, call->channels}, &bounds);
}

static void run_whole(const nq_depthwise_call *call)
{
    run_block(call, 1);
}

static void run_halves(const nq_depthwise_call *call)
{
    run_block(call, 2);
}

static void run_quarters(const nq_depthwise_call *call)
{
    run_block(call, 4);
}

static const nq_depthwise_width whole = {LANES, 1, NQ_PARTS, block_bytes, pack_block, run_whole};
static const nq_depthwise_width halves = {LANES / 2,   2,          NQ_PARTS,
                                          block_bytes, pack_block, run_halves};
static const nq_depthwise_width quarters = {LANES / 4,   4,          true,
                                            block_bytes, pack_block, run_quarters};
