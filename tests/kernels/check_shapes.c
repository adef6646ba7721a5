#include "tests/kernels/check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

nq_random check_rng;

int between(int low, int high)
{
    return low + (int)(nq_random_u32(&check_rng) % (uint32_t)(high - low + 1));
}

void *allocate(size_t bytes)
{
    void *p = aligned_alloc(NQ_ALIGN, (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN);
    if (!p) {
        printf("Bail out! out of memory\n");
        exit(2);
    }
    return p;
}

tensor tensor_new(size_t pixels, int channels)
{
    tensor t = {.pixels = pixels, .channels = channels};
    t.pitch = (size_t)channels + (between(0, 2) ? 0u : (size_t)between(1, 40));
    t.bytes = GUARD + 3 + pixels * t.pitch + GUARD;
    t.base = allocate(t.bytes);
    t.data = t.base + GUARD + between(0, 3);
    memset(t.base, GUARD_BYTE, t.bytes);
    return t;
}

tensor tensor_random(size_t pixels, int channels)
{
    tensor t = tensor_new(pixels, channels);
    size_t first = (size_t)(t.data - t.base), tail = t.pitch - (size_t)channels;
    free(t.base);
    t.bytes = first + pixels * t.pitch - tail;
    t.base = malloc(t.bytes);
    if (!t.base) {
        printf("Bail out! out of memory\n");
        exit(2);
    }
    memset(t.base, GUARD_BYTE, t.bytes);
    t.data = t.base + first;
    int high = between(0, 3) ? 255 : between(1, 255), extreme = between(0, 3) == 0;
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++)
            t.data[p * t.pitch + (size_t)c] =
                (uint8_t)(extreme ? between(0, 1) * 255 : between(0, high));
    return t;
}

int tensor_check(const tensor *t, const uint8_t *expected)
{
    const uint8_t *at = t->base;
    for (size_t p = 0; p < t->pixels; p++) {
        const uint8_t *pixel = t->data + p * t->pitch;
        for (; at < pixel; at++)
            if (*at != GUARD_BYTE)
                return 0;
        if (memcmp(pixel, expected + p * (size_t)t->channels, (size_t)t->channels) != 0)
            return 0;
        at += t->channels;
    }
    for (; at < t->base + t->bytes; at++)
        if (*at != GUARD_BYTE)
            return 0;
    return 1;
}

uint8_t expected_output(float r, const nq_output *out)
{
    double q = nearbyint((double)r) + out->zero;
    return (uint8_t)(q < out->low ? out->low : q > out->high ? out->high : q);
}

nq_output random_output(void)
{
    nq_output out = {.high = between(0, 2) ? 255 : (1 << between(2, 7)) - 1};
    out.zero = between(0, 2) ? between(0, out.high) : 0;
    out.low = between(0, 1) ? out.zero : 0;
    return out;
}

nq_window random_window(int max_c)
{
    static const int kernels[] = {1, 1, 3, 3, 5, 7};
    nq_window w = {.in_h = between(1, 19), .in_w = between(1, 19)};
    w.kernel_h = w.kernel_w = kernels[between(0, 5)];
    if (between(0, 5) == 0)
        w.kernel_w = kernels[between(0, 5)];
    w.stride = between(1, 2);
    /* at least one pixel of the input under every window */
    w.pad_h = between(0, w.kernel_h / 2);
    w.pad_w = between(0, w.kernel_w / 2);
    while (w.in_h + 2 * w.pad_h < w.kernel_h)
        w.in_h++;
    while (w.in_w + 2 * w.pad_w < w.kernel_w)
        w.in_w++;
    w.in_c = between(1, max_c);
    w.out_h = (w.in_h + 2 * w.pad_h - w.kernel_h) / w.stride + 1;
    w.out_w = (w.in_w + 2 * w.pad_w - w.kernel_w) / w.stride + 1;
    return w;
}

nq_rows random_rows(const nq_window *w)
{
    if (between(0, 2) == 0)
        return (nq_rows){0, w->out_h};
    nq_rows rows = {.first = between(0, w->out_h - 1)};
    rows.count = between(1, w->out_h - rows.first);
    return rows;
}

/* Memory between pages that nobody may touch, which also instructions run into that no sanitizer
 * sees: tile loads, inline assembly. */
enum { ROOM = 4 << 20, PAGE = 4096 };

static uint8_t *fenced_room(void)
{
    static uint8_t *room;
    if (!room) {
        uint8_t *all =
            mmap(NULL, PAGE + ROOM + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED || mprotect(all + PAGE, ROOM, PROT_READ | PROT_WRITE) != 0) {
            printf("Bail out! no memory between fences\n");
            exit(2);
        }
        room = all + PAGE;
    }
    return room;
}

const uint8_t *copy_rows(const tensor *in, const nq_window *w, nq_rows rows)
{
    nq_rows read = nq_rows_read(w, rows);
    if (rows.count > w->out_h)
        read = (nq_rows){0, nq_rows_images(w, rows) * w->in_h};
    size_t row = (size_t)w->in_w * in->pitch, tail = in->pitch - (size_t)in->channels;
    size_t bytes = read.count ? (size_t)read.count * row - tail : 0;
    uint8_t *room = fenced_room(), *copy = between(0, 1) ? room : room + ROOM - bytes;
    if (bytes > ROOM) {
        printf("Bail out! an input of %zu bytes\n", bytes);
        exit(2);
    }
    if (bytes)
        memcpy(copy, in->data + (size_t)read.first * row, bytes);
    return copy;
}
