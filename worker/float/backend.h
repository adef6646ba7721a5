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

/* A convolution; a linear layer is the one whose kernel and maps are 1x1. Plain ints: two shapes
 * are the same when their bytes are. */
typedef struct {
    int batch, groups, bias, relu; /* bias and relu: 0 or 1 */
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

    /* Copies weight and bias (NULL where shape->bias is 0). */
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
} nq_float_backend;

extern const nq_float_backend nq_float_onednn;

#endif
