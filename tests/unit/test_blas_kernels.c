/* When the worker starts again for wider BLAS kernels. */
#include "tests/unit/nq_test.h"

#include "worker/blas_kernels.h"

static void fallbacks_are_widened(void **state)
{
    (void)state;
    const char *const fallbacks[] = {"Prescott", "PRESCOTT", "prescott", "Core2",  "core2",
                                     "Generic",  "GENERIC",  "Unknown",  "unknown"};
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++) {
        const char *better = nq_blas_better_kernels(fallbacks[i], "Haswell", NULL);
        if (!better || strcmp(better, "Haswell") != 0)
            fail_msg("%s: %s", fallbacks[i], better ? better : "left as it is");
    }
    assert_string_equal(nq_blas_better_kernels("Prescott", "SkylakeX", NULL), "SkylakeX");
}

static void a_known_model_is_left_alone(void **state)
{
    (void)state;
    const char *const known[] = {"Haswell", "SkylakeX", "Cooperlake", "Zen",  "Sandybridge",
                                 "Nehalem", "Core",     "Prescott2",  "Nano", ""};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (nq_blas_better_kernels(known[i], "SkylakeX", NULL))
            fail_msg("'%s' is not left as it is", known[i]);
}

/* Also what keeps the worker from starting again for ever. */
static void a_variable_that_is_set_is_believed(void **state)
{
    (void)state;
    const char *const values[] = {"Prescott", "SkylakeX", "nonsense", ""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (nq_blas_better_kernels("Prescott", "SkylakeX", values[i]))
            fail_msg("'%s' is overruled", values[i]);
}

static void a_narrow_cpu_is_left_alone(void **state)
{
    (void)state;
    assert_null(nq_blas_better_kernels("Prescott", NULL, NULL));
    assert_null(nq_blas_better_kernels("Nehalem", NULL, NULL));
    assert_null(nq_blas_better_kernels("Prescott", NULL, "Prescott"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fallbacks_are_widened),
        cmocka_unit_test(a_known_model_is_left_alone),
        cmocka_unit_test(a_variable_that_is_set_is_believed),
        cmocka_unit_test(a_narrow_cpu_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
