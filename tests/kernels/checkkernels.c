/*
 * checkkernels [--cases N] [--seed S] [--only FUNCTION]: every function of every kernel table that
 * this CPU can run, against the formulas written out plainly, on N random shapes each. Inputs lie
 * at odd addresses and outputs between guard bytes; both are checked after each call. TAP output.
 * checkkernels --bench [--only FUNCTION]: how long they take instead.
 */
#include "common/random.h"
#include "tests/kernels/bench_kernels.h"
#include "worker/integer/kernels.h"
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

static nq_random rng;

static int between(int low, int high)
{
    return low + (int)(nq_random_u32(&rng) % (uint32_t)(high - low + 1));
}

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(NQ_ALIGN, (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN);
    if (!p) {
        printf("Bail out! out of memory\n");
        exit(2);
    }
    return p;
}

/* ---- tensors: `channels` of a pixel are the kernel's, the rest of the pitch is not ---- */

typedef struct {
    uint8_t *base, *data;
    size_t pixels, pitch, bytes;
    int channels;
} tensor;

static tensor tensor_new(size_t pixels, int channels)
{
    tensor t = {.pixels = pixels, .channels = channels};
    t.pitch = (size_t)channels + (between(0, 2) ? 0u : (size_t)between(1, 40));
    t.bytes = GUARD + 3 + pixels * t.pitch + GUARD;
    t.base = allocate(t.bytes);
    t.data = t.base + GUARD + between(0, 3);
    memset(t.base, GUARD_BYTE, t.bytes);
    return t;
}

static tensor tensor_random(size_t pixels, int channels)
{
    tensor t = tensor_new(pixels, channels);
    int high = between(0, 3) ? 255 : between(1, 255), extreme = between(0, 3) == 0;
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++)
            t.data[p * t.pitch + (size_t)c] =
                (uint8_t)(extreme ? between(0, 1) * 255 : between(0, high));
    return t;
}

/* The kernel's bytes equal `expected` ([pixels][channels]); all others are as they were. */
static int tensor_check(const tensor *t, const uint8_t *expected)
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

/* ---- the formulas ---- */

static uint8_t expected_output(float r, const nq_output *out)
{
    double q = nearbyint((double)r) + out->zero;
    return (uint8_t)(q < out->low ? out->low : q > out->high ? out->high : q);
}

static nq_output random_output(void)
{
    nq_output out = {.high = between(0, 2) ? 255 : (1 << between(2, 7)) - 1};
    out.zero = between(0, 2) ? between(0, out.high) : 0;
    out.low = between(0, 1) ? out.zero : 0;
    return out;
}

static nq_window random_window(int max_c)
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

/* Everything, or some of the output's rows. */
static nq_rows random_rows(const nq_window *w)
{
    if (between(0, 2) == 0)
        return (nq_rows){0, w->out_h};
    nq_rows rows = {.first = between(0, w->out_h - 1)};
    rows.count = between(1, w->out_h - rows.first);
    return rows;
}

/* A copy of the input rows that a call may read, at the same pitch and nothing around them. */
static uint8_t *copy_rows(const tensor *in, const nq_window *w, nq_rows rows)
{
    nq_rows read = nq_rows_read(w, rows);
    size_t row = (size_t)w->in_w * in->pitch, bytes = (size_t)read.count * row;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) {
        printf("Bail out! out of memory\n");
        exit(2);
    }
    if (bytes) /* what lies between the last pixel's channels and its pitch is the guard's */
        memcpy(copy, in->data + (size_t)read.first * row, bytes);
    return copy;
}

static int32_t window_sum(const nq_conv *op, const tensor *in, const int8_t *weight, int y, int x,
                          int o, int depthwise)
{
    const nq_window *w = &op->window;
    const int depth = depthwise ? 1 : w->in_c;
    int32_t sum = 0;
    for (int ky = 0; ky < w->kernel_h; ky++)
        for (int kx = 0; kx < w->kernel_w; kx++)
            for (int c = 0; c < depth; c++) {
                int iy = y * w->stride - w->pad_h + ky, ix = x * w->stride - w->pad_w + kx;
                if (iy < 0 || iy >= w->in_h || ix < 0 || ix >= w->in_w)
                    continue;
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
            s = (float)exp(nq_random_normal(&rng) - 6);
        op.bias[c] = (float)nq_random_normal(&rng) * spread * (per_channel ? 1.0f : s);
        op.bias_factor[c] = per_channel ? 1.0f : 1.0f / s;
        op.multiplier[c] = (float)exp(nq_random_normal(&rng)) * 40.0f / spread;
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
        op->multiplier[o] = (float)exp(5 * fabs(nq_random_normal(&rng)));
        if (between(0, 1)) { /* or results that lie half way between integers */
            op->bias[o] = 0.0f;
            op->multiplier[o] = ldexpf(1.0f, -between(1, 12));
        }
    }
}

static int check_conv(const nq_conv_kernel *kernel, int depthwise)
{
    nq_conv op = random_conv(depthwise);
    const nq_window *w = &op.window;
    int depth = depthwise ? 1 : w->in_c;
    size_t weights = (size_t)(w->out_c * w->kernel_h * w->kernel_w * depth), packed, scratch;
    int8_t *weight = allocate(weights);
    for (size_t i = 0; i < weights; i++)
        weight[i] = (int8_t)between(-128, 127);
    nq_rows rows = random_rows(w);
    int pixels = rows.count * w->out_w, channels = w->in_c;
    tensor in = tensor_random((size_t)(w->in_h * w->in_w), channels);
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
    uint8_t *read = copy_rows(&in, w, rows);
    kernel->run(&op, p, rows, read, in.pitch, out.data, out.pitch, s);
    int good = tensor_check(&out, expected);
    for (size_t i = 0; i < GUARD; i++)
        good &= p[packed + i] == GUARD_BYTE && s[scratch + i] == GUARD_BYTE;
    free(op.bias), free(op.bias_factor), free(op.multiplier);
    free(weight), free(in.base), free(out.base), free(expected), free(p), free(s), free(read);
    return good;
}

static int check_dense(const nq_kernels *k)
{
    return check_conv(&k->dense, 0);
}

static int check_depthwise(const nq_kernels *k)
{
    return check_conv(&k->depthwise, 1);
}

static int check_add(const nq_kernels *k)
{
    size_t pixels = (size_t)between(1, 60), n = 0;
    int channels = between(1, 130);
    float a_scale = (float)exp(nq_random_normal(&rng)),
          b_scale = (float)exp(nq_random_normal(&rng));
    nq_add op = {.a_scale = a_scale,
                 .a_offset = -(a_scale * (float)between(0, 255)),
                 .b_scale = b_scale,
                 .b_offset = -(b_scale * (float)between(0, 255)),
                 .inverse = 1.0f / (float)exp(nq_random_normal(&rng)),
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

static int check_lookup(const nq_kernels *k)
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

static int check_shuffle(const nq_kernels *k)
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

static int check_interleave(const nq_kernels *k)
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

static int check_max_pool(const nq_kernels *k)
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
    uint8_t *read = copy_rows(&in, &w, rows);
    k->max_pool(&w, rows, read, in.pitch, out.data, out.pitch);
    int good = tensor_check(&out, expected);
    free(in.base), free(out.base), free(expected), free(read);
    return good;
}

static int check_avg_pool(const nq_kernels *k)
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

static int check_input(const nq_kernels *k)
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

static const struct {
    const char *name;
    int (*check)(const nq_kernels *k);
} functions[] = {
    {"dense", check_dense},       {"depthwise", check_depthwise}, {"add", check_add},
    {"lookup", check_lookup},     {"shuffle", check_shuffle},     {"interleave", check_interleave},
    {"max_pool", check_max_pool}, {"avg_pool", check_avg_pool},   {"input", check_input}};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

/* Each case has its own stream, so that a failure can be run again alone. */
static int check_function(const nq_kernels *k, size_t f, uint64_t seed, long cases)
{
    for (long c = 0; c < cases; c++) {
        nq_random_init(&rng, seed, (uint64_t)c);
        if (!functions[f].check(k)) {
            printf("# %s.%s differs in case %ld of seed %llu\n", k->name, functions[f].name, c,
                   (unsigned long long)seed);
            return 0;
        }
    }
    return 1;
}

static int check_tables(long cases, uint64_t seed, const char *only)
{
    int test = 0, failed = 0;
    const nq_kernels *k;
    for (size_t i = 0; (k = nq_kernels_at(i)) != NULL; i++)
        for (size_t f = 0; f < FUNCTIONS; f++) {
            if (only && strcmp(only, functions[f].name) != 0)
                continue;
            if (!k->supported()) {
                printf("ok %d - %s.%s # SKIP this CPU cannot run it\n", ++test, k->name,
                       functions[f].name);
                continue;
            }
            int good = check_function(k, f, seed, cases);
            failed += !good;
            printf("%s %d - %s.%s: %ld cases\n", good ? "ok" : "not ok", ++test, k->name,
                   functions[f].name, cases);
            fflush(stdout);
        }
    printf("1..%d\n", test);
    return failed != 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cases", required_argument, NULL, 'c'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"bench", no_argument, NULL, 'b'},
                                            {0}};
    long cases = 1000;
    uint64_t seed = 1;
    const char *only = NULL;
    bool bench = false, usage = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        cases = o == 'c' ? atol(optarg) : cases;
        seed = o == 's' ? strtoull(optarg, NULL, 10) : seed;
        only = o == 'o' ? optarg : only;
        bench |= o == 'b';
        usage |= o == '?';
    }
    if (usage || optind < argc || cases < 1 || cases > 1000000) {
        fprintf(stderr, "usage: checkkernels [--cases 1..1000000] [--seed S] [--only FUNCTION]\n"
                        "       checkkernels --bench [--only FUNCTION]\n");
        return 2;
    }
    return bench ? bench_kernels(only) : check_tables(cases, seed, only);
}
