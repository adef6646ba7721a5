/* The float network in plain loops and double precision. */
#ifndef NQ_FLOAT_REFERENCE_H
#define NQ_FLOAT_REFERENCE_H

#include "tests/unit/nq_test.h"
#include "tests/unit/small_graph.h"
#include <math.h>

#define REFERENCE_BATCH 3

/* Values of every node for a slice, f64 [batch][H][W][C], and what they are before ReLU. */
typedef struct {
    double *values[SMALL_GRAPH_NODES], *before[SMALL_GRAPH_NODES];
} reference;

static inline void conv_image(const nq_graph *g, const nq_node *n, const double *in, double *out)
{
    const nq_node *f = &g->nodes[n->input[0]];
    int depth = f->channels / n->groups, each = n->channels / n->groups;
    for (int y = 0; y < n->height; y++)
        for (int x = 0; x < n->width; x++)
            for (int o = 0; o < n->channels; o++) {
                double sum = n->bias ? (double)n->bias[o] : 0.0;
                const float *w = n->weight + (size_t)o * n->kernel_h * n->kernel_w * depth;
                for (int ky = 0; ky < n->kernel_h; ky++)
                    for (int kx = 0; kx < n->kernel_w; kx++) {
                        int iy = y * n->stride - n->pad_h + ky, ix = x * n->stride - n->pad_w + kx;
                        if (iy < 0 || ix < 0 || iy >= f->height || ix >= f->width)
                            continue;
                        const double *p =
                            in + ((size_t)iy * f->width + ix) * f->channels + o / each * depth;
                        for (int c = 0; c < depth; c++)
                            sum += p[c] * (double)w[(ky * n->kernel_w + kx) * depth + c];
                    }
                *out++ = sum;
            }
}

static inline void pool_image(const nq_graph *g, const nq_node *n, const double *in, double *out)
{
    const nq_node *f = &g->nodes[n->input[0]];
    for (int y = 0; y < n->height; y++)
        for (int x = 0; x < n->width; x++)
            for (int c = 0; c < n->channels; c++) {
                double best = -INFINITY;
                for (int ky = 0; ky < n->kernel_h; ky++)
                    for (int kx = 0; kx < n->kernel_w; kx++) {
                        int iy = y * n->stride - n->pad_h + ky, ix = x * n->stride - n->pad_w + kx;
                        if (iy < 0 || ix < 0 || iy >= f->height || ix >= f->width)
                            continue;
                        best = fmax(best, in[((size_t)iy * f->width + ix) * f->channels + c]);
                    }
                *out++ = best;
            }
}

/* The value of channel c of pixel p, for nodes that look at one pixel at a time. */
static inline double pixel_value(const nq_graph *g, const nq_node *n, double *const *in, size_t p,
                                 int c)
{
    int channels = g->nodes[n->input[0]].channels;
    switch (n->op) {
    case NQ_OP_ADD:
        return in[0][p * channels + c] + in[1][p * channels + c];
    case NQ_OP_CAT:
        return c < channels ? in[0][p * channels + c]
                            : in[1][p * (n->channels - channels) + c - channels];
    case NQ_OP_SLICE:
        return in[0][p * channels + n->first + c];
    case NQ_OP_SHUFFLE: {
        int each = channels / n->groups;
        return in[0][p * channels + (c % n->groups) * each + c / n->groups];
    }
    default:
        fail_msg("no such node");
        return 0;
    }
}

static inline void average_image(const nq_graph *g, const nq_node *n, const double *in, double *out)
{
    int pixels = g->nodes[n->input[0]].height * g->nodes[n->input[0]].width;
    for (int c = 0; c < n->channels; c++) {
        out[c] = 0;
        for (int p = 0; p < pixels; p++)
            out[c] += in[p * n->channels + c] / pixels;
    }
}

static inline double *reference_images(const nq_graph *g, const float *images)
{
    size_t count = REFERENCE_BATCH * nq_node_elements(&g->nodes[0]);
    double *doubles = malloc(count * sizeof *doubles);
    for (size_t k = 0; k < count; k++)
        doubles[k] = (double)images[k];
    return doubles;
}

static inline void reference_node(const nq_graph *g, int index, size_t image, reference *r)
{
    const nq_node *n = &g->nodes[index];
    size_t each = nq_node_elements(n);
    double *in[2] = {0}, *out = r->before[index] + image * each;
    for (int j = 0; j < n->inputs; j++)
        in[j] = r->values[n->input[j]] + image * nq_node_elements(&g->nodes[n->input[j]]);
    if (nq_node_has_weight(n))
        conv_image(g, n, in[0], out);
    else if (n->op == NQ_OP_MAXPOOL)
        pool_image(g, n, in[0], out);
    else if (n->op == NQ_OP_AVGPOOL)
        average_image(g, n, in[0], out);
    else
        for (size_t k = 0; k < each; k++)
            out[k] = pixel_value(g, n, in, k / n->channels, (int)(k % n->channels));
}

static inline reference reference_run(const nq_graph *g, const double *images)
{
    reference r = {0};
    for (int i = 0; i < g->count; i++) {
        size_t all = REFERENCE_BATCH * nq_node_elements(&g->nodes[i]);
        r.values[i] = malloc(all * sizeof(double));
        r.before[i] = malloc(all * sizeof(double));
        if (i == 0)
            memcpy(r.before[0], images, all * sizeof(double));
        for (size_t b = 0; i > 0 && b < REFERENCE_BATCH; b++)
            reference_node(g, i, b, &r);
        for (size_t k = 0; k < all; k++)
            r.values[i][k] = g->nodes[i].relu ? fmax(r.before[i][k], 0.0) : r.before[i][k];
    }
    return r;
}

static inline void reference_free(reference *r)
{
    for (int i = 0; i < SMALL_GRAPH_NODES; i++) {
        free(r->values[i]);
        free(r->before[i]);
    }
}

/* Every kind of node, the shapes that the architectures have (7x7 stem, depthwise, 1x1, strides),
 * odd numbers of channels, and tensors that outlive several others. */
static inline nq_graph small_every_kind(void)
{
    uint32_t state = 7;
    nq_graph g = small_graph(37, 29, 3);
    int stem = small_conv(
        &g, NQ_OP_CONV, "stem", 0,
        (small_layer){.channels = 16, .kernel = 7, .stride = 2, .pad = 3, .relu = true}, &state);
    int pool = small_node(&g, NQ_OP_MAXPOOL, "pool", stem, -1);
    small_window(&g, pool, 3, 2, 1);
    int wide = small_conv(&g, NQ_OP_CONV, "wide", pool,
                          (small_layer){.channels = 26, .no_bias = true}, &state);
    int deep = small_conv(
        &g, NQ_OP_CONV, "deep", wide,
        (small_layer){
            .channels = 26, .kernel = 3, .stride = 1, .pad = 1, .groups = 26, .relu = true},
        &state);
    int sum = small_node(&g, NQ_OP_ADD, "sum", deep, wide);
    g.nodes[sum].relu = true;
    int plain = small_node(&g, NQ_OP_ADD, "plain", sum, deep);
    int cat = small_node(&g, NQ_OP_CAT, "cat", plain, pool);
    g.nodes[cat].channels = 42;
    int shuffle = small_node(&g, NQ_OP_SHUFFLE, "shuffle", cat, -1);
    g.nodes[shuffle].groups = 2;
    int slice = small_node(&g, NQ_OP_SLICE, "slice", shuffle, -1);
    g.nodes[slice].channels = 20;
    g.nodes[slice].first = 22;
    int unread = small_node(&g, NQ_OP_SLICE, "unread", shuffle, -1);
    g.nodes[unread].channels = 25;
    int pairs = small_conv(
        &g, NQ_OP_CONV, "pairs", slice,
        (small_layer){.channels = 30, .kernel = 3, .stride = 2, .pad = 1, .groups = 10}, &state);
    int step = small_conv(&g, NQ_OP_CONV, "step", slice, (small_layer){.channels = 30, .stride = 2},
                          &state);
    int late = small_node(&g, NQ_OP_ADD, "late", pairs, step);
    int mean = small_node(&g, NQ_OP_AVGPOOL, "mean", late, -1);
    g.nodes[mean].height = g.nodes[mean].width = 1;
    small_conv(&g, NQ_OP_LINEAR, "fc", mean, (small_layer){.channels = 11}, &state);
    return g;
}

/* Gives a convolution without bias a batch norm, and folds it. */
static inline void reference_add_norm(nq_graph *g, const char *name, uint32_t *state)
{
    int index = nq_graph_find(g, name);
    nq_node *n = &g->nodes[index];
    size_t channels = (size_t)n->channels;
    free(n->bias);
    n->bias = NULL;
    snprintf(n->norm_key, sizeof n->norm_key, "%s.bn", name);
    n->norm = (nq_batch_norm){.gamma = small_values(channels, 1.0f, state),
                              .beta = small_values(channels, 0.5f, state),
                              .mean = small_values(channels, 0.5f, state),
                              .var = small_values(channels, 0.5f, state)};
    for (size_t c = 0; c < channels; c++)
        n->norm.var[c] += 1.0f;
}

/* small_every_kind() with three batch norms; one channel of the last is lost. */
static inline nq_graph reference_normed_graph(void)
{
    nq_error err = {0};
    uint32_t state = 21;
    nq_graph g = small_every_kind();
    reference_add_norm(&g, "stem", &state);
    reference_add_norm(&g, "wide", &state);
    reference_add_norm(&g, "pairs", &state);
    g.nodes[nq_graph_find(&g, "pairs")].norm.gamma[3] = 0.0f;
    assert_ok(nq_graph_fold(&g, &err), &err);
    return g;
}

/* The kept value in terms of what a folded node gives before its ReLU. */
static inline double reference_kept(const nq_node *n, size_t k, double before)
{
    int c = (int)(k % (size_t)n->channels);
    if (!n->norm.gamma)
        return before;
    double scale = (double)(n->norm.gamma[c] * nq_batch_norm_inverse(&n->norm, c));
    return scale == 0.0 ? 0.0 : (before - (double)n->norm.beta[c]) / scale;
}

#endif
