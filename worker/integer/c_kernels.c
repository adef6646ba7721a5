/*
 * The kernels in plain C for any CPU: the reference that faster ones are checked against.
 */
#include "worker/integer/kernels.h"
#include <math.h>
#include <string.h>

/* Integers that differ from the zero point by up to 255 fit 16 bits, and so do weights: products
 * and sums are then exact in 32 bits as long as nq_qmodel_check() holds. */
enum {
    RUN = 32,    /* 16-bit values that rows are padded to: NQ_ALIGN bytes */
    PIXELS = 32, /* output pixels that are gathered before they are multiplied */
    TILE_C = 4,  /* output channels of a tile; a tile is two pixels wide */
    LANES = 64   /* channels of a depthwise convolution done together */
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Half to even for |r| < 2^22: adding 1.5 * 2^23 leaves no bit for a fraction. */
static inline int32_t round_half_even(float r)
{
    return (int32_t)((r + 0x1.8p23f) - 0x1.8p23f);
}

/* Clamping before rounding gives the same, since the bounds are integers, and keeps r small. */
static inline uint8_t to_output(float r, const nq_output *out)
{
    float low = (float)(out->low - out->zero), high = (float)(out->high - out->zero);
    r = r < low ? low : r;
    r = r > high ? high : r;
    return (uint8_t)(round_half_even(r) + out->zero);
}

static inline void requantize_row(const nq_conv *op, const int32_t *acc, int first, int n,
                                  uint8_t *out)
{
    const float *bias = op->bias + first, *factor = op->bias_factor + first;
    const float *multiplier = op->multiplier + first;
    const nq_output to = op->out;
    for (int c = 0; c < n; c++)
        out[c] = to_output(fmaf(bias[c], factor[c], (float)acc[c]) * multiplier[c], &to);
}

/* ---- dense convolution: gather the input of PIXELS outputs, then multiply matrices ---- */

static size_t dense_depth(const nq_window *w)
{
    return (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)w->in_c;
}

/* Scratch: 16-bit inputs [PIXELS][depth], then accumulators [PIXELS][channels]. */
static void dense_size(const nq_conv *op, size_t *packed, size_t *scratch)
{
    size_t depth = round_up(dense_depth(&op->window), RUN);
    size_t channels = round_up((size_t)op->window.out_c, TILE_C);
    *packed = channels * depth * sizeof(int16_t);
    *scratch = round_up(PIXELS * (depth * sizeof(int16_t) + channels * sizeof(int32_t)), NQ_ALIGN);
}

static void dense_pack(const nq_conv *op, const int8_t *weight, void *packed)
{
    size_t depth = dense_depth(&op->window), padded = round_up(depth, RUN);
    size_t channels = round_up((size_t)op->window.out_c, TILE_C);
    int16_t *row = packed;
    memset(row, 0, channels * padded * sizeof *row);
    for (int o = 0; o < op->window.out_c; o++, row += padded)
        for (size_t i = 0; i < depth; i++)
            row[i] = weight[(size_t)o * depth + i];
}

static inline void widen(const uint8_t *in, size_t n, int32_t zero, int16_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)(in[i] - zero);
}

/* Everything under the window of output (y, x): [kernel_h][kernel_w][in_c], 0 where it pads. `in`
 * points at input row `first`. */
static void gather_window(const nq_conv *op, const uint8_t *in, size_t pitch, int first, int y,
                          int x, int16_t *out)
{
    const nq_window *w = &op->window;
    const size_t c = (size_t)w->in_c, row = (size_t)w->kernel_w * c;
    const int top = y * w->stride - w->pad_h, left = x * w->stride - w->pad_w;
    const int begin = left < 0 ? -left : 0;
    const int end = left + w->kernel_w > w->in_w ? w->in_w - left : w->kernel_w;
    for (int ky = 0; ky < w->kernel_h; ky++, out += row) {
        if (top + ky < 0 || top + ky >= w->in_h || begin >= end) {
            memset(out, 0, row * sizeof *out);
            continue;
        }
        const uint8_t *from =
            in + ((size_t)(top + ky - first) * (size_t)w->in_w + (size_t)(left + begin)) * pitch;
        memset(out, 0, (size_t)begin * c * sizeof *out);
        if (pitch == c)
            widen(from, (size_t)(end - begin) * c, op->in_zero, out + (size_t)begin * c);
        else
            for (int kx = begin; kx < end; kx++, from += pitch)
                widen(from, c, op->in_zero, out + (size_t)kx * c);
        memset(out + (size_t)end * c, 0, (size_t)(w->kernel_w - end) * c * sizeof *out);
    }
}

/* Two pixels (rows of x) times TILE_C output channels (rows of w). Compilers make the body two
 * instructions a term and vector; named sums stay in registers. */
static inline void multiply_tile(const int16_t *x, const int16_t *w, size_t depth, int32_t *acc0,
                                 int32_t *acc1)
{
    const int16_t *x0 = __builtin_assume_aligned(x, NQ_ALIGN);
    const int16_t *x1 = __builtin_assume_aligned(x + depth, NQ_ALIGN);
    const int16_t *w0 = __builtin_assume_aligned(w, NQ_ALIGN);
    const int16_t *w1 = __builtin_assume_aligned(w + depth, NQ_ALIGN);
    const int16_t *w2 = __builtin_assume_aligned(w + 2 * depth, NQ_ALIGN);
    const int16_t *w3 = __builtin_assume_aligned(w + 3 * depth, NQ_ALIGN);
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    for (size_t i = 0; i < depth; i++) {
        s00 += x0[i] * w0[i];
        s01 += x0[i] * w1[i];
        s02 += x0[i] * w2[i];
        s03 += x0[i] * w3[i];
        s10 += x1[i] * w0[i];
        s11 += x1[i] * w1[i];
        s12 += x1[i] * w2[i];
        s13 += x1[i] * w3[i];
    }
    acc0[0] = s00, acc0[1] = s01, acc0[2] = s02, acc0[3] = s03;
    acc1[0] = s10, acc1[1] = s11, acc1[2] = s12, acc1[3] = s13;
}

static void dense_run(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const size_t depth = dense_depth(w), padded = round_up(depth, RUN);
    const size_t channels = round_up((size_t)w->out_c, TILE_C);
    const int pixels = rows.count * w->out_w, in_first = nq_rows_read(w, rows).first;
    const size_t in_image = (size_t)(w->in_h * w->in_w) * in_pitch;
    int16_t *x = scratch;
    int32_t *acc = (int32_t *)(x + PIXELS * padded);
    for (int first = 0; first < pixels; first += PIXELS) {
        int n = pixels - first < PIXELS ? pixels - first : PIXELS;
        for (int p = 0; p < n; p++) {
            int16_t *row = x + (size_t)p * padded;
            int y = rows.first + (first + p) / w->out_w; /* of all images */
            gather_window(op, in + (size_t)(y / w->out_h) * in_image, in_pitch, in_first,
                          y % w->out_h, (first + p) % w->out_w, row);
            memset(row + depth, 0, (padded - depth) * sizeof *row);
        }
        if (n % 2) /* the last tile's second pixel */
            memset(x + (size_t)n * padded, 0, padded * sizeof *x);
        for (size_t c = 0; c < channels; c += TILE_C)
            for (int p = 0; p < n; p += 2) {
                int32_t *a = acc + (size_t)p * channels + c;
                multiply_tile(x + (size_t)p * padded, (const int16_t *)packed + c * padded, padded,
                              a, a + channels);
            }
        for (int p = 0; p < n; p++)
            requantize_row(op, acc + (size_t)p * channels, 0, w->out_c,
                           out + (size_t)(first + p) * out_pitch);
    }
}

/* ---- depthwise convolution: channel by channel, LANES of them at once ---- */

/* Packed: 16-bit [tap][channel]. */
static void depthwise_size(const nq_conv *op, size_t *packed, size_t *scratch)
{
    const nq_window *w = &op->window;
    *packed = round_up(dense_depth(w) * sizeof(int16_t), NQ_ALIGN); /* in_c = out_c */
    *scratch = NQ_ALIGN;
}

static void depthwise_pack(const nq_conv *op, const int8_t *weight, void *packed)
{
    int taps = op->window.kernel_h * op->window.kernel_w, channels = op->window.out_c;
    int16_t *to = packed;
    for (int t = 0; t < taps; t++)
        for (int c = 0; c < channels; c++)
            *to++ = weight[c * taps + t];
}

/* A product of a weight and a difference of integers fits 16 bits: 255 * 128 = 32640. */
static inline void add_tap(const uint8_t *in, const int16_t *w, int32_t zero, int n, int32_t *acc)
{
    for (int c = 0; c < n; c++)
        acc[c] += (int16_t)((int16_t)(in[c] - zero) * w[c]);
}

/* `in` points at input row in_first; the window's corner is at (top, left). */
static inline void depthwise_pixel(const nq_conv *op, const int16_t *weight, const uint8_t *in,
                                   size_t pitch, int in_first, int top, int left, int first, int n,
                                   int32_t *acc)
{
    const nq_window *w = &op->window;
    memset(acc, 0, LANES * sizeof *acc);
    for (int ky = 0; ky < w->kernel_h; ky++) {
        int y = top + ky;
        if (y < 0 || y >= w->in_h)
            continue;
        for (int kx = 0; kx < w->kernel_w; kx++) {
            int x = left + kx;
            if (x < 0 || x >= w->in_w)
                continue;
            const uint8_t *from =
                in + ((size_t)(y - in_first) * (size_t)w->in_w + (size_t)x) * pitch + first;
            const int16_t *tap =
                weight + (size_t)(ky * w->kernel_w + kx) * (size_t)w->out_c + first;
            if (n == LANES) /* a constant: the loop needs no tail */
                add_tap(from, tap, op->in_zero, LANES, acc);
            else
                add_tap(from, tap, op->in_zero, n, acc);
        }
    }
}

static void depthwise_run(const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                          size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch)
{
    const nq_window *w = &op->window;
    const int in_first = nq_rows_read(w, rows).first;
    int32_t acc[LANES];
    (void)scratch;
    for (int y = rows.first; y < rows.first + rows.count; y++)
        for (int x = 0; x < w->out_w; x++, out += out_pitch)
            for (int first = 0; first < w->out_c; first += LANES) {
                int n = w->out_c - first < LANES ? w->out_c - first : LANES;
                depthwise_pixel(op, packed, in, in_pitch, in_first, y * w->stride - w->pad_h,
                                x * w->stride - w->pad_w, first, n, acc);
                requantize_row(op, acc, first, n, out + first);
            }
}

/* ---- the rest ---- */

static void add(const nq_add *op, const uint8_t *a, size_t a_pitch, const uint8_t *b,
                size_t b_pitch, uint8_t *out, size_t out_pitch, size_t pixels, int channels)
{
    const nq_add k = *op;
    for (size_t p = 0; p < pixels; p++, a += a_pitch, b += b_pitch, out += out_pitch)
        for (int c = 0; c < channels; c++) {
            float sum =
                fmaf(k.a_scale, (float)a[c], k.a_offset) + fmaf(k.b_scale, (float)b[c], k.b_offset);
            out[c] = to_output(sum * k.inverse, &k.out);
        }
}

static void lookup(const uint8_t table[256], const uint8_t *in, size_t in_pitch, uint8_t *out,
                   size_t out_pitch, size_t pixels, int channels)
{
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (int c = 0; c < channels; c++)
            out[c] = table[in[c]];
}

static void shuffle(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,
                    size_t pixels, int channels, int groups)
{
    int each = channels / groups;
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (int i = 0; i < groups; i++)
            for (int j = 0; j < each; j++)
                out[j * groups + i] = in[i * each + j];
}

static void interleave(const uint8_t tables[2][256], const uint8_t *a, size_t a_pitch,
                       const uint8_t *b, size_t b_pitch, uint8_t *out, size_t out_pitch,
                       size_t pixels, int channels)
{
    for (size_t p = 0; p < pixels; p++, a += a_pitch, b += b_pitch, out += out_pitch)
        for (int c = 0; c < channels; c++) {
            out[2 * c] = tables[0][a[c]];
            out[2 * c + 1] = tables[1][b[c]];
        }
}

static void max_pool(const nq_window *w, nq_rows rows, const uint8_t *in, size_t in_pitch,
                     uint8_t *out, size_t out_pitch)
{
    const int in_first = nq_rows_read(w, rows).first;
    for (int y = rows.first; y < rows.first + rows.count; y++)
        for (int x = 0; x < w->out_w; x++, out += out_pitch) {
            memset(out, 0, (size_t)w->in_c);
            for (int ky = 0; ky < w->kernel_h; ky++)
                for (int kx = 0; kx < w->kernel_w; kx++) {
                    int iy = y * w->stride - w->pad_h + ky, ix = x * w->stride - w->pad_w + kx;
                    if (iy < 0 || iy >= w->in_h || ix < 0 || ix >= w->in_w)
                        continue;
                    const uint8_t *from =
                        in + ((size_t)(iy - in_first) * (size_t)w->in_w + (size_t)ix) * in_pitch;
                    for (int c = 0; c < w->in_c; c++)
                        out[c] = from[c] > out[c] ? from[c] : out[c];
                }
        }
}

static void avg_pool(const uint8_t *in, size_t in_pitch, size_t pixels, int channels, int32_t zero,
                     uint8_t *out)
{
    for (int c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += in[p * in_pitch + (size_t)c] - zero;
        out[c] = (uint8_t)(round_half_even((float)sum / (float)pixels) + zero);
    }
}

static void input(const uint8_t table[3][256], const uint8_t *crop, uint8_t *out, size_t pixels)
{
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < 3; c++)
            out[3 * p + (size_t)c] = table[c][crop[3 * p + (size_t)c]];
}

static bool supported(void)
{
    return true;
}

extern const nq_kernels nq_kernels_c;
const nq_kernels nq_kernels_c = {
    .name = "c",
    .supported = supported,
    .dense = {dense_size, dense_pack, dense_run},
    .depthwise = {depthwise_size, depthwise_pack, depthwise_run},
    .add = add,
    .lookup = lookup,
    .shuffle = shuffle,
    .interleave = interleave,
    .max_pool = max_pool,
    .avg_pool = avg_pool,
    .input = input,
};
