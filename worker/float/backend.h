/*
 * What an fp32 library has to offer: a table of functions, so that the network, and every method
 * built on it, knows no library. All tensors are f32 NHWC; weights are [O][KH][KW][I/groups].
 *
 *  - A device is shared by all threads: the library's handle and one compiled kernel a distinct
 *    shape.
 *  - A layer is a convolution or linear layer with its weights in the order its kernel likes.
 *  - A thread is one thread's room: streams, memory objects, scratch memory.
 *
 * Layers are created before threads; device and layers are read-only while threads use them.
 * Everything computes in one thread, the caller's: a result never depends on how many there are.
 */
#ifndef NQ_FLOAT_BACKEND_H
#define NQ_FLOAT_BACKEND_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct nq_float_device nq_float_device;
typedef struct nq_float_layer nq_float_layer;
typedef struct nq_float_thread nq_float_thread;

/* What a layer computes: its output, or a gradient from the gradient of its output. */
typedef enum { NQ_PASS_FORWARD, NQ_PASS_DATA, NQ_PASS_WEIGHT } nq_float_pass;

/* A convolution; a linear layer is the one whose kernel and maps are 1x1. Plain ints: two shapes
 * are the same when their bytes are. */
typedef struct {
    int pass;                      /* nq_float_pass */
    int batch, groups, bias, relu; /* bias and relu: 0 or 1; both 0 with NQ_PASS_DATA, relu with
                                      NQ_PASS_WEIGHT */
    int in_channels, in_height, in_width;
    int out_channels, out_height, out_width;
    int kernel_h, kernel_w, stride, pad_h, pad_w;
} nq_float_shape;

/* A window over a map, for pooling. */
typedef struct {
    int batch, channels, in_height, in_width, out_height, out_width;
    int kernel_h, kernel_w, stride, pad_h, pad_w;
} nq_float_window;

typedef struct {
    const char *name;

    nq_status (*device_create)(nq_float_device **device, nq_error *err);
    void (*device_free)(nq_float_device *device);

    /* Copies weight and, where shape->bias is 1, bias; with NQ_PASS_WEIGHT it reads neither. */
    nq_status (*layer_create)(nq_float_device *device, const nq_float_shape *shape,
                              const float *weight, const float *bias, nq_float_layer **layer,
                              nq_error *err);
    void (*layer_free)(nq_float_layer *layer);

    nq_status (*thread_create)(const nq_float_device *device, nq_float_thread **thread,
                               nq_error *err);
    void (*thread_free)(nq_float_thread *thread);

    /* To be called by a thread before it computes, each time it might have changed. */
    void (*thread_enter)(nq_float_thread *thread);

    /* in f32 [batch][IH][IW][I], out f32 [batch][OH][OW][O], both aligned to 64 bytes. */
    nq_status (*layer_forward)(nq_float_thread *thread, const nq_float_layer *layer,
                               const float *in, float *out, nq_error *err);

    /* A layer made with NQ_PASS_DATA: out is the gradient of what it reads, in the gradient of
     * what it writes. */
    nq_status (*layer_data_gradient)(nq_float_thread *thread, const nq_float_layer *layer,
                                     const float *in, float *out, nq_error *err);

    /* A layer made with NQ_PASS_WEIGHT: from what it read and the gradient of what it wrote, the
     * gradients of its weights, in our order, and of its biases (NULL where it has none), summed
     * over the batch. */
    nq_status (*layer_weight_gradient)(nq_float_thread *thread, const nq_float_layer *layer,
                                       const float *in, const float *gradient, float *weight,
                                       float *bias, nq_error *err);

    /* out[i] = a[i] + b[i], through ReLU if asked. */
    void (*add)(const float *a, const float *b, size_t count, bool relu, float *out);

    /* Copies channels [in_first, in_first + channels) of each of `pixels` pixels to out_first. */
    void (*copy_channels)(const float *in, int in_channels, int in_first, float *out,
                          int out_channels, int out_first, int channels, size_t pixels);

    /* Channel i * (C / groups) + j of the input becomes channel j * groups + i. */
    void (*shuffle)(const float *in, int channels, int groups, size_t pixels, float *out);

    /* Padding never wins. */
    void (*maxpool)(const nq_float_window *window, const float *in, float *out);

    /* The mean over `pixels` pixels of each image: f32 [batch][pixels][C] to f32 [batch][C]. */
    void (*avgpool)(const float *in, int batch, size_t pixels, int channels, float *out);

    /* What follows serves gradients. `gradient` is changed in place, from that of the output to
     * that of the input. */

    void (*relu)(const float *in, size_t count, float *out);
    /* 0 where in <= 0. */
    void (*relu_gradient)(const float *in, size_t count, float *gradient);

    /* A batch norm in evaluation mode: out = scale[c] * in + shift[c], through ReLU if asked. */
    void (*affine)(const float *in, int channels, size_t pixels, const float *scale,
                   const float *shift, bool relu, float *out);
    void (*affine_gradient)(const float *in, int channels, size_t pixels, const float *scale,
                            const float *shift, bool relu, float *gradient);

    /* A batch norm in training mode: mean and inverse[c] = 1/sqrt(biased variance + epsilon) over
     * all pixels are results; out = gamma * (in - mean) * inverse + beta. */
    void (*norm)(const float *in, int channels, size_t pixels, const float *gamma,
                 const float *beta, float epsilon, float *mean, float *inverse, float *out);
    /* gradient_gamma and gradient_beta: f32 [channels]. */
    void (*norm_gradient)(const float *in, int channels, size_t pixels, const float *gamma,
                          const float *mean, const float *inverse, float *gradient,
                          float *gradient_gamma, float *gradient_beta);

    /* to[i] += from[i]. */
    void (*add_to)(const float *from, size_t count, float *to);
    /* copy_channels() that adds to what is there. */
    void (*add_channels)(const float *in, int in_channels, int in_first, float *out,
                         int out_channels, int out_first, int channels, size_t pixels);

    /* Adds each window's gradient to `gradient_in` where its largest value came from: the first of
     * them, row by row. */
    void (*maxpool_gradient)(const nq_float_window *window, const float *in, const float *gradient,
                             float *gradient_in);
    /* f32 [batch][C] to f32 [batch][pixels][C]. */
    void (*avgpool_gradient)(const float *gradient, int batch, size_t pixels, int channels,
                             float *gradient_in);
} nq_float_backend;

extern const nq_float_backend nq_float_onednn;

#endif
