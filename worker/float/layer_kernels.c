#include "worker/float/layers.h"
#include <string.h>

void nq_layer_add(const float *a, const float *b, size_t count, bool relu, float *out)
{
    if (!relu) {
        for (size_t i = 0; i < count; i++)
            out[i] = a[i] + b[i];
        return;
    }
    for (size_t i = 0; i < count; i++) {
        float sum = a[i] + b[i];
        out[i] = sum < 0.0f ? 0.0f : sum; /* a NaN stays one */
    }
}

void nq_layer_copy_channels(const float *in, int in_channels, int in_first, float *out,
                            int out_channels, int out_first, int channels, size_t pixels)
{
    size_t bytes = (size_t)channels * sizeof(float);
    in += in_first;
    out += out_first;
    for (size_t p = 0; p < pixels; p++) {
        memcpy(out, in, bytes);
        in += in_channels;
        out += out_channels;
    }
}

/* Two groups, as the architectures have them: two rows become pairs, and pairs two rows. */
static void pair_up(const float *restrict in, int each, float *restrict out)
{
    for (int j = 0; j < each; j++) {
        out[2 * j] = in[j];
        out[2 * j + 1] = in[each + j];
    }
}

static void take_apart(const float *restrict in, int pairs, float *restrict out)
{
    for (int i = 0; i < pairs; i++) {
        out[i] = in[2 * i];
        out[pairs + i] = in[2 * i + 1];
    }
}

void nq_layer_shuffle(const float *in, int channels, int groups, size_t pixels, float *out)
{
    int each = channels / groups;
    for (size_t p = 0; p < pixels; p++) {
        if (groups == 2)
            pair_up(in, each, out);
        else if (each == 2)
            take_apart(in, groups, out);
        else
            for (int i = 0; i < groups; i++)
                for (int j = 0; j < each; j++)
                    out[j * groups + i] = in[i * each + j];
        in += channels;
        out += channels;
    }
}

/* out = max(out, in), channel by channel; a NaN, once in, stays. */
static void take_larger(const float *in, int channels, float *out)
{
    for (int c = 0; c < channels; c++)
        out[c] = in[c] > out[c] || in[c] != in[c] ? in[c] : out[c];
}

static void maxpool_pixel(const nq_float_window *w, const float *image, int oy, int ox, float *out)
{
    bool empty = true;
    for (int ky = 0; ky < w->kernel_h; ky++) {
        int y = oy * w->stride - w->pad_h + ky;
        if (y < 0 || y >= w->in_height)
            continue;
        for (int kx = 0; kx < w->kernel_w; kx++) {
            int x = ox * w->stride - w->pad_w + kx;
            if (x < 0 || x >= w->in_width)
                continue;
            const float *in = image + ((size_t)y * (size_t)w->in_width + (size_t)x) * w->channels;
            if (empty)
                memcpy(out, in, (size_t)w->channels * sizeof(float));
            else
                take_larger(in, w->channels, out);
            empty = false;
        }
    }
}

void nq_layer_maxpool(const nq_float_window *w, const float *in, float *out)
{
    size_t image = (size_t)w->in_height * (size_t)w->in_width * (size_t)w->channels;
    for (int n = 0; n < w->batch; n++)
        for (int y = 0; y < w->out_height; y++)
            for (int x = 0; x < w->out_width; x++) {
                maxpool_pixel(w, in + (size_t)n * image, y, x, out);
                out += w->channels;
            }
}

void nq_layer_avgpool(const float *in, int batch, size_t pixels, int channels, float *out)
{
    for (int n = 0; n < batch; n++) {
        memset(out, 0, (size_t)channels * sizeof(float));
        for (size_t p = 0; p < pixels; p++) {
            for (int c = 0; c < channels; c++)
                out[c] += in[c];
            in += channels;
        }
        for (int c = 0; c < channels; c++)
            out[c] /= (float)pixels;
        out += channels;
    }
}
