#include "worker/float/phases.h"
#include <string.h>

#define MOST_CHANNELS 4
#define LEAST_TAPS    25 /* fewer leave nothing to gain */

/* Along one axis: pixel S y + phase takes tap `first + S j` of the kernel from position
 * y + base - j of the output. */
typedef struct {
    int first, base;
} phase;

static phase phase_of(int a, int pad, int stride)
{
    int first = (a + pad) % stride;
    return (phase){.first = first, .base = (a + pad - first) / stride};
}

/* The positions, relative to y, that any phase takes: from `low`, so many. */
typedef struct {
    int low, taps;
} reach;

static reach reach_of(int kernel, int pad, int stride)
{
    int low = 0, high = 0;
    for (int a = 0; a < stride; a++) {
        phase p = phase_of(a, pad, stride);
        int last = (kernel - 1 - p.first) / stride;
        low = p.base - last < low ? p.base - last : low;
        high = p.base > high ? p.base : high;
    }
    return (reach){.low = low, .taps = high - low + 1};
}

bool nq_phases_fit(const nq_float_shape *s)
{
    return s->pass == NQ_PASS_DATA && s->groups == 1 && s->in_channels <= MOST_CHANNELS &&
           s->stride > 1 && s->kernel_h >= s->stride && s->kernel_w >= s->stride &&
           s->kernel_h * s->kernel_w >= LEAST_TAPS && s->in_height % s->stride == 0 &&
           s->in_width % s->stride == 0;
}

nq_float_shape nq_phases_shape(const nq_float_shape *s)
{
    reach down = reach_of(s->kernel_h, s->pad_h, s->stride);
    reach right = reach_of(s->kernel_w, s->pad_w, s->stride);
    return (nq_float_shape){.pass = NQ_PASS_FORWARD,
                            .batch = s->batch,
                            .groups = 1,
                            .in_channels = s->out_channels,
                            .in_height = s->out_height,
                            .in_width = s->out_width,
                            .out_channels = s->stride * s->stride * s->in_channels,
                            .out_height = s->in_height / s->stride,
                            .out_width = s->in_width / s->stride,
                            .kernel_h = down.taps,
                            .kernel_w = right.taps,
                            .stride = 1,
                            .pad_h = -down.low,
                            .pad_w = -right.low};
}

/* The tap of the kernel that the phase has at position `at` of the taps, or -1. */
static int tap_of(int a, int at, int kernel, int pad, int stride, int low)
{
    phase p = phase_of(a, pad, stride);
    int j = p.base - (low + at), tap = p.first + stride * j;
    return j >= 0 && tap < kernel ? tap : -1;
}

/* One output of the convolution: phase (a, b) of channel i, [taps][taps][output channels]. */
static void phase_weight(const nq_float_shape *s, const nq_float_shape *wide, int a, int b, int i,
                         const float *weight, float *out)
{
    size_t row = (size_t)s->kernel_h * (size_t)s->kernel_w * (size_t)s->in_channels;
    for (int y = 0; y < wide->kernel_h; y++)
        for (int x = 0; x < wide->kernel_w; x++) {
            int ky = tap_of(a, y, s->kernel_h, s->pad_h, s->stride, -wide->pad_h);
            int kx = tap_of(b, x, s->kernel_w, s->pad_w, s->stride, -wide->pad_w);
            for (int o = 0; o < s->out_channels; o++)
                *out++ = ky < 0 || kx < 0
                             ? 0.0f
                             : weight[(size_t)o * row +
                                      (size_t)((ky * s->kernel_w + kx) * s->in_channels + i)];
        }
}

void nq_phases_weight(const nq_float_shape *s, const float *weight, float *phased)
{
    nq_float_shape wide = nq_phases_shape(s);
    size_t each = (size_t)wide.kernel_h * (size_t)wide.kernel_w * (size_t)wide.in_channels;
    for (int a = 0; a < s->stride; a++)
        for (int b = 0; b < s->stride; b++)
            for (int i = 0; i < s->in_channels; i++) {
                phase_weight(s, &wide, a, b, i, weight, phased);
                phased += each;
            }
}

void nq_phases_spread(const nq_float_shape *s, const float *phased, float *out)
{
    size_t run = (size_t)s->stride * (size_t)s->in_channels; /* floats of one row's phases */
    size_t width = (size_t)s->in_width / (size_t)s->stride, all = run * (size_t)s->stride;
    size_t rows = (size_t)s->batch * (size_t)s->in_height;
    for (size_t row = 0; row < rows; row++) {
        const float *from =
            phased + row / (size_t)s->stride * width * all + row % (size_t)s->stride * run;
        for (size_t x = 0; x < width; x++, from += all, out += run)
            memcpy(out, from, run * sizeof *out);
    }
}
