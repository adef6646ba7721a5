/* worker/quantize/minmax: both versions on arrays of every length, with what is not finite in them.
 */
#include "tests/unit/nq_test.h"

#include "common/random.h"
#include "worker/quantize/minmax.h"

#include <math.h>

#define MOST 200

typedef bool (*widen)(const float *x, size_t n, float *low, float *high);

static widen versions[3] = {nq_minmax_widen, nq_minmax_widen_plain};
static int version_count = 2;

static void spans_are_exact(void **state)
{
    (void)state;
    nq_random rng;
    nq_random_init(&rng, 1, 1);
    for (size_t n = 0; n <= MOST; n++) {
        float x[MOST + 1], want_low = INFINITY, want_high = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)nq_random_normal(&rng);
            want_low = fminf(want_low, x[i]);
            want_high = fmaxf(want_high, x[i]);
        }
        for (int v = 0; v < version_count; v++) {
            float low = INFINITY, high = -INFINITY;
            assert_true(versions[v](x, n, &low, &high));
            assert_true(low == want_low && high == want_high);
            low = -100;
            high = 100;
            assert_true(versions[v](x, n, &low, &high));
            assert_true(low == -100 && high == 100);
        }
    }
}

static void what_is_not_finite_is_told(void **state)
{
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t n = 1; n <= MOST; n++)
        for (size_t at = 0; at < n; at += 1 + n / 37)
            for (size_t b = 0; b < 4; b++)
                for (int v = 0; v < version_count; v++) {
                    float x[MOST] = {0}, low = INFINITY, high = -INFINITY;
                    x[at] = bad[b];
                    if (versions[v](x, n, &low, &high))
                        fail_msg("version %d: %g at %zu of %zu", v, (double)bad[b], at, n);
                }
}

int main(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        versions[version_count++] = nq_minmax_widen_avx2;
#endif
    const struct CMUnitTest tests[] = {cmocka_unit_test(spans_are_exact),
                                       cmocka_unit_test(what_is_not_finite_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
