/* What the gptq keys stand for. */
#include "nq_test.h"

#include "worker/quantize/gptq_knobs.h"

static nq_spec spec_of(const char *knobs)
{
    nq_error err = {0};
    nq_spec spec;
    json_t *written = json_pack("{s:s, s:s, s:o}", "model", "m", "preset", "gptq", "gptq",
                                json_loads(knobs, 0, NULL));
    assert_non_null(written);
    assert_ok(nq_spec_resolve(written, &spec, &err), &err);
    json_decref(written);
    return spec;
}

static const nq_node conv = {.op = NQ_OP_CONV, .height = 14, .width = 7};
static const nq_node linear = {.op = NQ_OP_LINEAR, .height = 1, .width = 1};

static void what_is_written_holds(void **state)
{
    (void)state;
    nq_spec spec = spec_of("{\"damping\":\"0.05\",\"target\":\"0.75\",\"ridge\":\"0.03\","
                           "\"shrinkage\":\"0\"}");
    for (int c = 9; c < 5000; c *= 10) {
        nq_gptq_knobs knobs = nq_gptq_knobs_of(&spec, &conv, c, 5);
        assert_true(knobs.damping == 0.05 && knobs.target == 0.75);
        assert_true(knobs.ridge == 0.03 && knobs.shrinkage == 0);
        assert_true(knobs.gain_exponent == 0.625);
    }
    nq_gptq_knobs last = nq_gptq_knobs_of(&spec, &linear, 9, 5);
    assert_true(last.target == 0 && last.gain_exponent == 1);
}

/* 14 x 7 places on 10 samples are 980. */
static void auto_counts_places(void **state)
{
    (void)state;
    nq_spec spec = spec_of("{\"ridge\":\"auto\",\"shrinkage\":\"auto\"}");
    nq_gptq_knobs knobs = nq_gptq_knobs_of(&spec, &conv, 245, 10);
    assert_true(knobs.ridge == 16 && knobs.shrinkage == 1.0 / 3);
    knobs = nq_gptq_knobs_of(&spec, &conv, 490, 20);
    assert_true(knobs.ridge == 16 && knobs.shrinkage == 1.0 / 3);
    knobs = nq_gptq_knobs_of(&spec, &linear, 5, 30);
    assert_true(knobs.ridge == 64.0 / 6 && knobs.shrinkage == 0.25);
}

static void views_are_no_samples(void **state)
{
    (void)state;
    nq_spec spec = spec_of("{}");
    for (int views = 0; views <= 16; views++) {
        spec.calibrate.views = views;
        size_t samples = 10 * (size_t)(views > 1 ? views : 1);
        nq_gptq_knobs knobs = nq_gptq_knobs_of(&spec, &conv, 245, samples);
        assert_true(knobs.ridge == 16 && knobs.shrinkage == 1.0 / 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_holds),
        cmocka_unit_test(auto_counts_places),
        cmocka_unit_test(views_are_no_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
