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

#endif
