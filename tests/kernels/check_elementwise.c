#include "tests/kernels/check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int check_add(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 60), n = 0;
    int channels = between(1, 130);
    float a_scale = (float)exp(nq_random_normal(&check_rng)),
          b_scale = (float)exp(nq_random_normal(&check_rng));
    nq_add op = {.a_scale = a_scale,
                 .a_offset = -(a_scale * (float)between(0, 255)),
                 .b_scale = b_scale,
                 .b_offset = -(b_scale * (float)between(0, 255)),
                 .inverse = 1.0f / (float)exp(nq_random_normal(&check_rng)),
                 .out = random_output()};
    if (between(0, 2) == 0) /* magnify the last bits: shows whether the operations are fused */
        op.inverse *= 1e7f;
    tensor a = tensor_random(pixels, channels), b = tensor_random(pixels, channels);
    tensor out = tensor_new(pixels, channels);
    uint8_t *expected = allocate(pixels * (size_t)channels);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < (size_t)channels; c++) {
            float x = fmaf(op.a_scale, (float)a.data[p * a.pitch + c], op.a_offset);
            float y = fmaf(op.b_scale, (float)b.data[p * b.pitch + c], op.b_offset);
            float sum = x + y;
            expected[n++] = expected_output(sum * op.inverse, &op.out);
        }
    k->add(&op, a.data, a.pitch, b.data, b.pitch, out.data, out.pitch, pixels, channels);
    int good = tensor_check(&out, expected);
    free(a.base), free(b.base), free(out.base), free(expected);
    return good;
}

int check_lookup(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 60), n = 0;
    int channels = between(1, 130);
    uint8_t table[256];
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)between(0, 255);
    tensor in = tensor_random(pixels, channels), out = tensor_new(pixels, channels);
    uint8_t *expected = allocate(pixels * (size_t)channels);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < (size_t)channels; c++)
            expected[n++] = table[in.data[p * in.pitch + c]];
    k->lookup(table, in.data, in.pitch, out.data, out.pitch, pixels, channels);
    int good = tensor_check(&out, expected);
    free(in.base), free(out.base), free(expected);
    return good;
}

int check_shuffle(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 60);
    int groups = between(1, 4), each = between(1, 70), channels = groups * each;
    tensor in = tensor_random(pixels, channels), out = tensor_new(pixels, channels);
    uint8_t *expected = allocate(pixels * (size_t)channels);
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++)
            expected[p * (size_t)channels + (size_t)(c % each * groups + c / each)] =
                in.data[p * in.pitch + (size_t)c];
    k->shuffle(in.data, in.pitch, out.data, out.pitch, pixels, channels, groups);
    int good = tensor_check(&out, expected);
    free(in.base), free(out.base), free(expected);
    return good;
}

int check_interleave(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 60), n = 0;
    int channels = between(1, 130);
    uint8_t tables[2][256];
    for (int i = 0; i < 2 * 256; i++)
        tables[i / 256][i % 256] = (uint8_t)between(0, 255);
    tensor a = tensor_random(pixels, channels), b = tensor_random(pixels, channels);
    tensor out = tensor_new(pixels, 2 * channels);
    uint8_t *expected = allocate(pixels * 2 * (size_t)channels);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < (size_t)channels; c++) {
            expected[n++] = tables[0][a.data[p * a.pitch + c]];
            expected[n++] = tables[1][b.data[p * b.pitch + c]];
        }
    k->interleave((const uint8_t(*)[256])tables, a.data, a.pitch, b.data, b.pitch, out.data,
                  out.pitch, pixels, channels);
    int good = tensor_check(&out, expected);
    free(a.base), free(b.base), free(out.base), free(expected);
    return good;
}

int check_max_pool(const nq_kernels *k)
{
    nq_window w = random_window(130);
    w.out_c = w.in_c;
    nq_rows rows = random_rows(&w);
    tensor in = tensor_random((size_t)(w.in_h * w.in_w), w.in_c);
    tensor out = tensor_new((size_t)(rows.count * w.out_w), w.in_c);
    uint8_t *expected = allocate(out.pixels * (size_t)w.in_c);
    for (int p = 0; p < rows.count * w.out_w; p++)
        for (int c = 0; c < w.in_c; c++) {
            int best = -1;
            for (int t = 0; t < w.kernel_h * w.kernel_w; t++) {
                int y = (rows.first + p / w.out_w) * w.stride - w.pad_h + t / w.kernel_w;
                int x = p % w.out_w * w.stride - w.pad_w + t % w.kernel_w;
                if (y < 0 || y >= w.in_h || x < 0 || x >= w.in_w)
                    continue;
                int v = in.data[(size_t)(y * w.in_w + x) * in.pitch + (size_t)c];
                best = v > best ? v : best;
            }
            expected[p * w.in_c + c] = (uint8_t)best;
        }
    const uint8_t *read = copy_rows(&in, &w, rows);
    k->max_pool(&w, rows, read, in.pitch, out.data, out.pitch);
    int good = tensor_check(&out, expected);
    free(in.base), free(out.base), free(expected);
    return good;
}

int check_avg_pool(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 64);
    int channels = between(1, 300), zero = between(0, 255);
    tensor in = tensor_random(pixels, channels), out = tensor_new(1, channels);
    uint8_t *expected = allocate((size_t)channels);
    for (int c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += in.data[p * in.pitch + (size_t)c] - zero;
        expected[c] = (uint8_t)((int32_t)nearbyintf((float)sum / (float)pixels) + zero);
    }
    k->avg_pool(in.data, in.pitch, pixels, channels, zero, out.data);
    int good = tensor_check(&out, expected);
    free(in.base), free(out.base), free(expected);
    return good;
}

int check_input(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 500);
    uint8_t table[3][256];
    for (int i = 0; i < 3 * 256; i++)
        table[i / 256][i % 256] = (uint8_t)between(0, 255);
    uint8_t *in = allocate(3 * pixels), *out = allocate(3 * pixels + GUARD);
    memset(out, GUARD_BYTE, 3 * pixels + GUARD);
    for (size_t i = 0; i < 3 * pixels; i++)
        in[i] = (uint8_t)between(0, 255);
    k->input((const uint8_t(*)[256])table, in, out, pixels);
    int good = 1;
    for (size_t i = 0; i < 3 * pixels; i++)
        good &= out[i] == table[i % 3][in[i]];
    for (size_t i = 3 * pixels; i < 3 * pixels + GUARD; i++)
        good &= out[i] == GUARD_BYTE;
    free(in), free(out);
    return good;
}
