#include "worker/float/onednn_kernels.h"

nq_status nq_onednn_fail(nq_error *err, dnnl_status_t status, const char *what)
{
    if (status == dnnl_out_of_memory)
        return nq_fail(err, NQ_ERR_NOMEM, "out of memory (oneDNN, %s)", what);
    return nq_fail(err, NQ_ERR_INTERNAL, "oneDNN refuses to %s (its status %d)", what, (int)status);
}

static bool is_linear(const nq_float_shape *s)
{
    return s->in_height == 1 && s->in_width == 1 && s->kernel_h == 1 && s->kernel_w == 1 &&
           s->groups == 1;
}

const dnnl_memory_desc_t *nq_onednn_operand(const nq_onednn_kernel *kernel, dnnl_query_t what,
                                            int index)
{
    return dnnl_primitive_desc_query_md(kernel->description, what, index);
}

void nq_onednn_kernel_clear(nq_onednn_kernel *k)
{
    if (k->unpack)
        dnnl_primitive_destroy(k->unpack);
    if (k->primitive)
        dnnl_primitive_destroy(k->primitive);
    if (k->description)
        dnnl_primitive_desc_destroy(k->description);
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

/* `any` leaves the order to oneDNN. */
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

dnnl_status_t nq_onednn_weight_plain(const nq_float_shape *shape, dnnl_memory_desc_t *md)
{
    return weight_desc(shape, false, md);
}

/* The operands of one layer, as its three passes describe them. */
typedef struct {
    dnnl_memory_desc_t in, out, weight, bias;
    const dnnl_memory_desc_t *maybe_bias;
    dnnl_dims_t strides, pads, far_pads;
} operands;

/* At the far end of an axis: as at the near one, or what the output's size asks for beyond that. */
static int far_pad(int in, int out, int kernel, int stride, int pad)
{
    int needed = (out - 1) * stride + kernel - in - pad;
    return needed > pad ? needed : pad;
}

static dnnl_status_t describe_operands(const nq_float_shape *s, operands *o)
{
    dnnl_dims_t in = {s->batch, s->in_channels, s->in_height, s->in_width};
    dnnl_dims_t out = {s->batch, s->out_channels, s->out_height, s->out_width};
    dnnl_dims_t bias = {s->out_channels};
    int dims = is_linear(s) ? 2 : 4;
    dnnl_format_tag_t tag = is_linear(s) ? dnnl_nc : dnnl_nhwc;
    o->maybe_bias = s->bias ? &o->bias : NULL;
    o->strides[0] = o->strides[1] = s->stride;
    o->pads[0] = s->pad_h;
    o->pads[1] = s->pad_w;
    o->far_pads[0] = far_pad(s->in_height, s->out_height, s->kernel_h, s->stride, s->pad_h);
    o->far_pads[1] = far_pad(s->in_width, s->out_width, s->kernel_w, s->stride, s->pad_w);
    dnnl_status_t status = weight_desc(s, true, &o->weight);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&o->bias, 1, bias, dnnl_f32, dnnl_x);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&o->in, dims, in, dnnl_f32, tag);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&o->out, dims, out, dnnl_f32, tag);
    return status;
}

static dnnl_status_t describe_linear(nq_float_pass pass, bool training, const operands *o,
                                     dnnl_inner_product_desc_t *op)
{
    if (pass == NQ_PASS_DATA)
        return dnnl_inner_product_backward_data_desc_init(op, &o->in, &o->weight, &o->out);
    if (pass == NQ_PASS_WEIGHT)
        return dnnl_inner_product_backward_weights_desc_init(op, &o->in, &o->weight, o->maybe_bias,
                                                             &o->out);
    return dnnl_inner_product_forward_desc_init(
        op, training ? dnnl_forward_training : dnnl_forward_inference, &o->in, &o->weight,
        o->maybe_bias, &o->out);
}

static dnnl_status_t describe_conv(nq_float_pass pass, bool training, const operands *o,
                                   dnnl_convolution_desc_t *op)
{
    if (pass == NQ_PASS_DATA)
        return dnnl_convolution_backward_data_desc_init(op, dnnl_convolution_direct, &o->in,
                                                        &o->weight, &o->out, o->strides, o->pads,
                                                        o->far_pads);
    if (pass == NQ_PASS_WEIGHT)
        return dnnl_convolution_backward_weights_desc_init(op, dnnl_convolution_direct, &o->in,
                                                           &o->weight, o->maybe_bias, &o->out,
                                                           o->strides, o->pads, o->far_pads);
    return dnnl_convolution_forward_desc_init(
        op, training ? dnnl_forward_training : dnnl_forward_inference, dnnl_convolution_direct,
        &o->in, &o->weight, o->maybe_bias, &o->out, o->strides, o->pads, o->far_pads);
}

/* hint: the forward description that a gradient's wants to see; NULL for the forward pass. */
static dnnl_status_t describe(const nq_float_shape *s, nq_float_pass pass, bool training,
                              dnnl_primitive_attr_t attributes, dnnl_engine_t engine,
                              dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    operands o;
    dnnl_inner_product_desc_t linear = {0};
    dnnl_convolution_desc_t conv = {0};
    dnnl_status_t status = describe_operands(s, &o);
    if (status == dnnl_success)
        status = is_linear(s) ? describe_linear(pass, training, &o, &linear)
                              : describe_conv(pass, training, &o, &conv);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(
            out, is_linear(s) ? (const_dnnl_op_desc_t)&linear : (const_dnnl_op_desc_t)&conv,
            attributes, engine, hint);
    return status;
}

static dnnl_status_t describe_pass(const nq_float_shape *s, dnnl_primitive_attr_t attributes,
                                   dnnl_engine_t engine, dnnl_primitive_desc_t *out)
{
    nq_float_pass pass = (nq_float_pass)s->pass;
    dnnl_primitive_desc_t hint = NULL;
    if (pass == NQ_PASS_FORWARD)
        return describe(s, pass, false, attributes, engine, NULL, out);
    dnnl_status_t status = describe(s, NQ_PASS_FORWARD, true, attributes, engine, NULL, &hint);
    if (status == dnnl_success)
        status = describe(s, pass, true, attributes, engine, hint, out);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

static dnnl_status_t build_unpack(dnnl_engine_t engine, nq_onednn_kernel *k)
{
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t description = NULL;
    const dnnl_memory_desc_t *packed = nq_onednn_operand(k, dnnl_query_diff_weights_md, 0);
    k->packed_bytes = dnnl_memory_desc_get_size(packed);
    dnnl_status_t status = nq_onednn_weight_plain(&k->shape, &plain);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&description, packed, engine, &plain, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&k->unpack, description);
    if (description)
        dnnl_primitive_desc_destroy(description);
    return status;
}

static void name_operands(nq_onednn_kernel *k)
{
    nq_float_pass pass = (nq_float_pass)k->shape.pass;
    k->source = pass == NQ_PASS_DATA ? dnnl_query_diff_dst_md : dnnl_query_src_md;
    k->source2 = dnnl_query_diff_dst_md;
    k->target = pass == NQ_PASS_DATA     ? dnnl_query_diff_src_md
                : pass == NQ_PASS_WEIGHT ? dnnl_query_diff_weights_md
                                         : dnnl_query_dst_md;
}

nq_status nq_onednn_kernel_build(dnnl_engine_t engine, const nq_float_shape *shape,
                                 nq_onednn_kernel *k, nq_error *err)
{
    dnnl_primitive_attr_t attributes;
    *k = (nq_onednn_kernel){.shape = *shape};
    name_operands(k);
    dnnl_status_t status =
        make_attributes(shape->relu && shape->pass == NQ_PASS_FORWARD, &attributes);
    if (status != dnnl_success)
        return nq_onednn_fail(err, status, "make attributes");
    status = describe_pass(shape, attributes, engine, &k->description);
    dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&k->primitive, k->description);
    if (status == dnnl_success && shape->pass == NQ_PASS_WEIGHT)
        status = build_unpack(engine, k);
    if (status != dnnl_success) {
        nq_onednn_kernel_clear(k);
        *k = (nq_onednn_kernel){0};
        return nq_onednn_fail(err, status, "compile a layer of this shape");
    }
    k->scratch = dnnl_memory_desc_get_size(nq_onednn_operand(k, dnnl_query_scratchpad_md, 0));
    return NQ_OK;
}
