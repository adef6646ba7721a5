#include "tests/kernels/bench_kernels.h"
#include "worker/integer/kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TABLES = 8, ROUNDS = 9, PIXELS = 112 * 112, BYTES = PIXELS * 96 };

typedef enum { DENSE, DEPTHWISE, ADD, LOOKUP, SHUFFLE, INTERLEAVE, MAX_POOL, AVG_POOL, INPUT } kind;
static const char *const names[] = {"dense",      "depthwise", "add",      "lookup", "shuffle",
                                    "interleave", "max_pool",  "avg_pool", "input"};

/* Square in both directions; what is not a convolution or max_pool keeps its size. */
typedef struct {
    kind kind;
    int in_c, out_c, size, kernel, stride;
} shape;

static const shape shapes[] = {{DENSE, 3, 64, 224, 7, 2},       {DENSE, 64, 64, 56, 3, 1},
                               {DENSE, 64, 128, 56, 3, 2},      {DENSE, 128, 128, 28, 3, 1},
                               {DENSE, 256, 256, 14, 3, 1},     {DENSE, 512, 512, 7, 3, 1},
                               {DENSE, 64, 128, 56, 1, 2},      {DENSE, 3, 32, 224, 3, 2},
                               {DENSE, 32, 16, 112, 1, 1},      {DENSE, 16, 96, 112, 1, 1},
                               {DENSE, 96, 24, 56, 1, 1},       {DENSE, 24, 144, 56, 1, 1},
                               {DENSE, 58, 58, 28, 1, 1},       {DENSE, 96, 576, 14, 1, 1},
                               {DENSE, 576, 96, 14, 1, 1},      {DENSE, 320, 1280, 7, 1, 1},
                               {DENSE, 1280, 1000, 1, 1, 1},    {DEPTHWISE, 32, 32, 112, 3, 1},
                               {DEPTHWISE, 96, 96, 112, 3, 2},  {DEPTHWISE, 144, 144, 56, 3, 1},
                               {DEPTHWISE, 144, 144, 56, 3, 2}, {DEPTHWISE, 192, 192, 28, 3, 1},
                               {DEPTHWISE, 384, 384, 14, 3, 1}, {DEPTHWISE, 576, 576, 14, 3, 2},
                               {DEPTHWISE, 960, 960, 7, 3, 1},  {DEPTHWISE, 24, 24, 56, 3, 2},
                               {DEPTHWISE, 58, 58, 56, 3, 2},   {DEPTHWISE, 58, 58, 28, 3, 1},
                               {DEPTHWISE, 116, 116, 14, 3, 1}, {DEPTHWISE, 232, 232, 7, 3, 1},
                               {DEPTHWISE, 72, 72, 28, 5, 2},   {ADD, 64, 64, 56, 1, 1},
                               {ADD, 24, 24, 56, 1, 1},         {LOOKUP, 116, 116, 28, 1, 1},
                               {LOOKUP, 58, 58, 28, 1, 1},      {SHUFFLE, 116, 116, 28, 1, 1},
                               {SHUFFLE, 464, 464, 7, 1, 1},    {INTERLEAVE, 58, 116, 28, 1, 1},
                               {INTERLEAVE, 232, 464, 7, 1, 1}, {MAX_POOL, 64, 64, 112, 3, 2},
                               {AVG_POOL, 1280, 1280, 7, 7, 1}, {INPUT, 3, 3, 224, 1, 1}};

/* What all calls read and write; the contents matter to none of them. */
static struct {
    uint8_t *in, *other, *out;
    int8_t *weight;
    float *constants;
    uint8_t table[3][256];
} data;

typedef struct {
    const nq_kernels *k;
    shape s;
    nq_conv op;
    void *packed, *scratch;
} call;

/* Of this thread alone: the machine may be busy. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(const call *c)
{
    const nq_window *w = &c->op.window;
    const nq_kernels *k = c->k;
    const size_t n = (size_t)c->s.in_c, pixels = (size_t)(c->s.size * c->s.size);
    const nq_rows all = {0, w->out_h};
    static const nq_add add = {0.1f, -0.5f, 0.2f, -0.25f, 3.0f, {.zero = 3, .high = 255}};
    switch (c->s.kind) {
    case DENSE:
        k->dense.run(&c->op, c->packed, all, data.in, n, data.out, (size_t)c->s.out_c, c->scratch);
        break;
    case DEPTHWISE:
        k->depthwise.run(&c->op, c->packed, all, data.in, n, data.out, n, c->scratch);
        break;
    case ADD:
        k->add(&add, data.in, n, data.other, n, data.out, n, pixels, c->s.in_c);
        break;
    case LOOKUP:
        k->lookup(data.table[0], data.in, n, data.out, 2 * n, pixels, c->s.in_c);
        break;
    case SHUFFLE:
        k->shuffle(data.in, n, data.out, n, pixels, c->s.in_c, 2);
        break;
    case INTERLEAVE:
        k->interleave((const uint8_t(*)[256])data.table, data.in, n, data.other, n, data.out, 2 * n,
                      pixels, c->s.in_c);
        break;
    case MAX_POOL:
        k->max_pool(w, all, data.in, n, data.out, n);
        break;
    case AVG_POOL:
        k->avg_pool(data.in, n, pixels, c->s.in_c, 3, data.out);
        break;
    case INPUT:
        k->input((const uint8_t(*)[256])data.table, data.in, data.out, pixels);
        break;
    }
}

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(NQ_ALIGN, (bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return p;
}

static call prepare(const nq_kernels *k, const shape *s)
{
    const int pad = s->kernel / 2, out = (s->size + 2 * pad - s->kernel) / s->stride + 1;
    call c = {.k = k, .s = *s};
    c.op = (nq_conv){.window = {.in_h = s->size,
                                .in_w = s->size,
                                .in_c = s->in_c,
                                .out_h = out,
                                .out_w = out,
                                .out_c = s->out_c,
                                .kernel_h = s->kernel,
                                .kernel_w = s->kernel,
                                .stride = s->stride,
                                .pad_h = pad,
                                .pad_w = pad},
                     .in_zero = 7,
                     .out = {.zero = 5, .low = 5, .high = 255},
                     .bias = data.constants,
                     .bias_factor = data.constants,
                     .multiplier = data.constants};
    if (s->kind == DENSE || s->kind == DEPTHWISE) {
        const nq_conv_kernel *kernel = s->kind == DENSE ? &k->dense : &k->depthwise;
        size_t packed, scratch;
        kernel->size(&c.op, &packed, &scratch);
        c.packed = allocate(packed);
        c.scratch = allocate(scratch);
        kernel->pack(&c.op, data.weight, c.packed);
    }
    return c;
}

/* Seconds a call, `calls` of them in a row. */
static double measure(const call *c, int calls)
{
    double start = now();
    for (int i = 0; i < calls; i++)
        run(c);
    return (now() - start) / calls;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_shape(const call *calls, int tables, double seconds[][ROUNDS])
{
    const shape *s = &calls->s;
    const nq_window *w = &calls->op.window;
    double work = (double)w->out_h * w->out_w * s->out_c, last = 0;
    if (s->kind == DENSE)
        work *= s->kernel * s->kernel * s->in_c;
    if (s->kind == DEPTHWISE)
        work *= s->kernel * s->kernel;
    if (s->kind == AVG_POOL)
        work = (double)s->in_c * s->size * s->size;
    char what[64];
    snprintf(what, sizeof what, "%s %dx%d %d->%d %dx%d/%d", names[s->kind], s->size, s->size,
             s->in_c, s->out_c, s->kernel, s->kernel, s->stride);
    printf("%-36s", what);
    for (int t = 0; t < tables; t++) {
        qsort(seconds[t], ROUNDS, sizeof seconds[t][0], ascending);
        last = seconds[t][ROUNDS / 2];
        printf(" %10.1f", 1e6 * last);
    }
    printf(" %8.1f\n", 1e-9 * work / last);
    fflush(stdout);
}

static void bench_shape(const nq_kernels *const *tables, int n, const shape *s)
{
    call calls[TABLES];
    int repeat[TABLES];
    double seconds[TABLES][ROUNDS];
    for (int t = 0; t < n; t++) {
        calls[t] = prepare(tables[t], s);
        double once = measure(&calls[t], 2);
        repeat[t] = once > 2e-3 ? 1 : (int)(2e-3 / once) + 1;
    }
    for (int r = 0; r < ROUNDS; r++)
        for (int t = 0; t < n; t++)
            seconds[t][r] = measure(&calls[t], repeat[t]);
    print_shape(calls, n, seconds);
    for (int t = 0; t < n; t++) {
        free(calls[t].packed);
        free(calls[t].scratch);
    }
}

static void make_data(void)
{
    const size_t weights = (size_t)3 * 3 * 512 * 512;
    data.in = allocate(BYTES);
    data.other = allocate(BYTES);
    data.out = allocate((size_t)2 * BYTES);
    data.weight = allocate(weights);
    data.constants = allocate(1280 * sizeof(float));
    for (size_t i = 0; i < BYTES; i++) {
        data.in[i] = (uint8_t)(i * 2654435761u >> 24);
        data.other[i] = (uint8_t)(i * 2246822519u >> 23);
    }
    for (size_t i = 0; i < weights; i++)
        data.weight[i] = (int8_t)(i * 2654435761u >> 22);
    for (int i = 0; i < 1280; i++)
        data.constants[i] = 0.001f * (float)(i % 7 + 1);
    for (int i = 0; i < 3 * 256; i++)
        data.table[i / 256][i % 256] = (uint8_t)(i * 3);
}

int bench_kernels(const char *only)
{
    const nq_kernels *tables[TABLES], *k;
    int n = 0;
    printf("%-36s", "us a call");
    for (size_t i = 0; (k = nq_kernels_at(i)) != NULL && n < TABLES; i++)
        if (k->supported()) {
            tables[n++] = k;
            printf(" %10s", k->name);
        }
    printf(" %8s\n", "G/s");
    make_data();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (!only || strcmp(only, names[shapes[i].kind]) == 0)
            bench_shape(tables, n, &shapes[i]);
    free(data.in), free(data.other), free(data.out), free(data.weight), free(data.constants);
    return 0;
}
