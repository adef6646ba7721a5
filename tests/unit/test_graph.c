/* The graph: structure of every architecture, loading with all that can mismatch, folding. */
#include "tests/unit/demo_graph.h"

#include "common/arch.h"
#include "worker/model/graph.h"

#include <math.h>

/* A checkpoint made in memory out of an architecture's structure; values are small and
 * differ from tensor to tensor.
 */
static void put(nq_checkpoint *checkpoint, const char *stem, const char *suffix, nq_dtype dtype,
                int dims, const int64_t *shape)
{
    nq_tensor *tensor = &checkpoint->tensors[checkpoint->count++];
    assert_true(asprintf(&tensor->name, "%s%s", stem, suffix) > 0);
    tensor->dtype = dtype;
    tensor->dims = dims;
    tensor->count = 1;
    for (int d = 0; d < dims; d++) {
        tensor->shape[d] = shape[d];
        tensor->count *= (size_t)shape[d];
    }
    tensor->data = calloc(tensor->count, nq_dtype_size(dtype));
    assert_non_null(tensor->data);
    float *values = tensor->data;
    for (size_t i = 0; dtype == NQ_F32 && i < tensor->count; i++)
        values[i] = 0.5f + (float)((37 * i + 101 * checkpoint->count) % 1000) / 1024;
}

static nq_checkpoint make_checkpoint(const char *arch, int classes)
{
    nq_graph graph;
    nq_error err = {0};
    assert_ok(nq_graph_build(arch, classes, &graph, &err), &err);
    nq_checkpoint checkpoint = {.tensors = calloc(8 * (size_t)graph.count, sizeof(nq_tensor))};
    assert_non_null(checkpoint.tensors);
    for (int i = 0; i < graph.count; i++) {
        const nq_node *node = &graph.nodes[i];
        if (!nq_node_has_weight(node))
            continue;
        int64_t out = node->channels, in = nq_node_in_channels(&graph, node, 0) / node->groups;
        put(&checkpoint, node->weight_key, "", NQ_F32, node->op == NQ_OP_CONV ? 4 : 2,
            (int64_t[]){out, in, node->kernel_h, node->kernel_w});
        if (!node->norm_key[0]) {
            put(&checkpoint, node->name, ".bias", NQ_F32, 1, &out);
            continue;
        }
        put(&checkpoint, node->norm_key, ".weight", NQ_F32, 1, &out);
        put(&checkpoint, node->norm_key, ".bias", NQ_F32, 1, &out);
        put(&checkpoint, node->norm_key, ".running_mean", NQ_F32, 1, &out);
        put(&checkpoint, node->norm_key, ".running_var", NQ_F32, 1, &out);
        put(&checkpoint, node->norm_key, ".num_batches_tracked", NQ_I64, 0, NULL);
    }
    nq_graph_free(&graph);
    return checkpoint;
}

static nq_tensor *tensor_of(nq_checkpoint *checkpoint, const char *name)
{
    nq_tensor *tensor = (nq_tensor *)nq_checkpoint_find(checkpoint, name);
    assert_non_null(tensor);
    return tensor;
}

static void rename_tensor(nq_checkpoint *checkpoint, const char *from, const char *to)
{
    nq_tensor *tensor = tensor_of(checkpoint, from);
    free(tensor->name);
    tensor->name = strdup(to);
}

static void every_structure_is_sound(void **state)
{
    (void)state;
    for (size_t a = 0; a < nq_arch_count; a++) {
        nq_graph g;
        nq_error err = {0};
        assert_ok(nq_graph_build(nq_archs[a].name, 7, &g, &err), &err);
        assert_string_equal(g.arch, nq_archs[a].name);
        assert_int_equal(g.classes, 7);
        assert_int_equal(g.nodes[0].op, NQ_OP_INPUT);
        assert_string_equal(g.nodes[0].name, "quant");
        assert_int_equal(nq_node_elements(&g.nodes[0]), 224 * 224 * 3);
        assert_int_equal(g.nodes[g.count - 1].op, NQ_OP_LINEAR);
        assert_int_equal(nq_node_elements(&g.nodes[g.count - 1]), 7);
        for (int i = 1; i < g.count; i++) {
            const nq_node *n = &g.nodes[i];
            assert_int_equal(nq_graph_find(&g, n->name), i);
            assert_int_equal(n->inputs, n->op == NQ_OP_ADD || n->op == NQ_OP_CAT ? 2 : 1);
            bool read = i == g.count - 1;
            for (int k = 0; k < n->inputs; k++)
                assert_true(n->input[k] >= 0 && n->input[k] < i);
            for (int j = i + 1; j < g.count && !read; j++)
                for (int k = 0; k < g.nodes[j].inputs; k++)
                    read = read || g.nodes[j].input[k] == i;
            assert_true(read); /* no dead ends */
            assert_true(n->channels > 0 && n->height > 0 && n->width > 0);
            assert_null(n->weight);
        }
        nq_graph_free(&g);
    }
}

typedef struct {
    const char *name;
    nq_op op;
    const char *input[2];
    bool relu;
    int channels, size, kernel, stride, pad, groups;
    const char *norm;
} expected_node;

static void expect_nodes(const char *arch, const expected_node *expected, size_t count)
{
    nq_graph g;
    nq_error err = {0};
    assert_ok(nq_graph_build(arch, 1000, &g, &err), &err);
    for (size_t i = 0; i < count; i++) {
        const expected_node *e = &expected[i];
        int index = nq_graph_find(&g, e->name);
        if (index < 0)
            fail_msg("%s has no node %s", arch, e->name);
        const nq_node *n = &g.nodes[index];
        assert_int_equal(n->op, e->op);
        assert_int_equal(n->relu, e->relu);
        assert_int_equal(n->channels, e->channels);
        assert_int_equal(n->height, e->size);
        assert_int_equal(n->width, e->size);
        for (int k = 0; k < 2 && e->input[k]; k++)
            assert_string_equal(g.nodes[n->input[k]].name, e->input[k]);
        assert_string_equal(n->norm_key, e->norm ? e->norm : "");
        if (!e->kernel)
            continue;
        assert_int_equal(n->kernel_h, e->kernel);
        assert_int_equal(n->kernel_w, e->kernel);
        assert_int_equal(n->stride, e->stride);
        assert_int_equal(n->pad_h, e->pad);
        assert_int_equal(n->pad_w, e->pad);
        assert_int_equal(n->groups, e->groups);
    }
    nq_graph_free(&g);
}
#define EXPECT_NODES(arch, list) expect_nodes(arch, list, sizeof(list) / sizeof(list)[0])

/* Read off torchvision 0.14's sources; names and shapes of all observed nodes are compared with
 * PyTorch itself in tests/parity/check_fold.py. */
static void nodes_of_the_papers(void **state)
{
    (void)state;
    static const expected_node resnet[] = {
        {"conv1", NQ_OP_CONV, {"quant"}, true, 64, 112, 7, 2, 3, 1, "bn1"},
        {"maxpool", NQ_OP_MAXPOOL, {"conv1"}, false, 64, 56, 3, 2, 1, 1, NULL},
        {"layer1.0.conv1", NQ_OP_CONV, {"maxpool"}, true, 64, 56, 3, 1, 1, 1, "layer1.0.bn1"},
        {"layer1.0.add_relu",
         NQ_OP_ADD,
         {"layer1.0.conv2", "maxpool"},
         true,
         64,
         56,
         0,
         0,
         0,
         0,
         NULL},
        {"layer2.0.downsample.0",
         NQ_OP_CONV,
         {"layer1.1.add_relu"},
         false,
         128,
         28,
         1,
         2,
         0,
         1,
         "layer2.0.downsample.1"},
        {"layer2.0.add_relu",
         NQ_OP_ADD,
         {"layer2.0.conv2", "layer2.0.downsample.0"},
         true,
         128,
         28,
         0,
         0,
         0,
         0,
         NULL},
        {"avgpool", NQ_OP_AVGPOOL, {"layer4.1.add_relu"}, false, 512, 1, 0, 0, 0, 0, NULL},
        {"fc", NQ_OP_LINEAR, {"avgpool"}, false, 1000, 1, 1, 1, 0, 1, NULL},
    };
    static const expected_node mobilenet[] = {
        {"features.0.0", NQ_OP_CONV, {"quant"}, true, 32, 112, 3, 2, 1, 1, "features.0.1"},
        {"features.1.conv.0.0",
         NQ_OP_CONV,
         {"features.0.0"},
         true,
         32,
         112,
         3,
         1,
         1,
         32,
         "features.1.conv.0.1"},
        {"features.1.conv.1",
         NQ_OP_CONV,
         {"features.1.conv.0.0"},
         false,
         16,
         112,
         1,
         1,
         0,
         1,
         "features.1.conv.2"},
        {"features.2.conv.1.0",
         NQ_OP_CONV,
         {"features.2.conv.0.0"},
         true,
         96,
         56,
         3,
         2,
         1,
         96,
         "features.2.conv.1.1"},
        {"features.2.conv.2",
         NQ_OP_CONV,
         {"features.2.conv.1.0"},
         false,
         24,
         56,
         1,
         1,
         0,
         1,
         "features.2.conv.3"},
        {"features.3.skip_add",
         NQ_OP_ADD,
         {"features.2.conv.2", "features.3.conv.2"},
         false,
         24,
         56,
         0,
         0,
         0,
         0,
         NULL},
        {"features.17.conv.2",
         NQ_OP_CONV,
         {"features.17.conv.1.0"},
         false,
         320,
         7,
         1,
         1,
         0,
         1,
         "features.17.conv.3"},
        {"features.18.0",
         NQ_OP_CONV,
         {"features.17.conv.2"},
         true,
         1280,
         7,
         1,
         1,
         0,
         1,
         "features.18.1"},
        {"classifier.1", NQ_OP_LINEAR, {"avgpool"}, false, 1000, 1, 1, 1, 0, 1, NULL},
    };
    static const expected_node shufflenet[] = {
        {"conv1.0", NQ_OP_CONV, {"quant"}, true, 24, 112, 3, 2, 1, 1, "conv1.1"},
        {"stage2.0.branch1.0",
         NQ_OP_CONV,
         {"maxpool"},
         false,
         24,
         28,
         3,
         2,
         1,
         24,
         "stage2.0.branch1.1"},
        {"stage2.0.branch2.0",
         NQ_OP_CONV,
         {"maxpool"},
         true,
         58,
         56,
         1,
         1,
         0,
         1,
         "stage2.0.branch2.1"},
        {"stage2.0.cat",
         NQ_OP_CAT,
         {"stage2.0.branch1.2", "stage2.0.branch2.5"},
         false,
         116,
         28,
         0,
         0,
         0,
         0,
         NULL},
        {"stage2.0.shuffle", NQ_OP_SHUFFLE, {"stage2.0.cat"}, false, 116, 28, 1, 1, 0, 2, NULL},
        {"stage2.1.chunk.1", NQ_OP_SLICE, {"stage2.0.shuffle"}, false, 58, 28, 0, 0, 0, 0, NULL},
        {"stage2.1.branch2.0",
         NQ_OP_CONV,
         {"stage2.1.chunk.1"},
         true,
         58,
         28,
         1,
         1,
         0,
         1,
         "stage2.1.branch2.1"},
        {"stage2.1.branch2.3",
         NQ_OP_CONV,
         {"stage2.1.branch2.0"},
         false,
         58,
         28,
         3,
         1,
         1,
         58,
         "stage2.1.branch2.4"},
        {"stage2.1.cat",
         NQ_OP_CAT,
         {"stage2.1.chunk.0", "stage2.1.branch2.5"},
         false,
         116,
         28,
         0,
         0,
         0,
         0,
         NULL},
        {"conv5.0", NQ_OP_CONV, {"stage4.3.shuffle"}, true, 1024, 7, 1, 1, 0, 1, "conv5.1"},
    };
    EXPECT_NODES("resnet18", resnet);
    EXPECT_NODES("mobilenet_v2", mobilenet);
    EXPECT_NODES("shufflenet_v2_x1_0", shufflenet);
    nq_graph g;
    nq_error err = {0};
    assert_ok(nq_graph_build("shufflenet_v2_x0_5", 10, &g, &err), &err);
    assert_int_equal(g.nodes[nq_graph_find(&g, "stage2.1.chunk.0")].first, 0);
    assert_int_equal(g.nodes[nq_graph_find(&g, "stage2.1.chunk.1")].first, 24);
    assert_int_equal(nq_graph_find(&g, "nowhere"), -1);
    nq_graph_free(&g);
}

static void impossible_builds(void **state)
{
    (void)state;
    nq_graph g;
    nq_error err = {0};
    assert_refused(nq_graph_build("vgg16", 10, &g, &err), NQ_ERR_MISSING, &err, "vgg16 is not");
    assert_refused(nq_graph_build("resnet18", 0, &g, &err), NQ_ERR_INPUT, &err, "1..65536");
    assert_refused(nq_graph_build("resnet18", 65537, &g, &err), NQ_ERR_INPUT, &err, "65537");
    assert_null(g.nodes);
}

static void loads_and_transposes(void **state)
{
    (void)state;
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    assert_ok(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &g, &err), &err);
    assert_int_equal(g.classes, 10);
    const nq_node *conv = &g.nodes[nq_graph_find(&g, "conv1.0")];
    const float *original = tensor_of(&checkpoint, "conv1.0.weight")->data;
    for (int o = 0; o < 24; o++)
        for (int i = 0; i < 3; i++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 3; x++)
                    assert_float_equal(conv->weight[((o * 3 + y) * 3 + x) * 3 + i],
                                       original[((o * 3 + i) * 3 + y) * 3 + x], 0);
    assert_null(conv->bias);
    assert_memory_equal(conv->norm.var, tensor_of(&checkpoint, "conv1.1.running_var")->data, 96);
    const nq_node *fc = &g.nodes[g.count - 1];
    assert_memory_equal(fc->weight, tensor_of(&checkpoint, "fc.weight")->data, 10 * 1024 * 4);
    assert_memory_equal(fc->bias, tensor_of(&checkpoint, "fc.bias")->data, 10 * 4);
    nq_graph_free(&g);
    nq_checkpoint_free(&checkpoint);
}

static void old_files_lack_num_batches_tracked(void **state)
{
    (void)state;
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    size_t kept = 0;
    for (size_t i = 0; i < checkpoint.count; i++) {
        if (strstr(checkpoint.tensors[i].name, "num_batches_tracked")) {
            free(checkpoint.tensors[i].name);
            free(checkpoint.tensors[i].data);
        } else {
            checkpoint.tensors[kept++] = checkpoint.tensors[i];
        }
    }
    checkpoint.count = kept;
    assert_ok(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &g, &err), &err);
    nq_graph_free(&g);
    nq_checkpoint_free(&checkpoint);
}

/* Applies one change to a good checkpoint and expects the sentence to name it. */
static void expect_misfit(void (*change)(nq_checkpoint *), const char *words)
{
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    change(&checkpoint);
    assert_refused(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &g, &err), NQ_ERR_INPUT, &err,
                   words);
    assert_null(g.nodes);
    nq_checkpoint_free(&checkpoint);
}

static void drop_one(nq_checkpoint *c)
{
    nq_tensor *tensor = tensor_of(c, "conv5.0.weight");
    free(tensor->name);
    free(tensor->data);
    *tensor = c->tensors[--c->count];
}
static void rename_three(nq_checkpoint *c)
{
    rename_tensor(c, "conv1.1.weight", "stranger.a");
    rename_tensor(c, "conv1.1.bias", "stranger.b");
    rename_tensor(c, "fc.bias", "stranger.c");
}
static void flatten_weight(nq_checkpoint *c)
{
    tensor_of(c, "conv1.0.weight")->dims = 2;
}
static void swap_dimensions(nq_checkpoint *c)
{
    nq_tensor *tensor = tensor_of(c, "conv5.0.weight");
    tensor->shape[0] = 192;
    tensor->shape[1] = 1024;
}
static void halve_type(nq_checkpoint *c)
{
    tensor_of(c, "conv1.0.weight")->dtype = NQ_F16;
}
static void float_counter(nq_checkpoint *c)
{
    tensor_of(c, "conv1.1.num_batches_tracked")->dtype = NQ_F32;
}
static void prefix_all(nq_checkpoint *c)
{
    for (size_t i = 0; i < c->count; i++) {
        char *old = c->tensors[i].name;
        assert_true(asprintf(&c->tensors[i].name, "module.%s", old) > 0);
        free(old);
    }
}
static void no_classes(nq_checkpoint *c)
{
    tensor_of(c, "fc.weight")->shape[0] = 0;
}
static void nine_classes_of_bias(nq_checkpoint *c)
{
    tensor_of(c, "fc.bias")->shape[0] = 9;
}
static void put_nan(nq_checkpoint *c)
{
    ((float *)tensor_of(c, "conv5.0.weight")->data)[11] = NAN;
}
static void put_infinity(nq_checkpoint *c)
{
    ((float *)tensor_of(c, "fc.bias")->data)[3] = -INFINITY;
}
static void negative_variance(nq_checkpoint *c)
{
    ((float *)tensor_of(c, "stage3.1.branch2.1.running_var")->data)[2] = -1e-9f;
}

static void every_mismatch_is_named(void **state)
{
    (void)state;
    expect_misfit(drop_one, "1 missing (\"conv5.0.weight\")");
    expect_misfit(rename_three, "3 missing (\"conv1.1.weight\", \"conv1.1.bias\" and 1 more); "
                                "3 unexpected (\"stranger.a\", \"stranger.b\" and 1 more)");
    expect_misfit(flatten_weight, "\"conv1.0.weight\" is [24, 3], not [24, 3, 3, 3]");
    expect_misfit(
        swap_dimensions,
        "1 of wrong shape (\"conv5.0.weight\" is [192, 1024, 1, 1], not [1024, 192, 1, 1])");
    expect_misfit(halve_type, "1 of wrong type (\"conv1.0.weight\" is float16, not float32)");
    expect_misfit(float_counter, "\"conv1.1.num_batches_tracked\" is float32, not int64");
    expect_misfit(prefix_all, "every name begins with \"module.\"");
    expect_misfit(no_classes, "\"fc.weight\" has 0 rows");
    expect_misfit(nine_classes_of_bias, "\"fc.bias\" is [9], not [10]");
    expect_misfit(put_nan, "\"conv5.0.weight\" holds a value that is not finite (element 11)");
    expect_misfit(put_infinity, "\"fc.bias\" holds a value that is not finite (element 3)");
    expect_misfit(negative_variance,
                  "\"stage3.1.branch2.1.running_var\" holds a negative variance (channel 2)");
}

static void names_the_architecture_it_is(void **state)
{
    (void)state;
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    assert_refused(nq_graph_load("shufflenet_v2_x1_0", &checkpoint, &g, &err), NQ_ERR_INPUT, &err,
                   "does not fit shufflenet_v2_x1_0, it is one of shufflenet_v2_x0_5");
    assert_refused(nq_graph_load("resnet18", &checkpoint, &g, &err), NQ_ERR_INPUT, &err,
                   "it is one of shufflenet_v2_x0_5");
    assert_refused(nq_graph_load("vgg16", &checkpoint, &g, &err), NQ_ERR_MISSING, &err, "vgg16");
    nq_checkpoint_free(&checkpoint);
}

/* Bit-equality with PyTorch on whole networks is check_fold.py's; this is the formula on one layer,
 * with values whose results depend on the order of operations. */
static void folds_in_the_contract_order(void **state)
{
    (void)state;
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    float before[24];
    assert_ok(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &g, &err), &err);
    const nq_node *node = &g.nodes[nq_graph_find(&g, "conv1.0")];
    for (int c = 0; c < 24; c++)
        before[c] = node->weight[c * 27 + 4];
    assert_ok(nq_graph_fold(&g, &err), &err);
    for (int c = 0; c < 24; c++) {
        float gamma = node->norm.gamma[c], mean = node->norm.mean[c];
        volatile float root = sqrtf(node->norm.var[c] + 1e-5f);
        volatile float rs = 1.0f / root;
        volatile float factor = gamma * rs;
        volatile float weight = before[c] * factor;
        volatile float scaled = (0.0f - mean) * rs;
        volatile float product = scaled * gamma;
        volatile float bias = product + node->norm.beta[c];
        assert_memory_equal(&node->weight[c * 27 + 4], (const float *)&weight, sizeof weight);
        assert_memory_equal(&node->bias[c], (const float *)&bias, sizeof bias);
    }
    assert_memory_equal(node->norm.gamma, tensor_of(&checkpoint, "conv1.1.weight")->data, 96);
    const nq_node *fc = &g.nodes[g.count - 1];
    assert_memory_equal(fc->weight, tensor_of(&checkpoint, "fc.weight")->data, 4096);
    assert_refused(nq_graph_fold(&g, &err), NQ_ERR_STATE, &err, "folded already");
    nq_graph_free(&g);
    nq_checkpoint_free(&checkpoint);
}

static void impossible_folds(void **state)
{
    (void)state;
    nq_checkpoint checkpoint = make_checkpoint("shufflenet_v2_x0_5", 10);
    nq_graph g;
    nq_error err = {0};
    ((float *)tensor_of(&checkpoint, "conv1.0.weight")->data)[3 * 27] = 3e38f;
    ((float *)tensor_of(&checkpoint, "conv1.1.weight")->data)[3] = 1000;
    assert_ok(nq_graph_load("shufflenet_v2_x0_5", &checkpoint, &g, &err), &err);
    assert_refused(nq_graph_fold(&g, &err), NQ_ERR_INPUT, &err,
                   "folding \"conv1.1\" into \"conv1.0.weight\" leaves float32 in channel 3");
    nq_graph_free(&g);
    nq_checkpoint_free(&checkpoint);
    assert_ok(nq_graph_build("resnet18", 10, &g, &err), &err);
    assert_refused(nq_graph_fold(&g, &err), NQ_ERR_STATE, &err, "no weights to fold");
    nq_graph_free(&g);
}

/* A copy has the same values in memory of its own. */
static void copies_are_deep(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_graph g = demo_graph(), copy;
    assert_ok(nq_graph_copy(&g, &copy, &err), &err);
    assert_string_equal(copy.arch, g.arch);
    assert_int_equal(copy.classes, g.classes);
    assert_int_equal(copy.count, g.count);
    for (int i = 0; i < g.count; i++) {
        const nq_node *a = &g.nodes[i], *b = &copy.nodes[i];
        assert_string_equal(a->name, b->name);
        if (!nq_node_has_weight(a))
            continue;
        size_t channels = (size_t)a->channels * sizeof(float);
        assert_ptr_not_equal(a->weight, b->weight);
        assert_memory_equal(a->weight, b->weight, nq_node_weights(&g, a) * sizeof(float));
        assert_ptr_not_equal(a->bias, b->bias);
        assert_memory_equal(a->bias, b->bias, channels);
        assert_int_equal(!a->norm.gamma, !b->norm.gamma);
        if (!a->norm.gamma)
            continue;
        assert_ptr_not_equal(a->norm.gamma, b->norm.gamma);
        assert_memory_equal(a->norm.gamma, b->norm.gamma, channels);
        assert_memory_equal(a->norm.beta, b->norm.beta, channels);
        assert_memory_equal(a->norm.mean, b->norm.mean, channels);
        assert_memory_equal(a->norm.var, b->norm.var, channels);
    }
    nq_graph_free(&g);
    assert_true(copy.nodes[1].weight[0] != 0 || copy.nodes[1].weight[1] != 0);
    nq_graph_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_structure_is_sound),
        cmocka_unit_test(nodes_of_the_papers),
        cmocka_unit_test(impossible_builds),
        cmocka_unit_test(loads_and_transposes),
        cmocka_unit_test(old_files_lack_num_batches_tracked),
        cmocka_unit_test(every_mismatch_is_named),
        cmocka_unit_test(names_the_architecture_it_is),
        cmocka_unit_test(folds_in_the_contract_order),
        cmocka_unit_test(impossible_folds),
        cmocka_unit_test(copies_are_deep),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
