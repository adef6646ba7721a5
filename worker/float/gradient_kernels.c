#include "worker/float/layers.h"
#include <math.h>
#include <string.h>

#define CHUNK 64 /* channels that are looked at together */

void nq_layer_relu(const float *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = in[i] < 0.0f ? 0.0f : in[i];
}

void nq_layer_relu_gradient(const float *in, size_t count, float *gradient)
{
    for (size_t i = 0; i < count; i++)
        gradient[i] = in[i] <= 0.0f ? 0.0f : gradient[i];
}

void nq_layer_affine(const float *restrict in, int channels, size_t pixels,
                     const float *restrict scale, const float *restrict shift, bool relu,
                     float *restrict out)
{
    float floor = relu ? 0.0f : -INFINITY;
    for (size_t p = 0; p < pixels; p++) {
        for (int c = 0; c < channels; c++) {
            float value = scale[c] * in[c] + shift[c];
            out[c] = value < floor ? floor : value;
        }
        in += channels;
        out += channels;
    }
}

void nq_layer_affine_gradient(const float *restrict in, int channels, size_t pixels,
                              const float *restrict scale, const float *restrict shift, bool relu,
                              float *restrict gradient)
{
    float floor = relu ? 0.0f : -INFINITY;
    for (size_t p = 0; p < pixels; p++) {
        for (int c = 0; c < channels; c++) {
            float value = scale[c] * in[c] + shift[c], passed = gradient[c] * scale[c];
            gradient[c] = value <= floor ? 0.0f : passed;
        }
        in += channels;
        gradient += channels;
    }
}

/* Two sums over all pixels of up to CHUNK channels. */
typedef struct {
    double first[CHUNK], second[CHUNK];
} channel_sums;

static channel_sums sum_squares(const float *in, int channels, int count, size_t pixels,
                                const double *centre)
{
    channel_sums s = {{0}, {0}};
    for (size_t p = 0; p < pixels; p++, in += channels)
        for (int c = 0; c < count; c++) {
            double value = (double)in[c] - centre[c];
            s.first[c] += value;
            s.second[c] += value * value;
        }
    return s;
}

static void normalise(const float *in, int channels, int count, size_t pixels, const float *mean,
                      const float *factor, const float *beta, float *out)
{
    for (size_t p = 0; p < pixels; p++, in += channels, out += channels)
        for (int c = 0; c < count; c++)
            out[c] = (in[c] - mean[c]) * factor[c] + beta[c];
}

void nq_layer_norm(const float *in, int channels, size_t pixels, const float *gamma,
                   const float *beta, float epsilon, float *mean, float *inverse, float *out)
{
    for (int first = 0; first < channels; first += CHUNK) {
        int count = channels - first < CHUNK ? channels - first : CHUNK;
        double centre[CHUNK] = {0};
        float factor[CHUNK] = {0};
        channel_sums s = sum_squares(in + first, channels, count, pixels, centre);
        for (int c = 0; c < count; c++)
            centre[c] = s.first[c] / (double)pixels;
        s = sum_squares(in + first, channels, count, pixels, centre);
        for (int c = 0; c < count; c++) {
            mean[first + c] = (float)centre[c];
            inverse[first + c] =
                (float)(1.0 / sqrt(s.second[c] / (double)pixels + (double)epsilon));
            factor[c] = gamma[first + c] * inverse[first + c];
        }
        normalise(in + first, channels, count, pixels, mean + first, factor, beta + first,
                  out + first);
    }
}

static channel_sums sum_gradients(const float *in, const float *gradient, int channels, int count,
                                  size_t pixels, const float *mean, const float *inverse)
{
    channel_sums s = {{0}, {0}};
    for (size_t p = 0; p < pixels; p++, in += channels, gradient += channels)
        for (int c = 0; c < count; c++) {
            s.first[c] += (double)gradient[c];
            s.second[c] += (double)(gradient[c] * ((in[c] - mean[c]) * inverse[c]));
        }
    return s;
}

void nq_layer_norm_gradient(const float *in, int channels, size_t pixels, const float *gamma,
                            const float *mean, const float *inverse, float *gradient,
                            float *gradient_gamma, float *gradient_beta)
{
    for (int first = 0; first < channels; first += CHUNK) {
        int count = channels - first < CHUNK ? channels - first : CHUNK;
        const float *x = in + first, *m = mean + first, *r = inverse + first;
        float *g = gradient + first;
        float level[CHUNK] = {0}, slope[CHUNK] = {0}, factor[CHUNK] = {0};
        channel_sums s = sum_gradients(x, g, channels, count, pixels, m, r);
        for (int c = 0; c < count; c++) {
            gradient_beta[first + c] = (float)s.first[c];
            gradient_gamma[first + c] = (float)s.second[c];
            level[c] = (float)(s.first[c] / (double)pixels);
            slope[c] = (float)(s.second[c] / (double)pixels);
            factor[c] = gamma[first + c] * r[c];
        }
        for (size_t p = 0; p < pixels; p++, x += channels, g += channels)
            for (int c = 0; c < count; c++)
                g[c] = factor[c] * (g[c] - level[c] - slope[c] * ((x[c] - m[c]) * r[c]));
    }
}

void nq_layer_add_to(const float *restrict from, size_t count, float *restrict to)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

void nq_layer_add_channels(const float *in, int in_channels, int in_first, float *out,
                           int out_channels, int out_first, int channels, size_t pixels)
{
    in += in_first;
    out += out_first;
    for (size_t p = 0; p < pixels; p++) {
        nq_layer_add_to(in, (size_t)channels, out);
        in += in_channels;
        out += out_channels;
    }
}

/* Where the largest of a window lies, as an offset into the image; for `count` channels. */
static void find_largest(const nq_float_window *w, const float *image, int oy, int ox, int count,
                         int *where)
{
    float best[CHUNK] = {0};
    bool empty = true;
    for (int ky = 0; ky < w->kernel_h; ky++) {
        int y = oy * w->stride - w->pad_h + ky;
        if (y < 0 || y >= w->in_height)
            continue;
        for (int kx = 0; kx < w->kernel_w; kx++) {
            int x = ox * w->stride - w->pad_w + kx;
            if (x < 0 || x >= w->in_width)
                continue;
            int offset = (y * w->in_width + x) * w->channels;
            for (int c = 0; c < count; c++) {
                float value = image[offset + c];
                bool larger = empty || value > best[c];
                best[c] = larger ? value : best[c];
                where[c] = larger ? offset : where[c];
            }
            empty = false;
        }
    }
}

static void scatter_pixel(const nq_float_window *w, const float *image, int y, int x,
                          const float *gradient, float *gradient_in)
{
    int where[CHUNK] = {0};
    for (int first = 0; first < w->channels; first += CHUNK) {
        int count = w->channels - first < CHUNK ? w->channels - first : CHUNK;
        find_largest(w, image + first, y, x, count, where);
        for (int c = 0; c < count; c++)
            gradient_in[where[c] + first + c] += gradient[first + c];
    }
}

void nq_layer_maxpool_gradient(const nq_float_window *w, const float *in, const float *gradient,
                               float *gradient_in)
{
    size_t image = (size_t)w->in_height * (size_t)w->in_width * (size_t)w->channels;
    for (int n = 0; n < w->batch; n++)
        for (int y = 0; y < w->out_height; y++)
            for (int x = 0; x < w->out_width; x++) {
                scatter_pixel(w, in + (size_t)n * image, y, x, gradient,
                              gradient_in + (size_t)n * image);
                gradient += w->channels;
            }
}

void nq_layer_avgpool_gradient(const float *gradient, int batch, size_t pixels, int channels,
                               float *gradient_in)
{
    for (int n = 0; n < batch; n++) {
        for (size_t p = 0; p < pixels; p++) {
            for (int c = 0; c < channels; c++)
                gradient_in[c] = gradient[c] / (float)pixels;
            gradient_in += channels;
        }
        gradient += channels;
    }
}
