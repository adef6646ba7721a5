#include "worker/float/backend.h"
#include "worker/float/layers.h"
#include "worker/float/onednn_kernels.h"
#include "worker/float/phases.h"
#include <stdlib.h>
#include <string.h>

/* libgomp's own names: the header omp.h belongs to one compiler, these belong to the library. */
extern void omp_set_num_threads(int threads);
extern int omp_get_max_threads(void);

struct nq_float_device {
    dnnl_engine_t engine;
    nq_onednn_kernel *kernels;
    int count, room;
    size_t aside; /* bytes that a thread puts aside for the largest phased output */
};

/* Weights and bias are only read, so that all threads may share their memory objects. */
struct nq_float_layer {
    int kernel;
    bool phased;             /* the kernel is that of phases.h */
    nq_float_shape gradient; /* of which it takes the place */
    void *weight_data;
    float *bias_data;
    dnnl_memory_t weight, bias;
};

/* source2 and plain: the weight pass alone. */
typedef struct {
    dnnl_memory_t source, source2, target, scratch, plain;
} kernel_room;

struct nq_float_thread {
    const nq_float_device *device;
    dnnl_stream_t stream;
    void *scratch;
    void *packed;       /* a weight gradient in the kernel's order */
    kernel_room *rooms; /* [count], one a kernel of the device */
    int count;
};

static void *aligned(size_t bytes)
{
    void *data = NULL;
    return posix_memalign(&data, 64, bytes ? bytes : 64) == 0 ? data : NULL;
}

static nq_status device_create(nq_float_device **device, nq_error *err)
{
    nq_float_device *d = calloc(1, sizeof *d);
    if (!d)
        return nq_fail_nomem(err, "the float device", sizeof *d);
    dnnl_status_t status = dnnl_engine_create(&d->engine, dnnl_cpu, 0);
    if (status != dnnl_success) {
        free(d);
        return nq_onednn_fail(err, status, "create a CPU engine");
    }
    *device = d;
    return NQ_OK;
}

static void device_free(nq_float_device *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->count; i++)
        nq_onednn_kernel_clear(&d->kernels[i]);
    free(d->kernels);
    dnnl_engine_destroy(d->engine);
    free(d);
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
        nq_onednn_kernel *grown = realloc(d->kernels, (size_t)room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(err, "float kernels", (size_t)room * sizeof *grown);
        d->kernels = grown;
        d->room = room;
    }
    nq_status status = nq_onednn_kernel_build(d->engine, shape, &d->kernels[d->count], err);
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
    const dnnl_memory_desc_t *wanted =
        nq_onednn_operand(&d->kernels[layer->kernel], dnnl_query_weights_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    layer->weight_data = aligned(bytes);
    if (!layer->weight_data)
        return nq_fail_nomem(err, "float weights", bytes);
    dnnl_status_t status = nq_onednn_weight_plain(shape, &given);
    if (status == dnnl_success)
        status = dnnl_memory_create(&layer->weight, wanted, d->engine, layer->weight_data);
    if (status == dnnl_success)
        status = reorder(d->engine, &given, weight, layer->weight, wanted);
    return status == dnnl_success ? NQ_OK : nq_onednn_fail(err, status, "reorder weights");
}

static nq_status layer_bias(nq_float_device *d, const nq_float_shape *shape, const float *bias,
                            nq_float_layer *layer, nq_error *err)
{
    const dnnl_memory_desc_t *wanted =
        nq_onednn_operand(&d->kernels[layer->kernel], dnnl_query_weights_md, 1);
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    layer->bias_data = aligned(bytes);
    if (!layer->bias_data)
        return nq_fail_nomem(err, "float biases", bytes);
    memset(layer->bias_data, 0, bytes);
    memcpy(layer->bias_data, bias, (size_t)shape->out_channels * sizeof *bias);
    dnnl_status_t status = dnnl_memory_create(&layer->bias, wanted, d->engine, layer->bias_data);
    return status == dnnl_success ? NQ_OK : nq_onednn_fail(err, status, "take biases");
}

static nq_status layer_fill(nq_float_device *device, const nq_float_shape *shape,
                            const float *weight, const float *bias, nq_float_layer *layer,
                            nq_error *err)
{
    nq_status status = kernel_find(device, shape, &layer->kernel, err);
    if (status == NQ_OK && shape->pass != NQ_PASS_WEIGHT)
        status = layer_weight(device, shape, weight, layer, err);
    if (status == NQ_OK && shape->pass == NQ_PASS_FORWARD && shape->bias)
        status = layer_bias(device, shape, bias, layer, err);
    return status;
}

static nq_status layer_fill_phased(nq_float_device *device, const nq_float_shape *gradient,
                                   const float *weight, nq_float_layer *layer, nq_error *err)
{
    nq_float_shape shape = nq_phases_shape(gradient);
    size_t count = (size_t)shape.out_channels * (size_t)shape.kernel_h * (size_t)shape.kernel_w *
                   (size_t)shape.in_channels;
    size_t bytes = (size_t)gradient->batch * (size_t)gradient->in_height *
                   (size_t)gradient->in_width * (size_t)gradient->in_channels * sizeof(float);
    float *phased = malloc(count * sizeof *phased);
    if (!phased)
        return nq_fail_nomem(err, "float weights", count * sizeof *phased);
    nq_phases_weight(gradient, weight, phased);
    nq_status status = layer_fill(device, &shape, phased, NULL, layer, err);
    free(phased);
    layer->phased = true;
    layer->gradient = *gradient;
    device->aside = bytes > device->aside ? bytes : device->aside;
    return status;
}

static nq_status layer_create(nq_float_device *device, const nq_float_shape *shape,
                              const float *weight, const float *bias, nq_float_layer **layer,
                              nq_error *err)
{
    /* Kernels are planned for the number of threads OpenMP allows when they are made. */
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    nq_float_layer *made = calloc(1, sizeof *made);
    nq_status status = NQ_OK;
    if (!made)
        status = nq_fail_nomem(err, "a float layer", sizeof *made);
    else if (nq_phases_fit(shape))
        status = layer_fill_phased(device, shape, weight, made, err);
    else
        status = layer_fill(device, shape, weight, bias, made, err);
    omp_set_num_threads(threads);
    if (status != NQ_OK) {
        layer_free(made);
        return status;
    }
    *layer = made;
    return NQ_OK;
}

static void room_clear(kernel_room *room)
{
    dnnl_memory_t all[] = {room->source, room->source2, room->target, room->scratch, room->plain};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            dnnl_memory_destroy(all[i]);
}

static void thread_free(nq_float_thread *t)
{
    if (!t)
        return;
    for (int i = 0; t->rooms && i < t->count; i++)
        room_clear(&t->rooms[i]);
    free(t->rooms);
    free(t->scratch);
    free(t->packed);
    if (t->stream)
        dnnl_stream_destroy(t->stream);
    free(t);
}

static dnnl_status_t room_create(const nq_onednn_kernel *k, const nq_float_thread *t,
                                 kernel_room *room)
{
    dnnl_engine_t engine = t->device->engine;
    bool weights = k->shape.pass == NQ_PASS_WEIGHT;
    dnnl_memory_desc_t plain;
    dnnl_status_t status = dnnl_memory_create(&room->source, nq_onednn_operand(k, k->source, 0),
                                              engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&room->target, nq_onednn_operand(k, k->target, 0), engine,
                                    weights ? t->packed : DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(
            &room->scratch, nq_onednn_operand(k, dnnl_query_scratchpad_md, 0), engine, t->scratch);
    if (status == dnnl_success && weights)
        status = dnnl_memory_create(&room->source2, nq_onednn_operand(k, k->source2, 0), engine,
                                    DNNL_MEMORY_NONE);
    if (status == dnnl_success && weights)
        status = nq_onednn_weight_plain(&k->shape, &plain);
    if (status == dnnl_success && weights)
        status = dnnl_memory_create(&room->plain, &plain, engine, DNNL_MEMORY_NONE);
    return status;
}

static nq_status thread_create(const nq_float_device *device, nq_float_thread **thread,
                               nq_error *err)
{
    size_t scratch = 0, packed = device->aside;
    for (int i = 0; i < device->count; i++) {
        const nq_onednn_kernel *k = &device->kernels[i];
        scratch = k->scratch > scratch ? k->scratch : scratch;
        packed = k->packed_bytes > packed ? k->packed_bytes : packed;
    }
    nq_float_thread *t = calloc(1, sizeof *t);
    if (!t)
        return nq_fail_nomem(err, "a float thread", sizeof *t);
    t->device = device;
    t->count = device->count;
    t->rooms = calloc((size_t)device->count + 1, sizeof *t->rooms);
    t->scratch = aligned(scratch);
    t->packed = aligned(packed);
    if (!t->rooms || !t->scratch || !t->packed) {
        thread_free(t);
        return nq_fail_nomem(err, "a float thread's scratch memory", scratch + packed);
    }
    dnnl_status_t status =
        dnnl_stream_create(&t->stream, device->engine, dnnl_stream_default_flags);
    for (int i = 0; status == dnnl_success && i < device->count; i++)
        status = room_create(&device->kernels[i], t, &t->rooms[i]);
    if (status != dnnl_success) {
        thread_free(t);
        return nq_onednn_fail(err, status, "make a thread's memory objects");
    }
    *thread = t;
    return NQ_OK;
}

static void thread_enter(nq_float_thread *thread)
{
    (void)thread;
    omp_set_num_threads(1);
}

/* The library's type has no const; sources are only read. */
static dnnl_status_t point(dnnl_memory_t memory, const float *data)
{
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data);
}

static dnnl_status_t execute(const nq_float_thread *t, dnnl_primitive_t primitive, int count,
                             const dnnl_exec_arg_t *arguments)
{
    dnnl_status_t status = dnnl_primitive_execute(primitive, t->stream, count, arguments);
    return status == dnnl_success ? dnnl_stream_wait(t->stream) : status;
}

/* The passes that read weights: forward, and the gradient of the input. */
static nq_status run_layer(nq_float_thread *t, const nq_float_layer *layer, const float *source,
                           float *target, nq_error *err)
{
    const kernel_room *room = &t->rooms[layer->kernel];
    const nq_onednn_kernel *k = &t->device->kernels[layer->kernel];
    bool forward = k->shape.pass == NQ_PASS_FORWARD;
    dnnl_status_t status = point(room->source, source);
    if (status == dnnl_success)
        status = point(room->target, target);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{forward ? DNNL_ARG_SRC : DNNL_ARG_DIFF_DST, room->source},
                                  {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_SRC, room->target},
                                  {DNNL_ARG_WEIGHTS, layer->weight},
                                  {DNNL_ARG_SCRATCHPAD, room->scratch},
                                  {DNNL_ARG_BIAS, layer->bias}};
        status = execute(t, k->primitive, layer->bias ? 5 : 4, args);
    }
    return status == dnnl_success ? NQ_OK : nq_onednn_fail(err, status, "compute a layer");
}

static nq_status layer_data_gradient(nq_float_thread *t, const nq_float_layer *layer,
                                     const float *in, float *out, nq_error *err)
{
    if (!layer->phased)
        return run_layer(t, layer, in, out, err);
    nq_status status = run_layer(t, layer, in, t->packed, err);
    if (status == NQ_OK)
        nq_phases_spread(&layer->gradient, t->packed, out);
    return status;
}

static nq_status layer_weight_gradient(nq_float_thread *t, const nq_float_layer *layer,
                                       const float *in, const float *gradient, float *weight,
                                       float *bias, nq_error *err)
{
    const kernel_room *room = &t->rooms[layer->kernel];
    const nq_onednn_kernel *k = &t->device->kernels[layer->kernel];
    dnnl_memory_t bias_memory = NULL;
    dnnl_status_t status = point(room->source, in);
    if (status == dnnl_success)
        status = point(room->source2, gradient);
    if (status == dnnl_success)
        status = point(room->plain, weight);
    if (status == dnnl_success && bias)
        status =
            dnnl_memory_create(&bias_memory, nq_onednn_operand(k, dnnl_query_diff_weights_md, 1),
                               t->device->engine, bias);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, room->source},
                                  {DNNL_ARG_DIFF_DST, room->source2},
                                  {DNNL_ARG_DIFF_WEIGHTS, room->target},
                                  {DNNL_ARG_SCRATCHPAD, room->scratch},
                                  {DNNL_ARG_DIFF_BIAS, bias_memory}};
        status = execute(t, k->primitive, bias ? 5 : 4, args);
    }
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, room->target}, {DNNL_ARG_TO, room->plain}};
        status = execute(t, k->unpack, 2, args);
    }
    if (bias_memory)
        dnnl_memory_destroy(bias_memory);
    return status == dnnl_success ? NQ_OK
                                  : nq_onednn_fail(err, status, "compute a weight gradient");
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
    .layer_forward = run_layer,
    .layer_data_gradient = layer_data_gradient,
    .layer_weight_gradient = layer_weight_gradient,
    .add = nq_layer_add,
    .copy_channels = nq_layer_copy_channels,
    .shuffle = nq_layer_shuffle,
    .maxpool = nq_layer_maxpool,
    .avgpool = nq_layer_avgpool,
    .relu = nq_layer_relu,
    .relu_gradient = nq_layer_relu_gradient,
    .affine = nq_layer_affine,
    .affine_gradient = nq_layer_affine_gradient,
    .norm = nq_layer_norm,
    .norm_gradient = nq_layer_norm_gradient,
    .add_to = nq_layer_add_to,
    .add_channels = nq_layer_add_channels,
    .maxpool_gradient = nq_layer_maxpool_gradient,
    .avgpool_gradient = nq_layer_avgpool_gradient,
};
