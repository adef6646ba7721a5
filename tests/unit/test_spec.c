/* common/spec: the table, presets, contradictions, the canonical form. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "common/json.h"
#include "common/spec.h"

static nq_status resolve(const char *text, nq_spec *spec, nq_error *err)
{
    json_t *written;
    assert_ok(nq_json_parse(text, strlen(text), 1 << 20, "spec", &written, err), err);
    nq_status status = nq_spec_resolve(written, spec, err);
    json_decref(written);
    return status;
}

static void baseline_is_the_default(void **state)
{
    (void)state;
    nq_spec spec;
    nq_error err = {0};
    assert_ok(resolve("{\"model\":\"resnet18\"}", &spec, &err), &err);
    json_t *json = nq_spec_to_json(&spec);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"model\":\"resnet18\",\"preset\":\"baseline\","
                              "\"weights\":{\"bits\":8,\"granularity\":\"per_tensor\",\"range\":"
                              "\"minmax\",\"rounding\":\"nearest\"},"
                              "\"activations\":{\"bits\":8,\"qmax\":127,\"range\":\"minmax\","
                              "\"shortcut_bits\":8,\"source\":\"data\"},"
                              "\"calibrate\":{\"source\":\"gaussian\",\"samples\":1000,\"seed\":1},"
                              "\"repair\":{\"equalize\":false,\"absorb_bias\":false,\"correct_"
                              "bias\":false,\"correct_stats\":false},"
                              "\"keep_8bit\":[],\"dataset\":\"imagenet\",\"limit\":0,"
                              "\"unreadable\":\"fail\"}");
    assert_int_equal(spec.kind, NQ_JOB_QUANTIZE);
    assert_int_equal(spec.calibrate.source, NQ_CALIBRATE_GAUSSIAN);
    free(text);
    json_decref(json);
}

static void every_value_arrives(void **state)
{
    (void)state;
    nq_spec spec;
    nq_error err = {0};
    assert_ok(resolve("{\"model\":\"m\",\"checkpoint\":\"/a/m.pth\",\"preset\":\"w4a4\","
                      "\"weights\":{\"bits\":3,\"granularity\":\"per_tensor\"},"
                      "\"activations\":{\"bits\":5,\"qmax\":127,\"shortcut_bits\":7},"
                      "\"calibrate\":{\"source\":\"file\",\"file\":\"/a/x.npy\",\"samples\":32,"
                      "\"seed\":9223372036854775807},"
                      "\"keep_8bit\":[\"last\",\"layer1.0.conv1\"],\"dataset_path\":\"/a/images\","
                      "\"limit\":1000000000,\"unreadable\":\"wrong\"}",
                      &spec, &err),
              &err);
    assert_string_equal(spec.checkpoint, "/a/m.pth");
    assert_int_equal(spec.weights.bits, 3);
    assert_int_equal(spec.weights.granularity, NQ_PER_TENSOR);
    assert_int_equal(spec.activations.bits, 5);
    assert_int_equal(spec.activations.qmax, 127);
    assert_int_equal(spec.activations.shortcut_bits, 7);
    assert_int_equal(spec.calibrate.source, NQ_CALIBRATE_FILE);
    assert_string_equal(spec.calibrate.file, "/a/x.npy");
    assert_int_equal(spec.calibrate.samples, 32);
    assert_true(spec.calibrate.seed == INT64_MAX);
    assert_int_equal(spec.keep_count, 2);
    assert_string_equal(spec.keep_8bit[1], "layer1.0.conv1");
    assert_string_equal(spec.dataset, "");
    assert_string_equal(spec.dataset_path, "/a/images");
    assert_int_equal(spec.limit, 1000000000);
    assert_int_equal(spec.unreadable, NQ_UNREADABLE_WRONG);
}

static void presets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        nq_job_kind kind;
        nq_granularity granularity;
        int weights, activations, qmax;
        size_t keep;
    } want[] = {
        {"baseline", NQ_JOB_QUANTIZE, NQ_PER_TENSOR, 8, 8, 127, 0},
        {"w8a8", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 8, 8, 255, 0},
        {"w6a6", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 6, 6, 255, 0},
        {"w4a8", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 4, 8, 255, 0},
        {"w4a4", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 4, 4, 255, 2},
        {"dfq", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 8, 8, 255, 0},
        {"squant", NQ_JOB_QUANTIZE, NQ_PER_CHANNEL, 8, 8, 255, 0},
        {"float", NQ_JOB_FLOAT, NQ_PER_TENSOR, 8, 8, 127, 0},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char text[100];
        nq_spec spec;
        nq_error err = {0};
        snprintf(text, sizeof text, "{\"model\":\"m\",\"preset\":\"%s\"}", want[i].name);
        assert_ok(resolve(text, &spec, &err), &err);
        assert_string_equal(spec.preset, want[i].name);
        assert_int_equal(spec.kind, want[i].kind);
        assert_int_equal(spec.weights.granularity, want[i].granularity);
        assert_int_equal(spec.weights.bits, want[i].weights);
        assert_int_equal(spec.activations.bits, want[i].activations);
        assert_int_equal(spec.activations.qmax, want[i].qmax);
        assert_int_equal(spec.keep_count, want[i].keep);
    }
    nq_spec spec;
    nq_error err = {0};
    assert_ok(resolve("{\"model\":\"m\",\"quantized\":\"/a/m.safetensors\"}", &spec, &err), &err);
    assert_string_equal(spec.preset, "quantized");
    assert_int_equal(spec.kind, NQ_JOB_QUANTIZED_FILE);
    assert_int_equal(spec.calibrate.source, NQ_CALIBRATE_NONE);
    assert_ok(resolve("{\"model\":\"m\",\"preset\":\"dfq\",\"weights\":{\"granularity\":"
                      "\"per_tensor\"}}",
                      &spec, &err),
              &err);
    assert_int_equal(spec.weights.granularity, NQ_PER_TENSOR);
    assert_int_equal(spec.activations.source, NQ_SOURCE_BN);
    assert_int_equal(spec.calibrate.source, NQ_CALIBRATE_NONE);
    assert_int_equal(spec.calibrate.samples, 0);
    assert_true(spec.repair.equalize && spec.repair.absorb_bias && spec.repair.correct_bias);
    assert_ok(resolve("{\"model\":\"m\",\"preset\":\"w4a4\",\"keep_8bit\":[]}", &spec, &err), &err);
    assert_int_equal(spec.keep_count, 0);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{}", "model: is missing"},
        {"{\"model\":\"\"}", "model: is empty"},
        {"{\"model\":3}", "model: must be a string, not a whole number"},
        {"{\"model\":\"a b\"}", "model: \"a b\" is not a name"},
        {"{\"model\":\"../x\"}", "is not a name"},
        {"{\"model\":\"m\",\"weights\":{\"bits\":9}}", "weights.bits: 9 is not in 2..8"},
        {"{\"model\":\"m\",\"weights\":{\"bits\":1}}", "weights.bits: 1 is not in 2..8"},
        {"{\"model\":\"m\",\"weights\":{\"bits\":8.0}}", "weights.bits: must be a whole number"},
        {"{\"model\":\"m\",\"weights\":{\"bits\":null}}", "weights.bits: must be a whole number"},
        {"{\"model\":\"m\",\"weights\":8}", "weights: must be an object, not a whole number"},
        {"{\"model\":\"m\",\"weights\":{\"granularity\":\"per_chanel\"}}",
         "weights.granularity: \"per_chanel\" is not one of per_tensor, per_channel"},
        {"{\"model\":\"m\",\"weights\":{\"range\":7}}", "weights.range: must be a string"},
        {"{\"model\":\"m\",\"activations\":{\"qmax\":128}}",
         "activations.qmax: 128 is not one of 127, 255"},
        {"{\"model\":\"m\",\"limit\":-1}", "limit: -1 is not in 0..1000000000"},
        {"{\"model\":\"m\",\"calibrate\":{\"seed\":-1}}", "calibrate.seed: -1"},
        {"{\"model\":\"m\",\"preset\":\"w4a9\"}", "preset: there is no \"w4a9\"; the nearest is"},
        {"{\"model\":\"m\",\"preset\":4}", "preset: must be a string"},
        {"{\"model\":\"m\",\"wieghts\":{\"bits\":4}}", "wieghts: there is no such key; the nearest "
                                                       "is weights"},
        {"{\"model\":\"m\",\"weights\":{\"bit\":4}}", "weights.bit: there is no such key; the "
                                                      "nearest is weights.bits"},
        {"{\"model\":\"m\",\"bits\":4}", "bits: there is no such key; the nearest is weights.bits"},
        {"{\"model\":\"m\",\"weights.bits\":4}", "weights.bits: write it nested"},
        {"{\"model\":\"m\",\"\":4}", ": there is no such key"},
        {"{\"model\":\"m\",\"keep_8bit\":\"first\"}", "keep_8bit: must be an array"},
        {"{\"model\":\"m\",\"keep_8bit\":[\"a\",\"a\"]}", "keep_8bit: names \"a\" twice"},
        {"{\"model\":\"m\",\"keep_8bit\":[1]}", "keep_8bit: must be a string"},
        {"{\"model\":\"m\",\"checkpoint\":\"a\\nb\"}", "checkpoint: byte 1 is a control"},
        {"{\"model\":\"m\",\"checkpoint\":\"\"}", "checkpoint: is empty"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nq_spec spec, zero;
        nq_error err = {0};
        memset(&zero, 0, sizeof zero);
        assert_refused(resolve(bad[i].text, &spec, &err), NQ_ERR_INPUT, &err, bad[i].words);
        assert_memory_equal(&spec, &zero, sizeof spec);
    }
}

static void contradictions(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{\"model\":\"m\",\"preset\":\"float\",\"weights\":{\"bits\":8}}",
         "weights.bits: means nothing to preset float"},
        {"{\"model\":\"m\",\"preset\":\"float\",\"keep_8bit\":[]}", "keep_8bit: means nothing"},
        {"{\"model\":\"m\",\"preset\":\"float\",\"calibrate\":{\"seed\":1}}",
         "calibrate.seed: means nothing"},
        {"{\"model\":\"m\",\"preset\":\"float\",\"calibrate\":{\"source\":\"gaussian\"}}",
         "calibrate.source: preset float calibrates nothing"},
        {"{\"model\":\"m\",\"preset\":\"float\",\"quantized\":\"/a\"}",
         "quantized: means nothing to preset float"},
        {"{\"model\":\"m\",\"preset\":\"baseline\",\"quantized\":\"/a\"}",
         "quantized: means nothing to preset baseline"},
        {"{\"model\":\"m\",\"preset\":\"quantized\"}", "quantized: is missing"},
        {"{\"model\":\"m\",\"quantized\":\"/a\",\"activations\":{\"bits\":4}}",
         "activations.bits: means nothing to preset quantized"},
        {"{\"model\":\"m\",\"calibrate\":{\"source\":\"none\"}}", "calibrate.source: none leaves"},
        {"{\"model\":\"m\",\"calibrate\":{\"source\":\"file\"}}", "calibrate.file: is missing"},
        {"{\"model\":\"m\",\"calibrate\":{\"file\":\"/a\"}}", "calibrate.file: is read only with"},
        {"{\"model\":\"m\",\"calibrate\":{\"samples\":0}}", "calibrate.samples: 0 means all"},
        {"{\"model\":\"m\",\"activations\":{\"source\":\"bn\"}}",
         "activations.source: bn draws no sample, but calibrate.source is gaussian"},
        {"{\"model\":\"m\",\"activations\":{\"source\":\"bn\"},"
         "\"calibrate\":{\"source\":\"none\",\"samples\":8}}",
         "calibrate.samples: is read only with samples"},
        {"{\"model\":\"m\",\"activations\":{\"source\":\"bn\"},"
         "\"calibrate\":{\"source\":\"none\",\"seed\":8}}",
         "calibrate.seed: is read only with samples"},
        {"{\"model\":\"m\",\"activations\":{\"source\":\"bn\"},"
         "\"calibrate\":{\"source\":\"none\",\"file\":\"/a\"}}",
         "calibrate.file: is read only with"},
        {"{\"model\":\"m\",\"preset\":\"dfq\",\"calibrate\":{\"source\":\"uniform\"}}",
         "activations.source: bn draws no sample, but calibrate.source is uniform"},
        {"{\"model\":\"m\",\"preset\":\"dfq\",\"weights\":{\"rounding\":\"gptq\"}}",
         "weights.rounding: gptq needs samples"},
        {"{\"model\":\"m\",\"preset\":\"squant\",\"activations\":{\"range\":\"output\"}}",
         "activations.range: output needs samples"},
        {"{\"model\":\"m\",\"preset\":\"squant\",\"repair\":{\"correct_stats\":true}}",
         "repair.correct_stats: true needs samples"},
        {"{\"model\":\"m\",\"gptq\":{\"sweeps\":3}}",
         "gptq.sweeps: is read only with weights.rounding gptq"},
        {"{\"model\":\"m\",\"repair\":{\"equalize\":true,\"equalize_exponent\":\"1\"}}",
         "repair.equalize_exponent: is read only with repair.equalize_by activations"},
        {"{\"model\":\"m\",\"repair\":{\"equalize_by\":\"weights\"}}",
         "repair.equalize_by: is read only with repair.equalize true"},
        {"{\"model\":\"m\",\"calibrate\":{\"loss\":\"zeroq\"}}",
         "calibrate.loss: is read only with calibrate.source distill"},
        {"{\"model\":\"m\",\"calibrate\":{\"steps\":5}}",
         "calibrate.steps: is read only with calibrate.source distill"},
        {"{\"model\":\"m\",\"calibrate\":{\"source\":\"distill\",\"samples\":1025}}",
         "calibrate.samples: 1025 are more than the 1024 images"},
        {"{\"model\":\"m\",\"calibrate\":{\"source\":\"distill\",\"samples\":0}}",
         "calibrate.samples: 0"},
        {"{\"model\":\"m\",\"dataset\":\"d\",\"dataset_path\":\"/a\"}",
         "dataset_path: is given together with dataset"},
        {"{\"model\":\"m\",\"activations\":{\"range\":\"mse\"}}",
         "activations.range: only minmax goes with activations.qmax 127"},
        {"{\"model\":\"m\",\"activations\":{\"percentile\":\"99.9\"}}",
         "activations.percentile: is read only with"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nq_spec spec;
        nq_error err = {0};
        assert_refused(resolve(bad[i].text, &spec, &err), NQ_ERR_INPUT, &err, bad[i].words);
    }
}

/* How many images are made depends on who asks; the other keys are there with distill alone. */
static void distilled_images(void **state)
{
    (void)state;
    nq_spec spec;
    nq_error err = {0};
    assert_ok(resolve("{\"model\":\"m\",\"calibrate\":{\"source\":\"distill\"}}", &spec, &err),
              &err);
    assert_int_equal(spec.calibrate.samples, 64);
    assert_int_equal(spec.calibrate.loss, NQ_LOSS_BATCH);
    assert_int_equal(spec.calibrate.init, NQ_INIT_LEAVES);
    json_t *json = nq_spec_to_json(&spec);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "calibrate"), "steps")),
        spec.calibrate.steps);
    json_decref(json);
    assert_ok(resolve("{\"model\":\"m\",\"preset\":\"zeroq\"}", &spec, &err), &err);
    assert_int_equal(spec.calibrate.samples, 32);
    assert_int_equal(spec.calibrate.loss, NQ_LOSS_ZEROQ);
    assert_int_equal(spec.calibrate.init, NQ_INIT_ZEROQ);
    assert_int_equal(spec.calibrate.steps, 500);
    assert_ok(resolve("{\"model\":\"m\",\"preset\":\"zeroq\",\"calibrate\":{\"samples\":3}}", &spec,
                      &err),
              &err);
    assert_int_equal(spec.calibrate.samples, 3);
    assert_ok(resolve("{\"model\":\"m\"}", &spec, &err), &err);
    json = nq_spec_to_json(&spec);
    assert_null(json_object_get(json_object_get(json, "calibrate"), "steps"));
    json_decref(json);
}

/* resolve(to_json(resolve(x))) == resolve(x), byte for byte. */
static void resolving_is_a_fixed_point(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"model\":\"resnet18\"}",
        "{\"model\":\"m\",\"preset\":\"w4a8\",\"weights\":{\"rounding\":\"squant\"},"
        "\"activations\":{\"range\":"
        "\"percentile\",\"percentile\":\"99.9\"},\"repair\":{\"equalize\":false}}",
        "{\"model\":\"m\",\"preset\":\"float\",\"limit\":5}",
        "{\"model\":\"m\",\"quantized\":\"/q\",\"checkpoint\":\"/c\"}",
        "{\"model\":\"m\",\"preset\":\"w4a4\",\"dataset_path\":\"/d\"}",
        "{\"model\":\"m\",\"calibrate\":{\"source\":\"file\",\"file\":\"/f\"}}",
        "{\"model\":\"m\",\"calibrate\":{\"source\":\"uniform\",\"samples\":7}}",
        "{\"model\":\"m\",\"calibrate\":{\"source\":\"distill\",\"steps\":9,\"init\":\"gaussian\"}"
        "}",
        "{\"model\":\"m\",\"preset\":\"zeroq\"}",
        "{\"model\":\"m\",\"preset\":\"balanced\",\"calibrate\":{\"views\":1}}",
        "{\"model\":\"m\",\"preset\":\"w6a6\",\"keep_8bit\":[\"conv1\",\"fc\"]}",
        "{\"model\":\"m\",\"preset\":\"gptq\",\"gptq\":{\"target\":\"0.5\",\"sweeps\":4}}",
        "{\"model\":\"m\",\"activations\":{\"source\":\"bn\"},\"calibrate\":{\"source\":\"none\"},"
        "\"repair\":{\"equalize\":true,\"absorb_bias\":true,\"correct_bias\":true}}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        nq_spec spec, again;
        nq_error err = {0};
        assert_ok(resolve(good[i], &spec, &err), &err);
        json_t *json = nq_spec_to_json(&spec);
        assert_non_null(json);
        assert_ok(nq_spec_resolve(json, &again, &err), &err);
        assert_memory_equal(&spec, &again, sizeof spec);
        json_t *second = nq_spec_to_json(&again);
        assert_true(json_equal(json, second));
        json_decref(json);
        json_decref(second);
    }
    nq_spec spec;
    nq_error err = {0};
    assert_ok(resolve(good[5], &spec, &err), &err);
    assert_int_equal(spec.calibrate.samples, 0);
}

static void flags_are_text(void **state)
{
    (void)state;
    nq_error err = {0};
    json_t *spec = json_object();
    assert_ok(nq_spec_set(spec, "model", "m", &err), &err);
    assert_ok(nq_spec_set(spec, "weights.bits", "4", &err), &err);
    assert_ok(nq_spec_set(spec, "weights.granularity", "per_channel", &err), &err);
    assert_ok(nq_spec_set(spec, "keep_8bit", "first,layer1.0.conv1", &err), &err);
    assert_ok(nq_spec_set(spec, "weights.bits", "5", &err), &err);
    char *text = json_dumps(spec, JSON_COMPACT);
    assert_string_equal(text, "{\"model\":\"m\",\"weights\":{\"bits\":5,\"granularity\":"
                              "\"per_channel\"},\"keep_8bit\":[\"first\",\"layer1.0.conv1\"]}");
    free(text);
    assert_ok(nq_spec_set(spec, "keep_8bit", "", &err), &err);
    assert_int_equal(json_array_size(json_object_get(spec, "keep_8bit")), 0);
    static const struct {
        const char *key, *text, *words;
    } bad[] = {
        {"weights.bit", "4", "weights.bit: there is no such key; the nearest is weights.bits"},
        {"weights.bits", "four", "weights.bits: \"four\" is not a whole number"},
        {"weights.bits", "", "is not a whole number"},
        {"weights.bits", "4 ", "is not a whole number"},
        {"weights.bits", " 4", "is not a whole number"},
        {"weights.bits", "-", "is not a whole number"},
        {"weights.bits", "-4", "weights.bits: -4 is not in 2..8"},
        {"calibrate.seed", "99999999999999999999", "is not a whole number"},
        {"gptq.damping", "0.03", "gptq.damping: \"0.03\" is not one of 0.002"},
        {"repair.equalize", "1", "repair.equalize: must be true or false"},
        {"weights.range", "max", "weights.range: \"max\" is not one of minmax"},
        {"keep_8bit", "a,,b", "keep_8bit: is empty"},
        {"keep_8bit", "a,", "keep_8bit: is empty"},
        {"model", "\xff", "model: is not UTF-8"},
        {"checkpoint", "", "checkpoint: is empty"},
        {"weights", "3", "weights: there is no such key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(nq_spec_set(spec, bad[i].key, bad[i].text, &err), NQ_ERR_INPUT, &err,
                       bad[i].words);
    json_decref(spec);
    spec = json_pack("{s:i}", "weights", 3);
    assert_refused(nq_spec_set(spec, "weights.bits", "4", &err), NQ_ERR_INPUT, &err,
                   "weights: must be an object");
    json_decref(spec);
}

/* The canonical text of a spec, as jobs keep it. */
static char *canonical(const char *text, nq_spec *spec)
{
    nq_error err = {0};
    assert_ok(resolve(text, spec, &err), &err);
    json_t *json = nq_spec_to_json(spec);
    char *printed = json_dumps(json, JSON_COMPACT | NQ_SPEC_DIGITS);
    json_decref(json);
    return printed;
}

static void a_budget_goes_with_auto(void **state)
{
    (void)state;
    static const struct {
        const char *written, *kept;
        uint64_t bytes;
    } budgets[] = {
        {"5.5", "5.5", 5500000},       {"5.3", "5.3", 5300000},
        {"4", "4.0", 4000000},         {"1.427108", "1.427108", 1427108},
        {"0.000001", "1e-6", 1},       {"123456.789012", "123456.789012", 123456789012},
        {"5.3000004", "5.3", 5300000}, {"1e6", "1000000.0", 1000000000000},
    };
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        char text[200], want[80];
        nq_spec spec, again;
        snprintf(text, sizeof text,
                 "{\"model\":\"m\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":%s}}",
                 budgets[i].written);
        snprintf(want, sizeof want, "\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":%s,",
                 budgets[i].kept);
        char *first = canonical(text, &spec), *second = canonical(first, &again);
        assert_int_equal(spec.weights.bits, 0);
        assert_true(spec.weights.size_budget == budgets[i].bytes);
        if (!strstr(first, want))
            fail_msg("%s: %s", want, first);
        assert_string_equal(first, second);
        assert_memory_equal(&spec, &again, sizeof spec);
        free(first);
        free(second);
    }
    nq_error err = {0};
    nq_spec spec;
    json_t *flags = json_pack("{s:s}", "model", "m");
    assert_ok(nq_spec_set(flags, "weights.bits", "auto", &err), &err);
    assert_ok(nq_spec_set(flags, "weights.size_budget_mb", "2.25", &err), &err);
    assert_ok(nq_spec_resolve(flags, &spec, &err), &err);
    assert_true(spec.weights.bits == 0 && spec.weights.size_budget == 2250000);
    json_decref(flags);
}

static void a_wrong_budget_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *words;
    } bad[] = {
        {"\"weights\":{\"bits\":\"auto\"}",
         "weights.size_budget_mb: is missing; weights.bits auto"},
        {"\"weights\":{\"size_budget_mb\":5}", "weights.size_budget_mb: is read only with "
                                               "weights.bits auto"},
        {"\"weights\":{\"bits\":4,\"size_budget_mb\":5}", "is read only with weights.bits auto"},
        {"\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":0}", "0 MB is not in 1e-06..1000000"},
        {"\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":-2.5}", "-2.5 MB is not in"},
        {"\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":1e300}", "1e+300 MB is not in"},
        {"\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":\"5\"}", "must be a number of MB"},
        {"\"weights\":{\"bits\":\"Auto\",\"size_budget_mb\":5}",
         "weights.bits: must be a whole number or \"auto\""},
        {"\"activations\":{\"bits\":\"auto\"}", "activations.bits: must be a whole number, not"},
        {"\"preset\":\"dfq\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":5}",
         "weights.bits: auto needs samples, but activations.source is bn"},
        {"\"preset\":\"float\",\"weights\":{\"bits\":\"auto\",\"size_budget_mb\":5}",
         "means nothing to preset float"},
    };
    nq_spec spec;
    nq_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"model\":\"m\",%s}", bad[i].keys);
        assert_refused(resolve(text, &spec, &err), NQ_ERR_INPUT, &err, bad[i].words);
    }
    static const char *const texts[] = {"",    "five", "5 ",    " 5", "nan", "inf",
                                        "0x5", "5MB",  "1e999", "-",  "5,5", "."};
    json_t *flags = json_object();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(nq_spec_set(flags, "weights.size_budget_mb", texts[i], &err), NQ_ERR_INPUT,
                       &err, "is not a number");
    assert_refused(nq_spec_set(flags, "weights.size_budget_mb", "-5", &err), NQ_ERR_INPUT, &err,
                   "-5 MB is not in");
    json_decref(flags);
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_spec spec;
    char name[NQ_SPEC_NAME + 1], path[NQ_SPEC_PATH + 1];
    memset(name, 'a', sizeof name);
    memset(path, 'a', sizeof path);
    json_t *o = json_object();
    name[NQ_SPEC_NAME - 1] = 0;
    path[NQ_SPEC_PATH - 1] = 0;
    assert_ok(nq_spec_set(o, "model", name, &err), &err);
    assert_ok(nq_spec_set(o, "checkpoint", path, &err), &err);
    assert_ok(nq_spec_resolve(o, &spec, &err), &err);
    assert_string_equal(spec.checkpoint, path);
    name[NQ_SPEC_NAME - 1] = 'a', name[NQ_SPEC_NAME] = 0;
    path[NQ_SPEC_PATH - 1] = 'a', path[NQ_SPEC_PATH] = 0;
    assert_refused(nq_spec_set(o, "model", name, &err), NQ_ERR_INPUT, &err, "model: has 64 bytes");
    assert_refused(nq_spec_set(o, "checkpoint", path, &err), NQ_ERR_INPUT, &err, "has 1024 bytes");
    json_t *list = json_array();
    for (int i = 0; i <= NQ_SPEC_KEEP; i++) {
        char layer[20];
        snprintf(layer, sizeof layer, "l%d", i);
        json_array_append_new(list, json_string(layer));
    }
    json_object_set_new(o, "keep_8bit", list);
    assert_refused(nq_spec_resolve(o, &spec, &err), NQ_ERR_INPUT, &err, "129 entries");
    json_array_remove(list, 0);
    assert_ok(nq_spec_resolve(o, &spec, &err), &err);
    assert_int_equal(spec.keep_count, NQ_SPEC_KEEP);
    json_decref(o);
}

/* docs/job-spec.md is what the table prints. */
static void documentation_is_current(void **state)
{
    (void)state;
    nq_error err = {0};
    char *printed = NULL;
    size_t size, committed_size;
    uint8_t *committed;
    FILE *stream = open_memstream(&printed, &size);
    nq_spec_print_help(stream, 1);
    fclose(stream);
    assert_ok(
        nq_file_read(nq_test_path("docs/job-spec.md"), 1 << 20, &committed, &committed_size, &err),
        &err);
    if (size != committed_size || memcmp(printed, committed, size) != 0)
        fail_msg("docs/job-spec.md is not what netqctl spec --markdown prints: print it again");
    free(committed);
    free(printed);
}

static void help_lines_fit(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t size;
    FILE *stream = open_memstream(&printed, &size);
    nq_spec_print_help(stream, 0);
    fclose(stream);
    for (char *line = strtok(printed, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) < 80);
    free(printed);
    for (size_t i = 0; i < nq_spec_field_count; i++)
        assert_ptr_equal(nq_spec_field_find(nq_spec_fields[i].key), &nq_spec_fields[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baseline_is_the_default),
        cmocka_unit_test(every_value_arrives),
        cmocka_unit_test(presets),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(distilled_images),
        cmocka_unit_test(resolving_is_a_fixed_point),
        cmocka_unit_test(flags_are_text),
        cmocka_unit_test(a_budget_goes_with_auto),
        cmocka_unit_test(a_wrong_budget_is_named),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(documentation_is_current),
        cmocka_unit_test(help_lines_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
