#include "worker/float/backend.h"
#include "worker/float/layers.h"
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

/* libgomp's own names: the header omp.h belongs to one compiler, these belong to the library. */
extern void omp_set_num_threads(int threads);
extern int omp_get_max_threads(void);

/* Compiled code for one shape. */
typedef struct {
    nq_float_shape shape;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    size_t scratch; /* bytes */
} kernel;

struct nq_float_device {
    dnnl_engine_t engine;
    kernel *kernels;
    int count, room;
};

/* Weights and bias are only read, so that all threads may share their memory objects. */
struct nq_float_layer {
    int kernel;
    void *weight_data;
    float *bias_data;
    dnnl_memory_t weight, bias;
};

typedef struct {
    dnnl_memory_t in, out, scratch;
} kernel_room;

struct nq_float_thread {
    const nq_float_device *device;
    dnnl_stream_t stream;
    void *scratch;
    kernel_room *rooms; /* [count], one a kernel of the device */
    int count;
};

static nq_status fail(nq_error *err, dnnl_status_t status, const char *what)
{
    if (status == dnnl_out_of_memory)
        return nq_fail(err, NQ_ERR_NOMEM, "out of memory (oneDNN, %s)", what);
    return nq_fail(err, NQ_ERR_INTERNAL, "oneDNN refuses to %s (its status %d)", what, (int)status);
}

static void *aligned(size_t bytes)
{
    void *data = NULL;
    return posix_memalign(&data, 64, bytes ? bytes : 64) == 0 ? data : NULL;
}

static bool is_linear(const nq_float_shape *s)
{
    return s->in_height == 1 && s->in_width == 1 && s->kernel_h == 1 && s->kernel_w == 1 &&
           s->groups == 1;
}

static nq_status device_create(nq_float_device **device, nq_error *err)
{
    nq_float_device *d = calloc(1, sizeof *d);
    if (!d)
        return nq_fail_nomem(err, "the float device", sizeof *d);
    dnnl_status_t status = dnnl_engine_create(&d->engine, dnnl_cpu, 0);
    if (status != dnnl_success) {
        free(d);
        return fail(err, status, "create a CPU engine");
    }
    *device = d;
    return NQ_OK;
}

static void kernel_clear(kernel *k)
{
    if (k->primitive)
        dnnl_primitive_destroy(k->primitive);
    if (k->description)
        dnnl_primitive_desc_destroy(k->description);
}

static void device_free(nq_float_device *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->count; i++)
        kernel_clear(&d->kernels[i]);
    free(d->kernels);
    dnnl_engine_destroy(d->engine);
    free(d);
}

/* ReLU as a post-op, scratch memory from the caller, no reduced precision whatever the environment
 * says. */
static dnnl_status_t make_attributes(bool relu, dnnl_primitive_attr_t *attributes)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*attributes, dnnl_fpmath_mode_strict);
    if (status == dnnl_success && relu)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && relu)
        status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success && relu)
        status = dnnl_primitive_attr_set_post_ops(*attributes, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (status != dnnl_success)
        dnnl_primitive_attr_destroy(*attributes);
    return status;
}

/* weights: in the layout the caller holds them in; `tag` any leaves the layout to oneDNN. */
static dnnl_status_t weight_desc(const nq_float_shape *s, bool any, dnnl_memory_desc_t *md)
{
    if (is_linear(s)) {
        dnnl_dims_t dims = {s->out_channels, s->in_channels};
        return dnnl_memory_desc_init_by_tag(md, 2, dims, dnnl_f32,
                                            any ? dnnl_format_tag_any : dnnl_ab);
    }
    if (s->groups == 1) {
        dnnl_dims_t dims = {s->out_channels, s->in_channels, s->kernel_h, s->kernel_w};
        return dnnl_memory_desc_init_by_tag(md, 4, dims, dnnl_f32,
                                            any ? dnnl_format_tag_any : dnnl_ohwi);
    }
    dnnl_dims_t dims = {s->groups, s->out_channels / s->groups, s->in_channels / s->groups,
                        s->kernel_h, s->kernel_w};
    return dnnl_memory_desc_init_by_tag(md, 5, dims, dnnl_f32,
                                        any ? dnnl_format_tag_any : dnnl_gohwi);
}

static dnnl_status_t describe_linear(const nq_float_shape *s, const dnnl_memory_desc_t *weight,
                                     const dnnl_memory_desc_t *bias, dnnl_engine_t engine,
                                     dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t from, to;
    dnnl_inner_product_desc_t op;
    dnnl_dims_t from_dims = {s->batch, s->in_channels}, to_dims = {s->batch, s->out_channels};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&from, 2, from_dims, dnnl_f32, dnnl_nc);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&to, 2, to_dims, dnnl_f32, dnnl_nc);
    if (status == dnnl_success)
        status = dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, &from, weight,
                                                      s->bias ? bias : NULL, &to);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &op, attributes, engine, NULL);
    return status;
}

static dnnl_status_t describe_conv(const nq_float_shape *s, const dnnl_memory_desc_t *weight,
                                   const dnnl_memory_desc_t *bias, dnnl_engine_t engine,
                                   dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t from, to;
    dnnl_convolution_desc_t op;
    dnnl_dims_t from_dims = {s->batch, s->in_channels, s->in_height, s->in_width};
    dnnl_dims_t to_dims = {s->batch, s->out_channels, s->out_height, s->out_width};
    dnnl_dims_t strides = {s->stride, s->stride}, pads = {s->pad_h, s->pad_w};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&from, 4, from_dims, dnnl_f32, dnnl_nhwc);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&to, 4, to_dims, dnnl_f32, dnnl_nhwc);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(
            &op, dnnl_forward_inference, dnnl_convolution_direct, &from, weight,
            s->bias ? bias : NULL, &to, strides, pads, pads);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &op, attributes, engine, NULL);
    return status;
}

static nq_status kernel_build(dnnl_engine_t engine, const nq_float_shape *shape, kernel *k,
                              nq_error *err)
{
    dnnl_memory_desc_t weight, bias;
    dnnl_dims_t bias_dims = {shape->out_channels};
    dnnl_primitive_attr_t attributes;
    *k = (kernel){.shape = *shape};
    dnnl_status_t status = make_attributes(shape->relu, &attributes);
    if (status != dnnl_success)
        return fail(err, status, "make attributes");
    status = weight_desc(shape, true, &weight);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_x);
    if (status == dnnl_success)
        status = (is_linear(shape) ? describe_linear : describe_conv)(shape, &weight, &bias, engine,
                                                                      attributes, &k->description);
    dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&k->primitive, k->description);
    if (status != dnnl_success) {
        kernel_clear(k);
        return fail(err, status, "compile a layer of this shape");
    }
    k->scratch = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(k->description, dnnl_query_scratchpad_md, 0));
    return NQ_OK;
}

static nq_status kernel_find(nq_float_device *d, const nq_float_shape *shape, int *index,
                             nq_error *err)
{
    for (int i = 0; i < d->count; i++)
        if (memcmp(&d->kernels[i].shape, shape, sizeof *shape) == 0) {
            *index = i;
            return NQ_OK;
        }
    if (d->count == d->room) {
        int room = d->room ? 2 * d->room : 32;
        kernel *grown = realloc(d->kernels, (size_t)room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(err, "float kernels", (size_t)room * sizeof *grown);
        d->kernels = grown;
        d->room = room;
    }
    nq_status status = kernel_build(d->engine, shape, &d->kernels[d->count], err);
    if (status != NQ_OK)
        return status;
    *index = d->count++;
    return NQ_OK;
}

/* Brings `weight` from our order into `target`. */
static dnnl_status_t reorder(dnnl_engine_t engine, const dnnl_memory_desc_t *source,
                             const float *weight, dnnl_memory_t target,
                             const dnnl_memory_desc_t *target_desc)
{
    dnnl_memory_t from = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    /* The library's type has no const; a reorder's source is only read. */
    dnnl_status_t status = dnnl_memory_create(&from, source, engine, (void *)(uintptr_t)weight);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&description, source, engine, target_desc,
                                                    engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, description);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, target}};
        status = dnnl_primitive_execute(primitive, stream, 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    if (primitive)
        dnnl_primitive_destroy(primitive);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (stream)
        dnnl_stream_destroy(stream);
    if (from)
        dnnl_memory_destroy(from);
    return status;
}

static void layer_free(nq_float_layer *layer)
{
    if (!layer)
        return;
    if (layer->weight)
        dnnl_memory_destroy(layer->weight);
    if (layer->bias)
        dnnl_memory_destroy(layer->bias);
    free(layer->weight_data);
    free(layer->bias_data);
    free(layer);
}

static nq_status layer_weight(nq_float_device *d, const nq_float_shape *shape, const float *weight,
                              nq_float_layer *layer, nq_error *err)
{
    dnnl_memory_desc_t given;
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(
        d->kernels[layer->kernel].description, dnnl_query_weights_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    layer->weight_data = aligned(bytes);
    if (!layer->weight_data)
        return nq_fail_nomem(err, "float weights", bytes);
    dnnl_status_t status = weight_desc(shape, false, &given);
    if (status == dnnl_success)
        status = dnnl_memory_create(&layer->weight, wanted, d->engine, layer->weight_data);
    if (status == dnnl_success)
        status = reorder(d->engine, &given, weight, layer->weight, wanted);
    return status == dnnl_success ? NQ_OK : fail(err, status, "reorder weights");
}

static nq_status layer_bias(nq_float_device *d, const nq_float_shape *shape, const float *bias,
                            nq_float_layer *layer, nq_error *err)
{
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(
        d->kernels[layer->kernel].description, dnnl_query_weights_md, 1);
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    layer->bias_data = aligned(bytes);
    if (!layer->bias_data)
        return nq_fail_nomem(err, "float biases", bytes);
    memset(layer->bias_data, 0, bytes);
    memcpy(layer->bias_data, bias, (size_t)shape->out_channels * sizeof *bias);
    dnnl_status_t status = dnnl_memory_create(&layer->bias, wanted, d->engine, layer->bias_data);
    return status == dnnl_success ? NQ_OK : fail(err, status, "take biases");
}

static nq_status layer_create(nq_float_device *device, const nq_float_shape *shape,
                              const float *weight, const float *bias, nq_float_layer **layer,
                              nq_error *err)
{
    /* Kernels are planned for the number of threads OpenMP allows when they are made. */
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    nq_float_layer *made = calloc(1, sizeof *made);
    nq_status status = made ? kernel_find(device, shape, &made->kernel, err)
                            : nq_fail_nomem(err, "a float layer", sizeof *made);
    if (status == NQ_OK)
        status = layer_weight(device, shape, weight, made, err);
    if (status == NQ_OK && shape->bias)
        status = layer_bias(device, shape, bias, made, err);
    omp_set_num_threads(threads);
    if (status != NQ_OK) {
        layer_free(made);
        return status;
    }
    *layer = made;
    return NQ_OK;
}

static void thread_free(nq_float_thread *t)
{
    if (!t)
        return;
    for (int i = 0; t->rooms && i < t->count; i++) {
        if (t->rooms[i].in)
            dnnl_memory_destroy(t->rooms[i].in);
        if (t->rooms[i].out)
            dnnl_memory_destroy(t->rooms[i].out);
        if (t->rooms[i].scratch)
            dnnl_memory_destroy(t->rooms[i].scratch);
    }
    free(t->rooms);
    free(t->scratch);
    if (t->stream)
        dnnl_stream_destroy(t->stream);
    free(t);
}

static dnnl_status_t room_create(const kernel *k, dnnl_engine_t engine, void *scratch,
                                 kernel_room *room)
{
    dnnl_status_t status = dnnl_memory_create(
        &room->in, dnnl_primitive_desc_query_md(k->description, dnnl_query_src_md, 0), engine,
        DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(
            &room->out, dnnl_primitive_desc_query_md(k->description, dnnl_query_dst_md, 0), engine,
            DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(
            &room->scratch,
            dnnl_primitive_desc_query_md(k->description, dnnl_query_scratchpad_md, 0), engine,
            scratch);
    return status;
}

static nq_status thread_create(const nq_float_device *device, nq_float_thread **thread,
                               nq_error *err)
{
    size_t scratch = 0;
    for (int i = 0; i < device->count; i++)
        if (device->kernels[i].scratch > scratch)
            scratch = device->kernels[i].scratch;
    nq_float_thread *t = calloc(1, sizeof *t);
    if (!t)
        return nq_fail_nomem(err, "a float thread", sizeof *t);
    t->device = device;
    t->count = device->count;
    t->rooms = calloc((size_t)device->count + 1, sizeof *t->rooms);
    t->scratch = aligned(scratch);
    if (!t->rooms || !t->scratch) {
        thread_free(t);
        return nq_fail_nomem(err, "a float thread's scratch memory", scratch);
    }
    dnnl_status_t status =
        dnnl_stream_create(&t->stream, device->engine, dnnl_stream_default_flags);
    for (int i = 0; status == dnnl_success && i < device->count; i++)
        status = room_create(&device->kernels[i], device->engine, t->scratch, &t->rooms[i]);
    if (status != dnnl_success) {
        thread_free(t);
        return fail(err, status, "make a thread's memory objects");
    }
    *thread = t;
    return NQ_OK;
}

static void thread_enter(nq_float_thread *thread)
{
    (void)thread;
    omp_set_num_threads(1);
}

static nq_status layer_forward(nq_float_thread *t, const nq_float_layer *layer, const float *in,
                               float *out, nq_error *err)
{
    const kernel_room *room = &t->rooms[layer->kernel];
    dnnl_status_t status = dnnl_memory_set_data_handle(room->in, (void *)(uintptr_t)in);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(room->out, out);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, room->in},
                                  {DNNL_ARG_DST, room->out},
                                  {DNNL_ARG_WEIGHTS, layer->weight},
                                  {DNNL_ARG_SCRATCHPAD, room->scratch},
                                  {DNNL_ARG_BIAS, layer->bias}};
        status = dnnl_primitive_execute(t->device->kernels[layer->kernel].primitive, t->stream,
                                        layer->bias ? 5 : 4, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(t->stream);
    return status == dnnl_success ? NQ_OK : fail(err, status, "compute a layer");
}

const nq_float_backend nq_float_onednn = {
    .name = "oneDNN",
    .device_create = device_create,
    .device_free = device_free,
    .layer_create = layer_create,
    .layer_free = layer_free,
    .thread_create = thread_create,
    .thread_free = thread_free,
    .thread_enter = thread_enter,
    .layer_forward = layer_forward,
    .add = nq_layer_add,
    .copy_channels = nq_layer_copy_channels,
    .shuffle = nq_layer_shuffle,
    .maxpool = nq_layer_maxpool,
    .avgpool = nq_layer_avgpool,
};
