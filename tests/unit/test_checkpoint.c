/* The checkpoint reader: what torch.save writes, and what strangers might (tests/data/checkpoints).
 */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/model/checkpoint.h"

#include <unistd.h>

static uint8_t *read_fixture(const char *name, size_t *size)
{
    char relative[256];
    nq_error err = {0};
    uint8_t *data = NULL;
    snprintf(relative, sizeof relative, "tests/data/checkpoints/%s", name);
    assert_ok(nq_file_read(nq_test_path(relative), 1 << 20, &data, size, &err), &err);
    return data;
}

static nq_status parse_fixture(const char *name, nq_checkpoint *checkpoint, nq_error *err)
{
    size_t size;
    uint8_t *data = read_fixture(name, &size);
    nq_status status = nq_checkpoint_parse(data, size, name, checkpoint, err);
    free(data);
    return status;
}

static void expect_floats(const nq_checkpoint *checkpoint, const char *name, int dims,
                          const int64_t *shape, const float *values)
{
    const nq_tensor *tensor = nq_checkpoint_find(checkpoint, name);
    size_t count = 1;
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, NQ_F32);
    assert_int_equal(tensor->dims, dims);
    for (int d = 0; d < dims; d++) {
        assert_int_equal(tensor->shape[d], shape[d]);
        count *= (size_t)shape[d];
    }
    assert_int_equal(tensor->count, count);
    assert_memory_equal(tensor->data, values, count * sizeof *values);
}

static void expect_bytes(const nq_checkpoint *checkpoint, const char *name, nq_dtype dtype,
                         const void *bytes, size_t size)
{
    const nq_tensor *tensor = nq_checkpoint_find(checkpoint, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->count * nq_dtype_size(dtype), size);
    assert_memory_equal(tensor->data, bytes, size);
}

static void expect_all_tensors(const char *fixture)
{
    nq_checkpoint checkpoint;
    nq_error err = {0};
    float values[24], transposed[24];
    assert_ok(parse_fixture(fixture, &checkpoint, &err), &err);
    assert_int_equal(checkpoint.count, 14);
    assert_string_equal(checkpoint.tensors[0].name, "matrix");
    assert_string_equal(checkpoint.tensors[13].name, "bool");
    for (int i = 0; i < 24; i++)
        values[i] = (float)i;
    for (int k = 0; k < 4; k++) /* permute(2, 0, 1) of [2][3][4] */
        for (int i = 0; i < 6; i++)
            transposed[k * 6 + i] = (float)(4 * i + k);
    expect_floats(&checkpoint, "matrix", 3, (int64_t[]){2, 3, 4}, values);
    expect_floats(&checkpoint, "transposed", 3, (int64_t[]){4, 2, 3}, transposed);
    expect_floats(&checkpoint, "offset", 1, (int64_t[]){3}, (float[]){5, 7, 9});
    expect_floats(&checkpoint, "expanded", 2, (int64_t[]){2, 3}, (float[]){7, 7, 7, 7, 7, 7});
    expect_floats(&checkpoint, "empty", 2, (int64_t[]){0, 3}, values);
    expect_bytes(&checkpoint, "scalar", NQ_I64, &(int64_t){41}, 8);
    assert_int_equal(nq_checkpoint_find(&checkpoint, "scalar")->dims, 0);
    expect_bytes(&checkpoint, "float16", NQ_F16, (uint16_t[]){0, 0x3c00, 0x4000}, 6);
    expect_bytes(&checkpoint, "bfloat16", NQ_BF16, (uint16_t[]){0, 0x3f80, 0x4000}, 6);
    expect_bytes(&checkpoint, "float64", NQ_F64, (double[]){0, 1, 2}, 24);
    expect_bytes(&checkpoint, "int32", NQ_I32, (int32_t[]){0, 1, 2}, 12);
    expect_bytes(&checkpoint, "int16", NQ_I16, (int16_t[]){0, 1, 2}, 6);
    expect_bytes(&checkpoint, "int8", NQ_I8, (int8_t[]){0, 1, 2}, 3);
    expect_bytes(&checkpoint, "uint8", NQ_U8, (uint8_t[]){0, 1, 2}, 3);
    expect_bytes(&checkpoint, "bool", NQ_BOOL, (uint8_t[]){1, 0, 1}, 3);
    assert_null(nq_checkpoint_find(&checkpoint, "absent"));
    nq_checkpoint_free(&checkpoint);
    assert_null(checkpoint.tensors);
}

static void both_formats_and_all_protocols(void **state)
{
    (void)state;
    expect_all_tensors("zip.pth");
    expect_all_tensors("legacy.pth");
    expect_all_tensors("protocol4.pth");
    expect_all_tensors("legacy_protocol5.pth");
}

static void what_surrounds_a_state_dict(void **state)
{
    (void)state;
    nq_checkpoint checkpoint;
    nq_error err = {0};
    assert_ok(parse_fixture("metadata.pth", &checkpoint, &err), &err);
    assert_int_equal(checkpoint.count, 6);
    expect_floats(&checkpoint, "0.weight", 4, (int64_t[]){2, 1, 1, 1}, (float[]){0.5f, -0.25f});
    nq_checkpoint_free(&checkpoint);
    assert_ok(parse_fixture("parameter.pth", &checkpoint, &err), &err);
    expect_floats(&checkpoint, "w", 1, (int64_t[]){2}, (float[]){1.5f, 2.5f});
    nq_checkpoint_free(&checkpoint);
    assert_ok(parse_fixture("python2.pth", &checkpoint, &err), &err);
    /* element 1 of a view that begins at element 1 of 1 2 3 4 */
    expect_floats(&checkpoint, "w", 1, (int64_t[]){2}, (float[]){3, 4});
    nq_checkpoint_free(&checkpoint);
    const char *handmade[] = {"handmade_legacy.pth", "handmade_zip.pth", "zip_little_endian.pth"};
    for (size_t i = 0; i < sizeof handmade / sizeof *handmade; i++) {
        assert_ok(parse_fixture(handmade[i], &checkpoint, &err), &err);
        expect_floats(&checkpoint, "w", 2, (int64_t[]){2, 2}, (float[]){1, 2, 3, 4});
        nq_checkpoint_free(&checkpoint);
    }
    /* The stride of a dimension of size 1 means nothing, however large. */
    assert_ok(parse_fixture("stride_unused.pth", &checkpoint, &err), &err);
    expect_floats(&checkpoint, "w", 2, (int64_t[]){1, 4}, (float[]){1, 2, 3, 4});
    nq_checkpoint_free(&checkpoint);
}

static const struct {
    const char *fixture, *words;
} refused[] = {
    {"os_system_zip.pth", "data.pkl: byte 2: the pickle asks for posix.system"},
    {"os_system_legacy.pth", "the pickle asks for posix.system"},
    {"os_system_bare.pth", "the pickle asks for posix.system"},
    {"os_system_stack_global.pth", "the pickle asks for os.system"},
    {"eval_deep_in_dict.pth", "the pickle asks for __builtin__.eval"},
    {"whole_model.pth", "the pickle asks for torch.nn.modules.linear.Linear"},
    {"complex.pth", "the pickle asks for torch.ComplexFloatStorage"},
    {"persistent_module.pth", "a persistent id that is no storage"},
    {"call_storage_type.pth", "the pickle calls torch.FloatStorage"},
    {"call_text.pth", "REDUCE without a function"},
    {"build_on_list.pth", "BUILD on something"},
    {"nested.pth", "key \"state_dict\" holds a dictionary, and netq does not unwrap it"},
    {"epoch.pth", "key \"epoch\" holds a number, not a tensor"},
    {"tensor_alone.pth", "holds a tensor, not a state_dict"},
    {"quantized.pth", "tensor \"w\" is quantized"},
    {"quantized_channel.pth", "tensor \"w\" is quantized"},
    {"no_tensors.pth", "a state_dict of 0 tensors"},
    {"name_twice.pth", "key \"w\" occurs twice"},
    {"name_with_nul.pth", "key \"w?x\" of the state_dict is not printable"},
    {"name_not_text.pth", "key 0 of the state_dict is no tensor's name"},
    {"offset_outside.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"offset_negative.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"stride_outside.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"stride_negative.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"stride_overflow.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"shape_overflow.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"shape_negative.pth", "tensor \"w\": offset, shape and strides reach outside"},
    {"shape_huge.pth", "tensor \"w\": the tensors need more than"},
    {"nine_dimensions.pth", "at most 8, of integers"},
    {"stride_missing.pth", "two tuples of the same number"},
    {"view_outside.pth", "a storage view outside its storage"},
    {"storage_huge.pth", "storage \"0\" of 4611686018427387904 elements does not end inside"},
    {"storage_other_size.pth", "storage \"0\" has 3 elements, its tensors say 4"},
    {"storage_unknown.pth", "storage \"1\" belongs to no tensor"},
    {"storage_twice.pth", "storage \"0\" is listed twice"},
    {"storage_missing.pth", "storage \"0\" is not in the file"},
    {"storage_two_types.pth", "storage \"0\" is described twice"},
    {"big_endian.pth", "big-endian"},
    {"wrong_protocol.pth", "protocol is not 1001"},
    {"no_magic.pth", "no magic number"},
    {"protocol0.pth", "pickle protocol 0"},
    {"deep_marks.pth", "marks are nested deeper than 64"},
    {"deep_tuples.pth", "containers are nested deeper than 64"},
    {"deep_lists.pth", "containers are nested deeper than 64"},
    {"list_in_itself.pth", "containers are nested deeper than 64"},
    {"memo_huge.pth", "memo index 4294967295"},
    {"memo_unwritten.pth", "memo entry 7 was never written"},
    {"text_huge.pth", "ends inside an opcode"},
    {"text8_huge.pth", "ends inside an opcode"},
    {"frame_huge.pth", "a frame is longer than the pickle"},
    {"long_huge.pth", "an integer of more than 255 bytes"},
    {"stack_empty.pth", "too few values on the stack"},
    {"mark_missing.pth", "finds no mark"},
    {"mark_crossed.pth", "too few values on the stack"},
    {"stop_early.pth", "stops with 0 values"},
    {"append_to_none.pth", "something that is no list"},
    {"odd_dictionary.pth", "a dictionary's key has no value"},
    {"opcode_inst.pth", "opcode 0x69 is not one that torch.save writes"},
    {"opcode_extension.pth", "opcode 0x82 is not one that torch.save writes"},
    {"global_endless.pth", "a global's name does not end"},
    {"zip_bomb.pth", "zip entry \"archive/data/0\" is compressed (4194304 bytes out of"},
    {"zip_size_lie.pth", "zip entry \"archive/data/0\" claims 2147483647 bytes"},
    {"zip_entries_lie.pth", "truncated or damaged"},
    {"zip_twice.pth", "zip entry \"archive/data/0\" occurs twice"},
    {"zip_two_pickles.pth", "two data.pkl"},
    {"zip_no_pickle.pth", "without FOLDER/data.pkl"},
    {"zip_no_storage.pth", "storage \"0\" is not in the archive"},
    {"zip_short_storage.pth", "storage \"0\" of 4 elements is 12 bytes long"},
    {"zip_key_outside.pth", "storage \"../data.pkl\" is not in the archive"},
    {"zip_damaged.pth", "zip entry \"archive/data/0\" is truncated or damaged (CRC error)"},
    {"zip_big_endian.pth", "big-endian"},
    {"zip_torchscript.pth", "a TorchScript archive"},
};

/* Each is refused as bad input, in one sentence that begins with the file's name. */
static void hostile_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        nq_checkpoint checkpoint;
        nq_error err = {0};
        assert_refused(parse_fixture(refused[i].fixture, &checkpoint, &err), NQ_ERR_INPUT, &err,
                       refused[i].words);
        assert_ptr_equal(strstr(err.text, refused[i].fixture), err.text);
        assert_null(checkpoint.tensors);
    }
    assert_int_equal(access("/tmp/netq-was-here", F_OK), -1);
}

static void expect_truncation_refused(const char *fixture)
{
    size_t size;
    uint8_t *data = read_fixture(fixture, &size);
    for (size_t cut = 0; cut < size; cut++) {
        nq_checkpoint checkpoint;
        nq_error err = {0};
        uint8_t *part = malloc(cut ? cut : 1); /* exact, for the sanitizer */
        assert_non_null(part);
        memcpy(part, data, cut);
        nq_status status = nq_checkpoint_parse(part, cut, fixture, &checkpoint, &err);
        if (status != NQ_ERR_INPUT || !err.text[0])
            fail_msg("%s cut to %zu bytes: status %d, \"%s\"", fixture, cut, status, err.text);
        if (cut >= 128 && !strstr(err.text, "truncated"))
            fail_msg("%s cut to %zu bytes: \"%s\"", fixture, cut, err.text);
        free(part);
    }
    free(data);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    expect_truncation_refused("zip.pth");
    expect_truncation_refused("legacy.pth");
    expect_truncation_refused("protocol4.pth");
}

static void not_a_checkpoint_at_all(void **state)
{
    (void)state;
    nq_checkpoint checkpoint;
    nq_error err = {0};
    static const uint8_t html[] = "<!DOCTYPE html>";
    assert_refused(nq_checkpoint_parse(html, 0, "x.pth", &checkpoint, &err), NQ_ERR_INPUT, &err,
                   "x.pth: an empty file");
    assert_refused(nq_checkpoint_parse(html, sizeof html, "x.pth", &checkpoint, &err), NQ_ERR_INPUT,
                   &err, "neither a zip archive nor a pickle stream");
    assert_int_equal(nq_checkpoint_parse(html, sizeof html, "x.pth", &checkpoint, NULL),
                     NQ_ERR_INPUT);
}

static void dtype_table(void **state)
{
    (void)state;
    assert_string_equal(nq_dtype_name(NQ_BF16), "bfloat16");
    assert_string_equal(nq_dtype_name(NQ_BOOL), "bool");
    assert_int_equal(nq_dtype_size(NQ_F64), 8);
    assert_int_equal(nq_dtype_size(NQ_F16), 2);
}

/* Both formats as PyTorch wrote them at full size; their values are compared in check_fold.py. */
static void real_checkpoints(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t tensors;
    } files[] = {{"resnet18-rebuilt.pth", 122},
                 {"mobilenet_v2-rebuilt.pth", 314},
                 {"shufflenet_v2_x1_0-rebuilt.pth", 338}};
    if (!nq_test_shared()) {
        print_message("real_checkpoints: NETQ_SHARED is not set\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        uint8_t *data;
        size_t size;
        nq_checkpoint checkpoint;
        nq_error err = {0};
        snprintf(path, sizeof path, "%s/data/weights/%s", nq_test_shared(), files[i].name);
        assert_ok(nq_file_read(path, 1 << 28, &data, &size, &err), &err);
        assert_ok(nq_checkpoint_parse(data, size, files[i].name, &checkpoint, &err), &err);
        assert_int_equal(checkpoint.count, files[i].tensors);
        nq_checkpoint_free(&checkpoint);
        size_t cut = size - size / 3;
        assert_refused(nq_checkpoint_parse(data, cut, files[i].name, &checkpoint, &err),
                       NQ_ERR_INPUT, &err, "truncated");
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_and_all_protocols),
        cmocka_unit_test(what_surrounds_a_state_dict),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(not_a_checkpoint_at_all),
        cmocka_unit_test(dtype_table),
        cmocka_unit_test(real_checkpoints),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
