/* Worked examples of each formula (checkkernels tries random shapes), for every kernel table that
 * this CPU can run; and the choice of a table. */
#include "tests/unit/nq_test.h"
#include "worker/integer/kernels.h"
#include <math.h>

#define EACH_TABLE(k)                                                                              \
    const nq_kernels *k;                                                                           \
    for (size_t k##_i = 0; (k = nq_kernels_at(k##_i)) != NULL; k##_i++)                            \
        if (k->supported())

/* One output pixel, `channels` of one input pixel, weights one a channel pair. */
static void run_1x1(const nq_kernels *k, nq_conv op, const int8_t *weight, const uint8_t *in,
                    uint8_t *out)
{
    size_t packed, scratch;
    k->dense.size(&op, &packed, &scratch);
    void *p = aligned_alloc(NQ_ALIGN, (packed + 63) / 64 * 64);
    void *s = aligned_alloc(NQ_ALIGN, (scratch + 63) / 64 * 64);
    assert_non_null(p);
    assert_non_null(s);
    k->dense.pack(&op, weight, p);
    k->dense.run(&op, p, (nq_rows){0, 1}, in, (size_t)op.window.in_c, out, (size_t)op.window.out_c,
                 s);
    free(p);
    free(s);
}

static nq_window pixel(int in_c, int out_c)
{
    return (nq_window){.in_h = 1,
                       .in_w = 1,
                       .in_c = in_c,
                       .out_h = 1,
                       .out_w = 1,
                       .out_c = out_c,
                       .kernel_h = 1,
                       .kernel_w = 1,
                       .stride = 1};
}

static void rounding_is_half_even_before_the_zero_point(void **state)
{
    (void)state;
    float none[6] = {0}, one[6] = {1, 1, 1, 1, 1, 1}, half[6] = {.5f, .5f, .5f, .5f, .5f, .5f};
    nq_conv op = {.window = pixel(1, 6),
                  .in_zero = 0,
                  .out = {.zero = 3, .low = 0, .high = 255},
                  .bias = none,
                  .bias_factor = one,
                  .multiplier = half};
    const int8_t weight[6] = {1, 3, 5, -1, -3, 127};
    const uint8_t in[1] = {1};
    /* 0.5, 1.5, 2.5, -0.5, -1.5, 63.5 round to 0, 2, 2, 0, -2, 64 */
    const uint8_t expected[6] = {3, 5, 5, 3, 1, 67};
    EACH_TABLE(k)
    {
        uint8_t out[6];
        run_1x1(k, op, weight, in, out);
        assert_memory_equal(out, expected, 6);
    }
}

static void outputs_are_clamped(void **state)
{
    (void)state;
    float none[4] = {0, 0, INFINITY, -INFINITY}, one[4] = {1, 1, 1, 1};
    float huge[4] = {1e30f, 1e30f, 1, 1};
    nq_conv op = {.window = pixel(1, 4),
                  .in_zero = 1,
                  .out = {.zero = 5, .low = 0, .high = 15},
                  .bias = none,
                  .bias_factor = one,
                  .multiplier = huge};
    const int8_t weight[4] = {1, -1, 1, 1};
    const uint8_t in[1] = {200};
    EACH_TABLE(k)
    {
        uint8_t out[4];
        op.out.low = 0;
        run_1x1(k, op, weight, in, out);
        assert_memory_equal(out, ((uint8_t[]){15, 0, 15, 0}), 4);
        op.out.low = op.out.zero; /* ReLU */
        run_1x1(k, op, weight, in, out);
        assert_memory_equal(out, ((uint8_t[]){15, 5, 15, 5}), 4);
    }
}

/* bias / s = -acc to the last bit that float32 has: a fused multiply-add leaves the rest, a product
 * rounded first leaves 0. */
static void the_bias_is_fused(void **state)
{
    (void)state;
    float s = 0.0137f, inverse = 1.0f / s;
    float bias = -30000.0f / inverse;
    float rest = fmaf(bias, inverse, 30000.0f);
    volatile float product = bias * inverse;
    assert_true(rest != product + 30000.0f);
    float multiplier = 100.0f / rest;
    nq_conv op = {.window = pixel(2, 1),
                  .in_zero = 0,
                  .out = {.zero = 0, .low = 0, .high = 255},
                  .bias = &bias,
                  .bias_factor = &inverse,
                  .multiplier = &multiplier};
    const int8_t weight[2] = {100, 100};
    const uint8_t in[2] = {200, 100};
    EACH_TABLE(k)
    {
        uint8_t out[1];
        run_1x1(k, op, weight, in, out);
        assert_int_equal(out[0], 100);
    }
}

/* Where vpmaddubsw would clamp: 255 * 127 + 255 * 127 and its negative. */
static void neighbouring_products_do_not_saturate(void **state)
{
    (void)state;
    float none[2] = {0}, one[2] = {1, 1}, small[2] = {1.0f / 512, 1.0f / 512};
    nq_conv op = {.window = pixel(2, 2),
                  .in_zero = 0,
                  .out = {.zero = 128, .low = 0, .high = 255},
                  .bias = none,
                  .bias_factor = one,
                  .multiplier = small};
    const int8_t weight[4] = {127, 127, -128, -128};
    const uint8_t in[2] = {255, 255};
    /* 64770 / 512 = 126.5, -65280 / 512 = -127.5 */
    EACH_TABLE(k)
    {
        uint8_t out[2];
        run_1x1(k, op, weight, in, out);
        assert_int_equal(out[0], 128 + 127);
        assert_int_equal(out[1], 0);
    }
}

static void padding_is_the_real_zero(void **state)
{
    (void)state;
    float none = 0, one = 1;
    nq_conv op = {.window = {.in_h = 2,
                             .in_w = 2,
                             .in_c = 1,
                             .out_h = 2,
                             .out_w = 2,
                             .out_c = 1,
                             .kernel_h = 3,
                             .kernel_w = 3,
                             .stride = 1,
                             .pad_h = 1,
                             .pad_w = 1},
                  .in_zero = 7,
                  .out = {.zero = 0, .low = 0, .high = 255},
                  .bias = &none,
                  .bias_factor = &one,
                  .multiplier = &one};
    const int8_t weight[9] = {1, 1, 1, 1, 2, 1, 1, 1, 1};
    const uint8_t in[4] = {8, 9, 10, 11};
    const uint8_t expected[4] = {11, 12, 13, 14};
    EACH_TABLE(k)
    {
        const nq_conv_kernel *kinds[] = {&k->dense, &k->depthwise};
        for (int i = 0; i < 2; i++) {
            size_t packed, scratch;
            uint8_t out[4];
            kinds[i]->size(&op, &packed, &scratch);
            void *p = aligned_alloc(NQ_ALIGN, (packed + 63) / 64 * 64);
            void *s = aligned_alloc(NQ_ALIGN, (scratch + 63) / 64 * 64);
            kinds[i]->pack(&op, weight, p);
            kinds[i]->run(&op, p, (nq_rows){0, 2}, in, 1, out, 1, s);
            assert_memory_equal(out, expected, 4);
            free(p);
            free(s);
        }
    }
}

static void sums_and_pools(void **state)
{
    (void)state;
    nq_add op = {.a_scale = 0.5f,
                 .a_offset = -5.0f,
                 .b_scale = 0.25f,
                 .b_offset = -5.0f,
                 .inverse = 2.0f,
                 .out = {.zero = 10, .low = 10, .high = 255}};
    const uint8_t a[4] = {12, 10, 0, 255}, b[4] = {23, 21, 20, 255};
    /* 2 * (1 + 0.75) = 3.5 -> 4; 2 * 0.25 = 0.5 -> 0; negative -> ReLU; 2 * (122.5 + 58.75) */
    const uint8_t sums[4] = {14, 10, 10, 255};
    const uint8_t pool[6] = {1, 200, 2, 100, 3, 101};
    uint8_t tables[2][256] = {{10, 11}, {20, 21}};
    EACH_TABLE(k)
    {
        uint8_t out[4];
        k->add(&op, a, 4, b, 4, out, 4, 1, 4);
        assert_memory_equal(out, sums, 4);
        k->avg_pool(pool, 2, 3, 2, 50, out); /* 2; 401 / 3 = 133.67 */
        assert_int_equal(out[0], 2);
        assert_int_equal(out[1], 134);
        k->avg_pool((const uint8_t[]){3, 4}, 1, 2, 1, 3, out); /* 0.5 -> 0, then + 3 */
        assert_int_equal(out[0], 3);
        k->shuffle((const uint8_t[]){0, 1, 2, 3}, 4, out, 4, 1, 4, 2);
        assert_memory_equal(out, ((uint8_t[]){0, 2, 1, 3}), 4);
        k->interleave((const uint8_t(*)[256])tables, (const uint8_t[]){0, 1}, 2,
                      (const uint8_t[]){1, 0}, 2, out, 4, 1, 2);
        assert_memory_equal(out, ((uint8_t[]){10, 21, 11, 20}), 4);
    }
}

static void a_table_is_chosen_by_name(void **state)
{
    (void)state;
    const nq_kernels *k = NULL;
    nq_error err = {0};
    const char *was = getenv("NETQ_CPU");
    char *kept = was ? strdup(was) : NULL;
    setenv("NETQ_CPU", "c", 1);
    assert_ok(nq_kernels_select(&k, &err), &err);
    assert_string_equal(nq_kernels_name(k), "c");
    setenv("NETQ_CPU", "mmx", 1);
    assert_refused(nq_kernels_select(&k, &err), NQ_ERR_INPUT, &err, "\"mmx\" is none of c");
    const nq_kernels *each, *best = NULL;
    for (size_t i = 0; (each = nq_kernels_at(i)) != NULL; i++) {
        setenv("NETQ_CPU", each->name, 1);
        if (each->supported()) {
            assert_ok(nq_kernels_select(&k, &err), &err);
            assert_ptr_equal(k, each);
            best = each;
        } else {
            assert_refused(nq_kernels_select(&k, &err), NQ_ERR_INPUT, &err, "this CPU cannot run");
        }
    }
    unsetenv("NETQ_CPU");
    assert_ok(nq_kernels_select(&k, &err), &err);
    assert_ptr_equal(k, best);
    setenv("NETQ_CPU", "", 1);
    assert_ok(nq_kernels_select(&k, &err), &err);
    if (kept)
        setenv("NETQ_CPU", kept, 1);
    else
        unsetenv("NETQ_CPU");
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_half_even_before_the_zero_point),
        cmocka_unit_test(outputs_are_clamped),
        cmocka_unit_test(the_bias_is_fused),
        cmocka_unit_test(neighbouring_products_do_not_saturate),
        cmocka_unit_test(padding_is_the_real_zero),
        cmocka_unit_test(sums_and_pools),
        cmocka_unit_test(a_table_is_chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
