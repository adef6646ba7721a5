#include "tests/unit/random_model.h"
#include "worker/output/model_file.h"
#include "worker/output/packing.h"
#include "worker/output/safetensors.h"
#include <jansson.h>

static const char *const archs[] = {"resnet18", "mobilenet_v2", "shufflenet_v2_x1_0",
                                    "shufflenet_v2_x0_5"};

typedef struct {
    uint8_t *data;
    size_t size;
} bytes;

static bytes encode(const nq_qmodel *m)
{
    bytes b;
    nq_error err = {0};
    assert_ok(nq_model_file_encode(m, &b.data, &b.size, &err), &err);
    return b;
}

static void same_params(nq_qparams a, nq_qparams b)
{
    assert_memory_equal(&a.scale, &b.scale, sizeof a.scale);
    assert_int_equal(a.zero_point, b.zero_point);
    assert_int_equal(a.qmax, b.qmax);
}

static void same_model(const nq_qmodel *a, const nq_qmodel *b)
{
    assert_string_equal(a->graph.arch, b->graph.arch);
    assert_int_equal(a->graph.classes, b->graph.classes);
    assert_int_equal(a->graph.count, b->graph.count);
    for (int i = 0; i < a->graph.count; i++) {
        const nq_node *n = &a->graph.nodes[i];
        const nq_qnode *x = &a->nodes[i], *y = &b->nodes[i];
        same_params(x->out, y->out);
        if (!nq_node_has_weight(n))
            continue;
        assert_int_equal(x->weight_bits, y->weight_bits);
        assert_memory_equal(x->weight, y->weight, nq_node_weights(&a->graph, n));
        assert_int_equal(x->scales, y->scales);
        assert_memory_equal(x->weight_scale, y->weight_scale, (size_t)x->scales * sizeof(float));
        assert_int_equal(x->bias != NULL, y->bias != NULL);
        if (x->bias)
            assert_memory_equal(x->bias, y->bias, (size_t)n->channels * sizeof(float));
        assert_int_equal(x->has_table, y->has_table);
        if (x->has_table)
            same_params(x->in, y->in);
    }
}

static void every_width_comes_back(void **state)
{
    (void)state;
    for (int bits = 2; bits <= 8; bits++) {
        random_shape shape = {
            .bits = bits, .activation = bits, .per_channel = bits % 2, .without_bias = bits > 4};
        nq_qmodel m = random_model(archs[bits % 4], 10 + bits, shape, (uint64_t)bits), again;
        nq_error err = {0};
        bytes first = encode(&m);
        assert_ok(nq_model_file_decode(first.data, first.size, "a file", &again, &err), &err);
        same_model(&m, &again);
        bytes second = encode(&again);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
        free(first.data);
        free(second.data);
        nq_qmodel_free(&m);
        nq_qmodel_free(&again);
    }
}

/* DESIGN: at most packed weights + 8 bytes an output channel + 32 KB. */
static void size_is_bounded(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof archs / sizeof archs[0]; a++)
        for (int bits = 4; bits <= 8; bits += 4) {
            random_shape shape = {.bits = bits, .activation = bits, .per_channel = true};
            nq_qmodel m = random_model(archs[a], 1000, shape, 1);
            bytes b = encode(&m);
            size_t bound = 32 * 1024;
            for (int i = 0; i < m.graph.count; i++) {
                const nq_node *n = &m.graph.nodes[i];
                if (!nq_node_has_weight(n))
                    continue;
                size_t channels = (size_t)n->channels;
                size_t depth = nq_node_weights(&m.graph, n) / channels;
                bound += channels * nq_packed_row(depth, bits) + 8 * channels;
            }
            if (b.size > bound)
                fail_msg("%s at %d bits: %zu bytes, not at most %zu", archs[a], bits, b.size,
                         bound);
            free(b.data);
            nq_qmodel_free(&m);
        }
}

/* The container as the format's own description has it, read here without netq's reader. */
static void the_container_is_safetensors(void **state)
{
    (void)state;
    random_shape shape = {.bits = 4, .activation = 4};
    nq_qmodel m = random_model("mobilenet_v2", 10, shape, 1);
    bytes b = encode(&m);
    uint64_t length;
    memcpy(&length, b.data, 8);
    assert_int_equal(length % 8, 0);
    assert_true(length < 32 * 1024);
    assert_int_equal(b.data[8], '{');
    json_t *header = json_loadb((const char *)b.data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    char *sorted = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);
    assert_memory_equal(sorted, b.data + 8, strlen(sorted));
    for (size_t i = strlen(sorted); i < length; i++)
        assert_int_equal(b.data[8 + i], ' ');
    free(sorted);
    const char *name;
    json_t *entry;
    size_t covered = 0, data = b.size - 8 - length;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        json_int_t begin =
            json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
        json_int_t end =
            json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 1));
        const char *type = json_string_value(json_object_get(entry, "dtype"));
        json_int_t elements = 1;
        for (size_t d = 0; d < json_array_size(json_object_get(entry, "shape")); d++)
            elements *= json_integer_value(json_array_get(json_object_get(entry, "shape"), d));
        int width = strcmp(type, "F32") == 0 || strcmp(type, "I32") == 0 ? 4 : 1;
        assert_int_equal(end - begin, elements * width);
        assert_int_equal(begin % width, 0);
        covered += (size_t)(end - begin);
    }
    assert_int_equal(covered, data);
    json_t *metadata = json_object_get(header, "__metadata__");
    assert_string_equal(json_string_value(json_object_get(metadata, "format")), "netq");
    assert_string_equal(json_string_value(json_object_get(metadata, "arch")), "mobilenet_v2");
    assert_string_equal(json_string_value(json_object_get(metadata, "classes")), "10");
    assert_memory_equal(json_string_value(json_object_get(metadata, "nodes")), "quant ", 6);
    json_decref(header);
    free(b.data);
    nq_qmodel_free(&m);
}

static void bits_are_packed_low_first(void **state)
{
    (void)state;
    const int8_t nibbles[3] = {1, -1, 7};
    const int8_t threes[3] = {1, -4, 3};
    uint8_t packed[2] = {0};
    int8_t back[3];
    assert_int_equal(nq_packed_row(3, 4), 2);
    nq_pack_row(nibbles, 3, 4, packed);
    assert_int_equal(packed[0], 0xF1);
    assert_int_equal(packed[1], 0x07);
    nq_unpack_row(packed, 3, 4, back);
    assert_memory_equal(back, nibbles, 3);
    nq_pack_row(threes, 3, 3, packed); /* 001, 100, 011 */
    assert_int_equal(packed[0], 0xE1);
    assert_int_equal(packed[1], 0x00);
    nq_unpack_row(packed, 3, 3, back);
    assert_memory_equal(back, threes, 3);
}

/* ---- hostile files ---- */

static bytes good;
static nq_qmodel small;

static int setup(void **state)
{
    (void)state;
    random_shape shape = {.bits = 2, .activation = 4};
    small = random_model("shufflenet_v2_x0_5", 2, shape, 1);
    good = encode(&small);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(good.data);
    nq_qmodel_free(&small);
    return 0;
}

static void refused(bytes b, const char *words)
{
    nq_qmodel m;
    nq_error err = {0};
    /* an exact allocation, so that a sanitizer sees reads past the end */
    uint8_t *copy = malloc(b.size ? b.size : 1);
    assert_non_null(copy);
    memcpy(copy, b.data, b.size);
    assert_refused(nq_model_file_decode(copy, b.size, "evil.safetensors", &m, &err), NQ_ERR_INPUT,
                   &err, words);
    assert_memory_equal(err.text, "evil.safetensors: ", 18);
    assert_null(m.nodes);
    free(copy);
}

/* The good file with the first `from` in its header replaced by `to`, header length adjusted. */
static bytes edited(const char *from, const char *to)
{
    uint64_t length;
    memcpy(&length, good.data, 8);
    uint8_t *at = memmem(good.data + 8, length, from, strlen(from));
    assert_non_null(at);
    size_t before = (size_t)(at - good.data), rest = good.size - before - strlen(from);
    bytes b = {.size = before + strlen(to) + rest};
    b.data = malloc(b.size);
    assert_non_null(b.data);
    memcpy(b.data, good.data, before);
    memcpy(b.data + before, to, strlen(to));
    memcpy(b.data + before + strlen(to), at + strlen(from), rest);
    length += strlen(to) - strlen(from);
    memcpy(b.data, &length, 8);
    return b;
}

static void edit_refused(const char *from, const char *to, const char *words)
{
    bytes b = edited(from, to);
    refused(b, words);
    free(b.data);
}

static void broken_containers(void **state)
{
    (void)state;
    for (size_t size = 0; size < good.size; size += 1 + size / 3) /* cut anywhere */
        refused((bytes){good.data, size}, "");
    bytes longer = {malloc(good.size + 1), good.size + 1};
    memcpy(longer.data, good.data, good.size);
    longer.data[good.size] = 0;
    refused(longer, "bytes of tensors are named");
    memset(longer.data, 0xFF, 8);
    refused(longer, "does not fit");
    memset(longer.data + 3, 0, 5);
    refused(longer, "does not fit");
    free(longer.data);
    refused((bytes){(uint8_t *)"\2\0\0\0\0\0\0\0[]", 10}, "no JSON object");
    refused((bytes){(uint8_t *)"\2\0\0\0\0\0\0\0{}", 10}, "__metadata__");
    edit_refused("\"F32\"", "\"F33\"", "dtype");
    edit_refused("\"F32\"", "32", "dtype");
    edit_refused("\"shape\":[", "\"shape\":[2,", "");
    edit_refused("\"shape\":[", "\"shape\":[4294967296,", "shape");
    edit_refused("\"shape\":[", "\"shape\":[-1,", "shape");
    edit_refused("\"shape\":[", "\"shape\":[1,1,1,1,", "shape");
    edit_refused("\"data_offsets\":[", "\"data_offsets\":[99999999,", "data_offsets");
    edit_refused("\"data_offsets\":[", "\"data_offsets\":[0,", "data_offsets");
    edit_refused("{", "{\"conv5.0.bias\":0,", "JSON");
    edit_refused("\"classes\":\"2\"", "\"classes\":2", "no string");
}

static void wrong_networks(void **state)
{
    (void)state;
    edit_refused("\"format\":\"netq\"", "\"format\":\"pt\"", "not \"netq\"");
    edit_refused("\"model_format\":\"1\"", "\"model_format\":\"2\"", "model_format");
    edit_refused("\"shufflenet_v2_x0_5\"", "\"alexnet\"", "alexnet");
    edit_refused("\"shufflenet_v2_x0_5\"", "\"resnet18\"", "nodes");
    edit_refused("\"classes\":\"2\"", "\"classes\":\"02\"", "classes");
    edit_refused("\"classes\":\"2\"", "\"classes\":\"0\"", "classes");
    edit_refused("\"classes\":\"2\"", "\"classes\":\"65536\"", "cannot hold");
    edit_refused("\"classes\":\"2\"", "\"classes\":\"3\"", "fc.");
    edit_refused("\"conv1.0.weight_scale\"", "\"conv1.0.weight_scales\"", "conv1.0.weight_scale");
    edit_refused("\"conv1.0.weight\"", "\"conv1.0.w\"", "\"conv1.0.weight\" is missing");
    edit_refused("\"conv1.0.bias\"", "\"conv1.0.b\"", "\"conv1.0.b\" belongs to no node");
    edit_refused("\"requantize.node\"", "\"requantize.n\"", "belongs to no node");
    edit_refused("quant conv1.0", "quant conv1.1", "nodes");
}

/* Writes bytes into a tensor of the good file and expects a sentence. */
static void poke_refused(const char *tensor, size_t at, const void *value, size_t n,
                         const char *words)
{
    nq_safetensors file;
    nq_error err = {0};
    assert_ok(nq_safetensors_read(good.data, good.size, &file, &err), &err);
    nq_st_tensor *t = nq_safetensors_take(&file, tensor);
    assert_non_null(t);
    uint8_t kept[8], *data = good.data + ((const uint8_t *)t->data - good.data) + at;
    nq_safetensors_free(&file);
    memcpy(kept, data, n);
    memcpy(data, value, n);
    refused(good, words);
    memcpy(data, kept, n);
}

static void wrong_values(void **state)
{
    (void)state;
    const float infinite = INFINITY, negative = -1;
    const int32_t first = 0, far = 1 << 30;
    poke_refused("activation.scale", 0, &infinite, 4, "quant: the scale");
    poke_refused("activation.zero_point", 1, "\xff", 1, "conv1.0");
    poke_refused("activation.qmax", 1, "\x64", 1, "conv1.0");
    poke_refused("weight.bits", 0, "\2", 1, "weight.bits: 2 for quant");
    poke_refused("weight.bits", 1, "\1", 1, "weight.bits: 1 for conv1.0");
    poke_refused("weight.bits", 1, "\3", 1, "conv1.0.weight");
    poke_refused("conv1.0.weight_scale", 0, &negative, 4, "conv1.0: weight scale");
    poke_refused("conv1.0.bias", 4, &infinite, 4, "conv1.0: the bias of channel 1");
    poke_refused("requantize.node", 0, &first, 4, "0 is no layer");
    poke_refused("requantize.node", 0, &far, 4, "is no layer");
    poke_refused("requantize.qmax", 0, "\0", 1, "requantized input");
}

static void a_refused_model_is_not_written(void **state)
{
    (void)state;
    uint8_t *data;
    size_t size;
    nq_error err = {0};
    small.nodes[1].out.scale = 0;
    assert_refused(nq_model_file_encode(&small, &data, &size, &err), NQ_ERR_INPUT, &err, "conv1.0");
    assert_null(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_comes_back),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(the_container_is_safetensors),
        cmocka_unit_test(bits_are_packed_low_first),
        cmocka_unit_test_setup_teardown(broken_containers, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_networks, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_values, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_model_is_not_written, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
