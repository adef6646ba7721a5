/* server/ranking, server/diff, server/known, server/estimate. */
#include "tests/unit/nq_test.h"

#include "server/diff.h"
#include "server/estimate.h"
#include "server/known.h"
#include "server/ranking.h"
#include <math.h>

static nq_entry entry(int64_t job, int64_t original, int64_t new_size, int64_t right,
                      int64_t images)
{
    nq_entry e = {.job = job,
                  .original_size = original,
                  .new_size = new_size,
                  .right = right,
                  .images = images};
    strcpy(e.dataset_fingerprint, "d");
    strcpy(e.model, "m");
    return e;
}

static void tenths(void **state)
{
    (void)state;
    /* 80.13 and 80.14 are equal; 88.15 counts as 88.2: half up on the decimal value. */
    assert_int_equal(nq_tenths(8013, 10000), 801);
    assert_int_equal(nq_tenths(8014, 10000), 801);
    assert_int_equal(nq_tenths(8815, 10000), 882);
    assert_int_equal(nq_tenths(88149, 100000), 881);
    assert_int_equal(nq_tenths(0, 7), 0);
    assert_int_equal(nq_tenths(7, 7), 1000);
    assert_int_equal(nq_tenths(1, 3), 333);
}

static void ratio_then_accuracy_then_ties(void **state)
{
    (void)state;
    nq_entry e[] = {
        entry(1, 1000, 250, 8014, 10000), entry(2, 1000, 250, 8013, 10000),  /* equal in tenths */
        entry(3, 1000, 249, 1, 10000),                                       /* a better ratio */
        entry(4, 1000, 250, 9000, 10000), entry(5, 4000, 1000, 8013, 10000), /* the same ratio */
        entry(6, 1000, 260, 9999, 10000),
    };
    nq_ranking_sort(e, 6);
    static const int jobs[] = {3, 4, 1, 2, 5, 6}, ranks[] = {1, 2, 3, 3, 3, 6};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(e[i].job, jobs[i]);
        assert_int_equal(e[i].rank, ranks[i]);
    }
}

/* Sizes whose ratios no double can tell apart. */
static void exact_ratios(void **state)
{
    (void)state;
    int64_t n = 1000000000000;
    nq_entry e[] = {entry(1, 4 * n + 1, n, 5, 10), entry(2, 4 * n, n, 9, 10),
                    entry(3, 4 * n - 1, n, 9, 10), entry(4, 8 * n, 2 * n, 9, 10)};
    nq_ranking_sort(e, 4);
    assert_int_equal(e[0].job, 1);
    assert_int_equal(e[1].job, 2);
    assert_int_equal(e[2].job, 4);
    assert_int_equal(e[2].rank, 2);
    assert_int_equal(e[3].job, 3);
    assert_int_equal(e[3].rank, 4);
}

static void boards(void **state)
{
    (void)state;
    nq_entry e[] = {entry(1, 4, 1, 1, 2), entry(2, 4, 1, 1, 2), entry(3, 4, 1, 2, 2)};
    strcpy(e[0].model, "z");
    strcpy(e[2].dataset_fingerprint, "c");
    nq_ranking_sort(e, 3);
    assert_int_equal(e[0].job, 3);
    assert_int_equal(e[1].job, 2);
    assert_int_equal(e[2].job, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(e[i].rank, 1);
    assert_false(nq_ranking_same_board(&e[0], &e[1]));
}

static bool but_not_9(void *context, int64_t group)
{
    (void)context;
    return group != 9;
}

static void groups(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_entry e[] = {entry(1, 1000, 250, 8, 10), entry(2, 1000, 100, 6, 10), entry(3, 10, 1, 9, 10),
                    entry(4, 10, 1, 9, 10),     entry(5, 10, 1, 9, 10),     entry(6, 10, 1, 9, 10),
                    entry(7, 10, 1, 9, 10),     entry(8, 10, 1, 9, 20),     entry(9, 10, 1, 9, 10)};
    /* 7: models m and n; 8: m twice; 9: incomplete; 10: other images; 11: one alone. */
    int64_t of[] = {7, 7, 8, 8, 9, 9, 10, 10, 11};
    strcpy(e[1].model, "n");
    strcpy(e[5].model, "n");
    strcpy(e[7].model, "n");
    e[0].weights_bits = e[1].weights_bits = 8;
    e[0].activations_bits = 8;
    e[1].activations_bits = 4;
    nq_entry *made;
    size_t count;
    assert_ok(nq_ranking_groups(e, of, 9, but_not_9, NULL, &made, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(made[0].group, 7);
    assert_string_equal(made[0].model, "m+n");
    assert_float_equal(nq_entry_ratio(&made[0]), 82.5, 1e-9);
    assert_int_equal(nq_tenths(made[0].right, made[0].images), 700);
    assert_int_equal(made[0].weights_bits, 8);
    assert_int_equal(made[0].activations_bits, 0);
    free(made);
}

/* ---- diff ---- */

static nq_status parse(const char *text, int32_t **labels, size_t *count, nq_error *err)
{
    return nq_diff_parse(text, strlen(text), "output.txt", labels, count, err);
}

static void labels(void **state)
{
    (void)state;
    int32_t *got;
    size_t n;
    nq_error err = {0};
    assert_ok(parse("In (MB): 11.7\n65\n-1\n0\n", &got, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(got[0], 65);
    assert_int_equal(got[1], -1);
    free(got);
    assert_ok(parse("", &got, &n, &err), &err);
    assert_int_equal(n, 0);
    free(got);
    assert_refused(parse("65\nIn (MB): 3\n", &got, &n, &err), NQ_ERR_INPUT, &err, "line 2");
    assert_refused(parse("65", &got, &n, &err), NQ_ERR_INPUT, &err, "line 1");
    assert_refused(parse("1\n\n", &got, &n, &err), NQ_ERR_INPUT, &err, "line 2");
    assert_refused(parse("-\n", &got, &n, &err), NQ_ERR_INPUT, &err, "line 1");
    assert_refused(parse("1234567890\n", &got, &n, &err), NQ_ERR_INPUT, &err, "line 1");
}

static void comparison(void **state)
{
    (void)state;
    nq_image_file images[] = {{.path = "a/1", .label = 3},
                              {.path = "a/2", .label = 3},
                              {.path = "b/1", .label = 7},
                              {.path = "b/2", .label = 7}};
    nq_class classes[] = {{"a", 2}, {"b", 2}};
    nq_dataset dataset = {.images = images, .count = 4, .classes = classes, .class_count = 2};
    uint32_t order[] = {3, 0, 2, 1};
    int32_t a[] = {7, 3, 7, 1}, b[] = {7, 3, 3, 3};
    json_t *reply = nq_diff_compare(&dataset, order, 4, a, b);
    json_t *want = json_pack(
        "{s:i,s:i,s:i,s:i,s:i,s:i,s:f,s:f,s:[{s:i,s:s,s:i,s:i,s:i,s:i},{s:i,s:s,s:i,s:i,s:i,s:i}],"
        "s:[{s:s,s:i,s:i,s:i},{s:s,s:i,s:i,s:i}]}",
        "images", 4, "changed", 2, "a_right", 3, "b_right", 3, "lost", 1, "won", 1, "drop", 0.0,
        "standard_error", 100 * (sqrt(2) / 4), "classes", "class", 3, "name", "a", "images", 2,
        "changed", 1, "a_right", 1, "b_right", 2, "class", 7, "name", "b", "images", 2, "changed",
        1, "a_right", 2, "b_right", 1, "examples", "image", "b/1", "class", 7, "a", 7, "b", 3,
        "image", "a/2", "class", 3, "a", 1, "b", 3);
    assert_non_null(want);
    assert_true(json_equal(reply, want));
    json_decref(reply);
    json_decref(want);
}

/* The standard error of a mean of values -1, 0 and 1, written out value by value. */
static void standard_error(void **state)
{
    (void)state;
    const int counts[][3] = {{0, 0, 634}, {7, 3, 100}, {50, 0, 50}, {1, 0, 1}, {120, 31, 1300}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int lost = counts[i][0], won = counts[i][1], n = counts[i][2];
        double mean = (double)(lost - won) / n, sum = 0;
        for (int k = 0; k < n; k++) {
            double x = k < lost ? 1 : k < lost + won ? -1 : 0;
            sum += (x - mean) * (x - mean);
        }
        assert_float_equal(nq_diff_error(lost, won, n), sqrt(sum / n / n), 1e-12);
    }
    assert_float_equal(nq_diff_error(0, 0, 0), 0, 0);
}

/* ---- known checkpoints ---- */

static void known(void **state)
{
    (void)state;
    nq_config config = {0};
    nq_config_model model = {.name = "mine", .has_float_top1 = true, .float_top1 = 50};
    double top1 = 0;
    assert_true(nq_known_top1(&config, "x", "f37072fd0011", &top1));
    assert_float_equal(top1, 69.758, 0);
    assert_true(nq_known_top1(&config, "x", "b035310400", &top1));
    assert_float_equal(top1, 71.878, 0);
    assert_true(nq_known_top1(&config, "x", "5666bf0f8000", &top1));
    assert_float_equal(top1, 69.362, 0);
    assert_false(nq_known_top1(&config, "x", "5666bf0f", &top1));
    assert_false(nq_known_top1(&config, "x", "", &top1));
    config.models = &model;
    config.model_count = 1;
    assert_true(nq_known_top1(&config, "mine", "f37072fd0011", &top1));
    assert_float_equal(top1, 50, 0);
}

static void plausible(void **state)
{
    (void)state;
    /* 50,000 images: five points decide. 634: the standard error at 70 % is 1.82, four are 7.28. */
    assert_true(nq_known_plausible(32500, 50000, 69.758));
    assert_false(nq_known_plausible(32300, 50000, 69.758));
    assert_true(nq_known_plausible(400, 634, 69.758));
    assert_false(nq_known_plausible(390, 634, 69.758));
    assert_true(nq_known_plausible(634, 634, 69.758)); /* above is never wrong */
    assert_false(nq_known_plausible(0, 634, 69.758));
    double top1 = 0;
    assert_true(nq_known_hopeless("resnet18", 2, 634, &top1));
    assert_true(top1 == 69.758);
    assert_true(nq_known_hopeless("resnet18", 17, 50, &top1));
    assert_false(nq_known_hopeless("resnet18", 18, 50, &top1));
    assert_false(nq_known_hopeless("resnet18", 0, 49, &top1));
    assert_false(nq_known_hopeless("a network of one's own", 0, 634, &top1));
}

static void estimates(void **state)
{
    (void)state;
    nq_spec spec = {.kind = NQ_JOB_QUANTIZE};
    spec.weights.bits = 8;
    /* ResNet18 as published, 46,830,571 bytes; its baseline file is 11.7 MB. */
    int64_t size = nq_estimate_model_size(&spec, "resnet18", 46830571, 0);
    assert_in_range(size, 11500000, 11900000);
    spec.weights.bits = 4;
    assert_in_range(nq_estimate_model_size(&spec, "resnet18", 46830571, 0), 5700000, 6100000);
    spec.keep_count = 1;
    strcpy(spec.keep_8bit[0], "last");
    assert_in_range(nq_estimate_model_size(&spec, "resnet18", 46830571, 0), 5950000, 6400000);
    spec.keep_count = 0;
    spec.weights.bits = 8;
    /* ShuffleNetV2 x0.5 with 10 classes: 1.5 MB of float weights, not 5.5. */
    assert_in_range(nq_estimate_model_size(&spec, "shufflenet_v2_x0_5", 1500000, 0), 350000,
                    500000);
    /* Mixed precision takes its budget, or what 8 bits take. */
    spec.weights.bits = 0;
    spec.weights.size_budget = 5300000;
    assert_int_equal(nq_estimate_model_size(&spec, "resnet18", 46830571, 0), 5300000);
    spec.weights.size_budget = 1000000000000;
    assert_int_equal(nq_estimate_model_size(&spec, "resnet18", 46830571, 0), size);
    spec.kind = NQ_JOB_FLOAT;
    assert_int_equal(nq_estimate_model_size(&spec, "resnet18", 46830571, 0), 46830571);
    spec.kind = NQ_JOB_QUANTIZED_FILE;
    assert_int_equal(nq_estimate_model_size(&spec, "resnet18", 46830571, 77), 77);
    /* A float job keeps its logits: 1,000 floats an image. */
    nq_job job = {.kind = NQ_JOB_FLOAT, .dataset_images = 50000};
    assert_in_range(nq_estimate_disk(&job, 46830571), 200000000, 205000000);
    job = (nq_job){.kind = NQ_JOB_QUANTIZE, .dataset_images = 50000, .partial = true, .limit = 10};
    assert_in_range(nq_estimate_disk(&job, 11700000), 11700000, 11800000);
}

static void estimated_time(void **state)
{
    (void)state;
    const nq_past_run none = {0}, past = {.images = 10, .samples = 1000, .seconds = 40};
    double one = nq_estimate_seconds(NQ_JOB_QUANTIZE, "resnet18", 1000, 1000, 1, &none);
    assert_in_range(one, 60, 600);
    assert_float_equal(nq_estimate_seconds(NQ_JOB_QUANTIZE, "resnet18", 1000, 1000, 2, &none),
                       one / 2, 1e-9);
    assert_true(nq_estimate_seconds(NQ_JOB_FLOAT, "resnet18", 1000, 1000, 1, &none) < one / 2);
    assert_float_equal(nq_estimate_seconds(NQ_JOB_QUANTIZE, "resnet18", 1000, 10, 2, &past), 40,
                       1e-9);
    /* Most of those 40 s went into calibration: a thousand times the images is not 40,000 s. */
    double whole = nq_estimate_seconds(NQ_JOB_QUANTIZE, "resnet18", 1000, 10000, 2, &past);
    assert_in_range(whole, 400, 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenths),       cmocka_unit_test(ratio_then_accuracy_then_ties),
        cmocka_unit_test(exact_ratios), cmocka_unit_test(boards),
        cmocka_unit_test(groups),       cmocka_unit_test(labels),
        cmocka_unit_test(comparison),   cmocka_unit_test(standard_error),
        cmocka_unit_test(known),        cmocka_unit_test(plausible),
        cmocka_unit_test(estimates),    cmocka_unit_test(estimated_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
