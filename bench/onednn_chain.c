#include "bench/onednn_chain.h"

#include "bench/measure.h"
#include "common/random.h"
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS = 5, BUFFERS = 2 };

typedef struct {
    int node;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int count;
    void *weight, *bias;
    const char *kernel;
} layer;

struct nq_onednn_chain {
    int batch;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    layer *layers;
    int count;
    void *buffers[BUFFERS], *scratch;
    nq_random random;
};

/* A layer's tensors as descriptions with layouts left open. */
typedef struct {
    dnnl_memory_desc_t in, weight, bias, out;
} tensors;

static nq_status fail(nq_error *err, dnnl_status_t status, const char *what)
{
    if (status == dnnl_out_of_memory)
        return nq_fail(err, NQ_ERR_NOMEM, "out of memory (oneDNN, %s)", what);
    return nq_fail(err, NQ_ERR_INTERNAL, "oneDNN refuses %s (its status %d)", what, (int)status);
}

static void *random_bytes(nq_random *random, size_t bytes, uint32_t mask)
{
    uint8_t *data = NULL;
    if (posix_memalign((void **)&data, 64, bytes ? bytes : 64) != 0)
        return NULL;
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        uint32_t value = nq_random_u32(random) & mask;
        memcpy(data + i, &value, sizeof value);
    }
    memset(data + bytes / 4 * 4, 0, bytes % 4);
    return data;
}

static dnnl_status_t describe(dnnl_memory_desc_t *md, int dims, const dnnl_dim_t *size,
                              dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_tag(md, dims, size, type,
                                        dims == 1 ? dnnl_a : dnnl_format_tag_any);
}

static dnnl_status_t describe_tensors(const nq_graph *graph, const nq_node *n, int batch,
                                      tensors *t)
{
    const nq_node *from = &graph->nodes[n->input[0]];
    const bool linear = n->op == NQ_OP_LINEAR, grouped = n->groups > 1;
    dnnl_dims_t in = {batch, from->channels, from->height, from->width};
    dnnl_dims_t out = {batch, n->channels, n->height, n->width}, bias = {n->channels};
    dnnl_dims_t dense = {n->channels, from->channels, n->kernel_h, n->kernel_w};
    dnnl_dims_t groups = {n->groups, n->channels / n->groups, from->channels / n->groups,
                          n->kernel_h, n->kernel_w};
    dnnl_status_t status = describe(&t->in, linear ? 2 : 4, in, dnnl_u8);
    if (status == dnnl_success)
        status = describe(&t->out, linear ? 2 : 4, out, dnnl_u8);
    if (status == dnnl_success)
        status = describe(&t->weight,
                          linear    ? 2
                          : grouped ? 5
                                    : 4,
                          grouped ? groups : dense, dnnl_s8);
    if (status == dnnl_success)
        status = describe(&t->bias, 1, bias, dnnl_s32);
    return status;
}

static dnnl_status_t add_relu(dnnl_primitive_attr_t attributes)
{
    dnnl_post_ops_t ops;
    dnnl_status_t status = dnnl_post_ops_create(&ops);
    if (status != dnnl_success)
        return status;
    status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_attributes(const nq_node *n, dnnl_primitive_attr_t *attributes)
{
    enum { OVER_CHANNELS = 1 << 1 };
    float *scales = malloc((size_t)n->channels * sizeof *scales);
    if (!scales)
        return dnnl_out_of_memory;
    for (int c = 0; c < n->channels; c++)
        scales[c] = 1e-4f * (float)(1 + c % 7);
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_output_scales(*attributes, n->channels, OVER_CHANNELS,
                                                           scales);
        if (status == dnnl_success && n->relu)
            status = add_relu(*attributes);
        if (status != dnnl_success)
            dnnl_primitive_attr_destroy(*attributes);
    }
    free(scales);
    return status;
}

static dnnl_status_t describe_operation(const nq_node *n, const tensors *t, dnnl_engine_t engine,
                                        dnnl_primitive_attr_t attributes,
                                        dnnl_primitive_desc_t *out)
{
    dnnl_status_t status;
    if (n->op == NQ_OP_LINEAR) {
        dnnl_inner_product_desc_t op;
        status = dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, &t->in,
                                                      &t->weight, &t->bias, &t->out);
        return status == dnnl_success
                   ? dnnl_primitive_desc_create(out, &op, attributes, engine, NULL)
                   : status;
    }
    dnnl_convolution_desc_t op;
    dnnl_dims_t strides = {n->stride, n->stride}, pads = {n->pad_h, n->pad_w};
    status = dnnl_convolution_forward_desc_init(&op, dnnl_forward_inference,
                                                dnnl_convolution_direct, &t->in, &t->weight,
                                                &t->bias, &t->out, strides, pads, pads);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attributes, engine, NULL)
                                  : status;
}

static nq_status build_layer(nq_onednn_chain *chain, const nq_graph *graph, int node, layer *l,
                             nq_error *err)
{
    const nq_node *n = &graph->nodes[node];
    tensors t;
    dnnl_primitive_attr_t attributes;
    l->node = node;
    dnnl_status_t status = describe_tensors(graph, n, chain->batch, &t);
    if (status == dnnl_success)
        status = make_attributes(n, &attributes);
    if (status != dnnl_success)
        return fail(err, status, n->name);
    status = describe_operation(n, &t, chain->engine, attributes, &l->description);
    dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(l->description, dnnl_query_impl_info_str, 0, &l->kernel);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&l->primitive, l->description);
    return status == dnnl_success ? NQ_OK : fail(err, status, n->name);
}

static size_t bytes_of(const layer *l, dnnl_query_t what)
{
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(l->description, what, 0));
}

static dnnl_status_t bind(nq_onednn_chain *chain, layer *l, int argument, dnnl_query_t what,
                          int index, void *data)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(l->description, what, index);
    dnnl_exec_arg_t *slot = &l->arguments[l->count];
    dnnl_status_t status = dnnl_memory_create(&slot->memory, md, chain->engine, data);
    if (status != dnnl_success)
        return status;
    slot->arg = argument;
    l->count++;
    return dnnl_success;
}

/* Weights of their own; activations in the chain's buffers, in turns. */
static nq_status bind_layer(nq_onednn_chain *chain, layer *l, int turn, nq_error *err)
{
    size_t weights = bytes_of(l, dnnl_query_weights_md);
    size_t bias = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(l->description, dnnl_query_weights_md, 1));
    l->weight = random_bytes(&chain->random, weights, UINT32_MAX);
    l->bias = random_bytes(&chain->random, bias, 4095);
    if (!l->weight || !l->bias)
        return nq_fail_nomem(err, "a layer of oneDNN", weights + bias);
    dnnl_status_t status = bind(chain, l, DNNL_ARG_SRC, dnnl_query_src_md, 0, chain->buffers[turn]);
    if (status == dnnl_success)
        status = bind(chain, l, DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, l->weight);
    if (status == dnnl_success)
        status = bind(chain, l, DNNL_ARG_BIAS, dnnl_query_weights_md, 1, l->bias);
    if (status == dnnl_success)
        status = bind(chain, l, DNNL_ARG_DST, dnnl_query_dst_md, 0, chain->buffers[!turn]);
    if (status == dnnl_success)
        status = bind(chain, l, DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0, chain->scratch);
    return status == dnnl_success ? NQ_OK : fail(err, status, "memory for a layer");
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static nq_status allocate_buffers(nq_onednn_chain *chain, nq_error *err)
{
    size_t most = 0, scratch = 0;
    for (int i = 0; i < chain->count; i++) {
        const layer *l = &chain->layers[i];
        most = larger(most, larger(bytes_of(l, dnnl_query_src_md), bytes_of(l, dnnl_query_dst_md)));
        scratch = larger(scratch, bytes_of(l, dnnl_query_scratchpad_md));
    }
    for (int i = 0; i < BUFFERS; i++)
        chain->buffers[i] = random_bytes(&chain->random, most, UINT32_MAX);
    chain->scratch = random_bytes(&chain->random, scratch, 0);
    if (!chain->buffers[0] || !chain->buffers[1] || !chain->scratch)
        return nq_fail_nomem(err, "oneDNN's activations", 2 * most + scratch);
    return NQ_OK;
}

static nq_status build(nq_onednn_chain *chain, const nq_graph *graph, nq_error *err)
{
    omp_set_num_threads(1);
    dnnl_status_t made = dnnl_engine_create(&chain->engine, dnnl_cpu, 0);
    if (made == dnnl_success)
        made = dnnl_stream_create(&chain->stream, chain->engine, dnnl_stream_default_flags);
    if (made != dnnl_success)
        return fail(err, made, "a CPU engine");
    nq_status status = NQ_OK;
    for (int i = 0; i < graph->count && status == NQ_OK; i++)
        if (nq_node_has_weight(&graph->nodes[i]))
            status = build_layer(chain, graph, i, &chain->layers[chain->count++], err);
    if (status == NQ_OK)
        status = allocate_buffers(chain, err);
    for (int i = 0; i < chain->count && status == NQ_OK; i++)
        status = bind_layer(chain, &chain->layers[i], i % BUFFERS, err);
    return status;
}

nq_status nq_onednn_chain_create(const nq_graph *graph, int batch, nq_onednn_chain **out,
                                 nq_error *err)
{
    *out = NULL;
    nq_onednn_chain *chain = calloc(1, sizeof *chain);
    if (!chain || !(chain->layers = calloc((size_t)graph->count, sizeof *chain->layers))) {
        free(chain);
        return nq_fail_nomem(err, "a chain of layers", (size_t)graph->count * sizeof(layer));
    }
    chain->batch = batch;
    nq_random_init(&chain->random, 1, 0);
    nq_status status = build(chain, graph, err);
    if (status == NQ_OK)
        *out = chain;
    else
        nq_onednn_chain_free(chain);
    return status;
}

static void layer_clear(layer *l)
{
    for (int i = 0; i < l->count; i++)
        dnnl_memory_destroy(l->arguments[i].memory);
    if (l->primitive)
        dnnl_primitive_destroy(l->primitive);
    if (l->description)
        dnnl_primitive_desc_destroy(l->description);
    free(l->weight);
    free(l->bias);
}

void nq_onednn_chain_free(nq_onednn_chain *chain)
{
    if (!chain)
        return;
    for (int i = 0; i < chain->count; i++)
        layer_clear(&chain->layers[i]);
    if (chain->stream)
        dnnl_stream_destroy(chain->stream);
    if (chain->engine)
        dnnl_engine_destroy(chain->engine);
    for (int i = 0; i < BUFFERS; i++)
        free(chain->buffers[i]);
    free(chain->scratch);
    free(chain->layers);
    free(chain);
}

int nq_onednn_chain_batch(const nq_onednn_chain *chain)
{
    return chain->batch;
}

nq_status nq_onednn_chain_run(nq_onednn_chain *chain, uint64_t *nanoseconds, nq_error *err)
{
    for (int i = 0; i < chain->count; i++) {
        const layer *l = &chain->layers[i];
        uint64_t began = nanoseconds ? nq_bench_nanoseconds() : 0;
        dnnl_status_t status =
            dnnl_primitive_execute(l->primitive, chain->stream, l->count, l->arguments);
        if (status != dnnl_success)
            return fail(err, status, "to compute a layer");
        if (nanoseconds)
            nanoseconds[l->node] += nq_bench_nanoseconds() - began;
    }
    dnnl_status_t status = dnnl_stream_wait(chain->stream);
    return status == dnnl_success ? NQ_OK : fail(err, status, "to wait");
}

const char *nq_onednn_chain_kernel(const nq_onednn_chain *chain, int node)
{
    for (int i = 0; i < chain->count; i++)
        if (chain->layers[i].node == node)
            return chain->layers[i].kernel;
    return NULL;
}

const char *nq_onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const char *nq_onednn_isa(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "SSE41"},
        {dnnl_cpu_isa_avx, "AVX"},
        {dnnl_cpu_isa_avx2, "AVX2"},
        {dnnl_cpu_isa_avx2_vnni, "AVX2_VNNI"},
        {dnnl_cpu_isa_avx512_core, "AVX512_CORE"},
        {dnnl_cpu_isa_avx512_core_vnni, "AVX512_CORE_VNNI"},
        {dnnl_cpu_isa_avx512_core_bf16, "AVX512_CORE_BF16"},
        {dnnl_cpu_isa_avx512_core_amx, "AVX512_CORE_AMX"},
    };
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].isa == isa)
            return names[i].name;
    return "of another name";
}
