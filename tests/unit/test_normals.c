/* common/random: many normals at a time are the same bits as one after the other. */
#include "tests/unit/nq_test.h"

#include "common/random_normals.h"

#include <stdbool.h>

#define MANY 300000

static void equal_one_by_one(size_t n, size_t stride, int drawn_before)
{
    nq_random a, b;
    float *out = calloc(n * stride + 1, sizeof *out);
    assert_non_null(out);
    nq_random_init(&a, 42, n);
    nq_random_init(&b, 42, n);
    for (int i = 0; i < drawn_before; i++)
        assert_int_equal(nq_random_u32(&a), nq_random_u32(&b));
    nq_random_normals(&a, n, out, stride);
    for (size_t i = 0; i < n; i++) {
        float want = (float)nq_random_normal(&b);
        if (memcmp(&want, &out[i * stride], sizeof want) != 0)
            fail_msg("value %zu of %zu: %a, one by one %a", i, n, (double)out[i * stride],
                     (double)want);
    }
    assert_int_equal(nq_random_u32(&a), nq_random_u32(&b)); /* and both go on alike */
    free(out);
}

static void many_are_as_one_by_one(void **state)
{
    (void)state;
    for (size_t n = 0; n < 700; n += 37)
        for (int before = 0; before < 5; before++)
            equal_one_by_one(n, 1 + n % 3, before);
    equal_one_by_one(MANY, 3, 0);
}

static void every_version_gives_the_same_doubles(void **state)
{
    (void)state;
    nq_normals_chunk *versions[2] = {nq_normals_plain};
    int count = 1;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        versions[count++] = nq_normals_avx512;
#endif
    for (int v = 0; v < count; v++) {
        nq_random r, one;
        nq_random_init(&r, 7, 1);
        /* The counter carries into its second word on the way. */
        r.counter[0] = 0xffffffe0u;
        one = r;
        for (int round = 0; round < 3000; round++) {
            double value[NQ_NORMALS_CHUNK];
            versions[v](&r, value);
            for (int i = 0; i < NQ_NORMALS_CHUNK; i++) {
                double want = nq_random_normal(&one);
                assert_memory_equal(&value[i], &want, sizeof want);
            }
            r = one;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_are_as_one_by_one),
                                       cmocka_unit_test(every_version_gives_the_same_doubles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
