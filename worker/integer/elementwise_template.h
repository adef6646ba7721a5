/*
 * Additions, channel shuffle and pools: a file includes simd256.h or simd512.h, defines NQ_ISA (the
 * functions' last name) and includes this once.
 */
#include "worker/integer/blocks.h"
#include "worker/integer/elementwise.h"
#include <math.h>

#define JOIN(a, b)  a##_##b
#define NAME(a, b)  JOIN(a, b)
#define FUNCTION(f) NAME(f, NQ_ISA)

enum { PARTS = 4 };

typedef struct {
    nq_float a_scale, a_offset, b_scale, b_offset, inverse;
    nq_bounds bounds;
    bool fit; /* no result leaves 32 bits */
} add_constants;

static bool results_fit(const nq_add *op)
{
    float a = 255.0f * fabsf(op->a_scale) + fabsf(op->a_offset);
    float b = 255.0f * fabsf(op->b_scale) + fabsf(op->b_offset);
    return (a + b) * fabsf(op->inverse) < 0x1p30f;
}

NQ_INLINE nq_vec add_bytes(const add_constants *k, nq_vec a, nq_vec b)
{
    nq_vec x[PARTS], y[PARTS];
    nq_float r[PARTS];
    nq_widen(a, x);
    nq_widen(b, y);
#pragma GCC unroll 4
    for (int j = 0; j < PARTS; j++) {
        nq_float real_a = nq_fma(k->a_scale, nq_to_float(x[j]), k->a_offset);
        nq_float real_b = nq_fma(k->b_scale, nq_to_float(y[j]), k->b_offset);
        r[j] = nq_mul(nq_add_floats(real_a, real_b), k->inverse);
    }
    return k->fit ? nq_to_bytes_within(r, &k->bounds) : nq_to_bytes(r, &k->bounds);
}

void FUNCTION(nq_add)(const nq_add *op, const uint8_t *a, size_t a_pitch, const uint8_t *b,
                      size_t b_pitch, uint8_t *out, size_t out_pitch, size_t pixels, int channels)
{
    const add_constants k = {.a_scale = nq_splat_float(op->a_scale),
                             .a_offset = nq_splat_float(op->a_offset),
                             .b_scale = nq_splat_float(op->b_scale),
                             .b_offset = nq_splat_float(op->b_offset),
                             .inverse = nq_splat_float(op->inverse),
                             .bounds = nq_bounds_of(&op->out),
                             .fit = results_fit(op)};
    size_t n = (size_t)channels;
    nq_join_pixels(a_pitch == n && b_pitch == n && out_pitch == n, &pixels, &n);
    for (size_t p = 0; p < pixels; p++, a += a_pitch, b += b_pitch, out += out_pitch)
        for (size_t i = 0; i < n; i = nq_block_next(i, n))
            nq_block_store(out + i, add_bytes(&k, nq_block_load(a + i, n), nq_block_load(b + i, n)),
                           n);
}

static void shuffle_any(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,
                        size_t pixels, size_t channels, size_t groups)
{
    size_t each = channels / groups;
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (size_t i = 0; i < groups; i++)
            for (size_t j = 0; j < each; j++)
                out[j * groups + i] = in[i * each + j];
}

void FUNCTION(nq_shuffle)(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,
                          size_t pixels, int channels, int groups)
{
    const size_t n = (size_t)channels / 2;
    if (groups != 2) {
        shuffle_any(in, in_pitch, out, out_pitch, pixels, (size_t)channels, (size_t)groups);
        return;
    }
    for (size_t p = 0; p < pixels; p++, in += in_pitch, out += out_pitch)
        for (size_t i = 0; i < n; i = nq_block_next(i, n))
            nq_block_store_zipped(out + 2 * i, nq_block_load(in + i, n),
                                  nq_block_load(in + n + i, n), n);
}

/* The part of a window that lies inside the input, along one axis. */
static inline void clip(int start, int kernel, int size, int *begin, int *end)
{
    *begin = start < 0 ? 0 : start;
    *end = start + kernel > size ? size : start + kernel;
}

static inline int clamp(int i, int size)
{
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* Three pixels of a column, or one of them twice. */
static inline nq_vec max_of_column(const uint8_t *const rows[3], size_t at, size_t n)
{
    return nq_max(nq_max(nq_block_load(rows[0] + at, n), nq_block_load(rows[1] + at, n)),
                  nq_block_load(rows[2] + at, n));
}

/* 3x3: a pixel of the padding gives way to its neighbour, whose maximum counts anyway. With stride
 * 2 a window's last column is the next one's first. */
static void max_pool_3x3(const nq_window *w, nq_rows rows, const uint8_t *in, size_t in_pitch,
                         uint8_t *out, size_t out_pitch)
{
    const size_t n = (size_t)w->in_c, row = (size_t)w->in_w * in_pitch;
    const int in_first = nq_rows_read(w, rows).first;
    for (int y = rows.first; y < rows.first + rows.count; y++) {
        const uint8_t *from[3];
        for (int k = 0; k < 3; k++)
            from[k] = in + (size_t)(clamp(y * w->stride - w->pad_h + k, w->in_h) - in_first) * row;
        for (size_t i = 0; i < n; i = nq_block_next(i, n)) {
            nq_vec last = max_of_column(from, (size_t)clamp(-w->pad_w, w->in_w) * in_pitch + i, n);
            uint8_t *to = out + i;
            for (int x = 0; x < w->out_w; x++, to += out_pitch) {
                const int left = x * w->stride - w->pad_w;
                nq_vec first = last;
                if (w->stride != 2)
                    first = max_of_column(from, (size_t)clamp(left, w->in_w) * in_pitch + i, n);
                nq_vec middle =
                    max_of_column(from, (size_t)clamp(left + 1, w->in_w) * in_pitch + i, n);
                last = max_of_column(from, (size_t)clamp(left + 2, w->in_w) * in_pitch + i, n);
                nq_block_store(to, nq_max(nq_max(first, middle), last), n);
            }
        }
        out += (size_t)w->out_w * out_pitch;
    }
}

void FUNCTION(nq_max_pool)(const nq_window *w, nq_rows rows, const uint8_t *in, size_t in_pitch,
                           uint8_t *out, size_t out_pitch)
{
    if (w->kernel_h == 3 && w->kernel_w == 3) {
        max_pool_3x3(w, rows, in, in_pitch, out, out_pitch);
        return;
    }
    const size_t n = (size_t)w->in_c, row = (size_t)w->in_w * in_pitch;
    const int in_first = nq_rows_read(w, rows).first;
    for (int y = rows.first; y < rows.first + rows.count; y++)
        for (int x = 0; x < w->out_w; x++, out += out_pitch) {
            int top, bottom, left, right;
            clip(y * w->stride - w->pad_h, w->kernel_h, w->in_h, &top, &bottom);
            clip(x * w->stride - w->pad_w, w->kernel_w, w->in_w, &left, &right);
            for (size_t i = 0; i < n; i = nq_block_next(i, n)) {
                nq_vec best = nq_splat(0);
                for (int ky = top; ky < bottom; ky++) {
                    const uint8_t *from =
                        in + (size_t)(ky - in_first) * row + (size_t)left * in_pitch + i;
                    for (int kx = left; kx < right; kx++, from += in_pitch)
                        best = nq_max(best, nq_block_load(from, n));
                }
                nq_block_store(out + i, best, n);
            }
        }
}

void FUNCTION(nq_avg_pool)(const uint8_t *in, size_t in_pitch, size_t pixels, int channels,
                           int32_t zero, uint8_t *out)
{
    const nq_bounds bounds = nq_bounds_of(&(nq_output){.zero = zero, .high = 255});
    const nq_float count = nq_splat_float((float)pixels);
    const size_t n = (size_t)channels;
    for (size_t i = 0; i < n; i = nq_block_next(i, n)) {
        const nq_vec start = nq_splat_int(-(int32_t)pixels * zero);
        nq_vec sum[PARTS] = {start, start, start, start}, v[PARTS];
        for (size_t p = 0; p < pixels; p++) {
            nq_widen(nq_block_load(in + p * in_pitch + i, n), v);
#pragma GCC unroll 4
            for (int j = 0; j < PARTS; j++)
                sum[j] = nq_add_ints(sum[j], v[j]);
        }
        nq_float r[PARTS];
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++)
            r[j] = nq_div(nq_to_float(sum[j]), count);
        nq_block_store(out + i, nq_to_bytes(r, &bounds), n);
    }
}
