/* The layers that need no library: NHWC makes them plain loops. See backend.h for what each does.
 */
#ifndef NQ_FLOAT_LAYERS_H
#define NQ_FLOAT_LAYERS_H

#include "worker/float/backend.h"

void nq_layer_add(const float *a, const float *b, size_t count, bool relu, float *out);
void nq_layer_copy_channels(const float *in, int in_channels, int in_first, float *out,
                            int out_channels, int out_first, int channels, size_t pixels);
void nq_layer_shuffle(const float *in, int channels, int groups, size_t pixels, float *out);
void nq_layer_maxpool(const nq_float_window *window, const float *in, float *out);
void nq_layer_avgpool(const float *in, int batch, size_t pixels, int channels, float *out);

void nq_layer_relu(const float *in, size_t count, float *out);
void nq_layer_relu_gradient(const float *in, size_t count, float *gradient);
void nq_layer_affine(const float *in, int channels, size_t pixels, const float *scale,
                     const float *shift, bool relu, float *out);
void nq_layer_affine_gradient(const float *in, int channels, size_t pixels, const float *scale,
                              const float *shift, bool relu, float *gradient);
void nq_layer_norm(const float *in, int channels, size_t pixels, const float *gamma,
                   const float *beta, float epsilon, float *mean, float *inverse, float *out);
void nq_layer_norm_gradient(const float *in, int channels, size_t pixels, const float *gamma,
                            const float *mean, const float *inverse, float *gradient,
                            float *gradient_gamma, float *gradient_beta);
void nq_layer_add_to(const float *from, size_t count, float *to);
void nq_layer_add_channels(const float *in, int in_channels, int in_first, float *out,
                           int out_channels, int out_first, int channels, size_t pixels);
void nq_layer_maxpool_gradient(const nq_float_window *window, const float *in,
                               const float *gradient, float *gradient_in);
void nq_layer_avgpool_gradient(const float *gradient, int batch, size_t pixels, int channels,
                               float *gradient_in);

#endif
