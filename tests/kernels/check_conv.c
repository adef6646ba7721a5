#include "tests/kernels/check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* y counts the output rows of all images. */
static int32_t window_sum(const nq_conv *op, const tensor *in, const int8_t *weight, int y, int x,
                          int o, int depthwise)
{
    const nq_window *w = &op->window;
    const int depth = depthwise ? 1 : w->in_c;
    int32_t sum = 0;
    for (int ky = 0; ky < w->kernel_h; ky++)
        for (int kx = 0; kx < w->kernel_w; kx++)
            for (int c = 0; c < depth; c++) {
                int iy = y % w->out_h * w->stride - w->pad_h + ky,
                    ix = x * w->stride - w->pad_w + kx;
                if (iy < 0 || iy >= w->in_h || ix < 0 || ix >= w->in_w)
                    continue;
                iy += y / w->out_h * w->in_h;
                size_t pixel = (size_t)(iy * w->in_w + ix) * in->pitch;
                int a = in->data[pixel + (size_t)(depthwise ? o : c)];
                sum += (a - op->in_zero) *
                       weight[((o * w->kernel_h + ky) * w->kernel_w + kx) * depth + c];
            }
    return sum;
}

static nq_conv random_conv(int depthwise)
{
    nq_conv op = {.window = random_window(between(0, 3) ? 24 : 150)};
    nq_window *w = &op.window;
    w->out_c = depthwise ? between(1, 200) : between(1, 40);
    if (depthwise)
        w->in_c = w->out_c;
    op.in_zero = between(0, 255);
    op.out = random_output();
    op.bias = allocate((size_t)w->out_c * sizeof(float));
    op.bias_factor = allocate((size_t)w->out_c * sizeof(float));
    op.multiplier = allocate((size_t)w->out_c * sizeof(float));
    int per_channel = between(0, 1);
    float terms = (float)(w->kernel_h * w->kernel_w * (depthwise ? 1 : w->in_c));
    float spread = sqrtf(terms) * 5000.0f, s = 0;
    for (int c = 0; c < w->out_c; c++) {
        if (c == 0 || per_channel)
            s = (float)exp(nq_random_normal(&check_rng) - 6);
        op.bias[c] = (float)nq_random_normal(&check_rng) * spread * (per_channel ? 1.0f : s);
        op.bias_factor[c] = per_channel ? 1.0f : 1.0f / s;
        op.multiplier[c] = (float)exp(nq_random_normal(&check_rng)) * 40.0f / spread;
    }
    if (between(0, 9) == 0) /* so large that everything clamps */
        op.multiplier[0] = 1e30f;
    return op;
}

/* Rare places made common: biases that cancel one output's sum and multipliers that magnify what is
 * left: there a fused multiply-add and a plain one differ. */
static void cancel_sums(nq_conv *op, const tensor *in, const int8_t *weight, int depthwise)
{
    const nq_window *w = &op->window;
    for (int o = 0; o < w->out_c; o++) {
        int y = between(0, w->out_h - 1), x = between(0, w->out_w - 1);
        op->bias[o] = -(float)window_sum(op, in, weight, y, x, o, depthwise) / op->bias_factor[o];
        op->multiplier[o] = (float)exp(5 * fabs(nq_random_normal(&check_rng)));
        if (between(0, 1)) { /* or results that lie half way between integers */
            op->bias[o] = 0.0f;
            op->multiplier[o] = ldexpf(1.0f, -between(1, 12));
        }
    }
}

/* The rows of a call, and in op->images of how many images they may be at most. */
static nq_rows random_call(nq_conv *op, int depthwise)
{
    const nq_window *w = &op->window;
    if (depthwise || between(0, 3))
        return random_rows(w);
    op->images = between(2, 5);
    return (nq_rows){0, between(1, op->images) * w->out_h};
}

static int check_conv(const nq_conv_kernel *kernel, int depthwise)
{
    nq_conv op = random_conv(depthwise);
    const nq_window *w = &op.window;
    int depth = depthwise ? 1 : w->in_c;
    size_t weights = (size_t)(w->out_c * w->kernel_h * w->kernel_w * depth), packed, scratch;
    int8_t *weight = allocate(weights);
    const int extreme = between(0, 3) == 0;
    for (size_t i = 0; i < weights; i++)
        weight[i] = (int8_t)(extreme ? between(0, 1) * 255 - 128 : between(-128, 127));
    nq_rows rows = random_call(&op, depthwise);
    int pixels = rows.count * w->out_w, channels = w->in_c;
    tensor in = tensor_random((size_t)(nq_rows_images(w, rows) * w->in_h * w->in_w), channels);
    tensor out = tensor_new((size_t)pixels, w->out_c);
    if (between(0, 2) == 0)
        cancel_sums(&op, &in, weight, depthwise);
    uint8_t *expected = allocate((size_t)(pixels * w->out_c));
    for (int p = 0; p < pixels; p++)
        for (int o = 0; o < w->out_c; o++) {
            int y = rows.first + p / w->out_w;
            int32_t sum = window_sum(&op, &in, weight, y, p % w->out_w, o, depthwise);
            float r = fmaf(op.bias[o], op.bias_factor[o], (float)sum) * op.multiplier[o];
            expected[p * w->out_c + o] = expected_output(r, &op.out);
        }
    kernel->size(&op, &packed, &scratch);
    uint8_t *p = allocate(packed + GUARD), *s = allocate(scratch + GUARD);
    memset(p, GUARD_BYTE, packed + GUARD);
    memset(s, GUARD_BYTE, scratch + GUARD);
    kernel->pack(&op, weight, p);
    const uint8_t *read = copy_rows(&in, w, rows);
    kernel->run(&op, p, rows, read, in.pitch, out.data, out.pitch, s);
    int good = tensor_check(&out, expected);
    for (size_t i = 0; i < GUARD; i++)
        good &= p[packed + i] == GUARD_BYTE && s[scratch + i] == GUARD_BYTE;
    free(op.bias), free(op.bias_factor), free(op.multiplier);
    free(weight), free(in.base), free(out.base), free(expected), free(p), free(s);
    return good;
}

int check_dense(const nq_kernels *k)
{
    return check_conv(&k->dense, 0);
}

int check_depthwise(const nq_kernels *k)
{
    return check_conv(&k->depthwise, 1);
}
