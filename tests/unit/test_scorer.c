/* Verdicts: the first of equal logits is the label; top-5 ranks equal logits by class. */
#include "tests/unit/nq_test.h"

#include "worker/score/scorer.h"

#define CLASSES 8

/* The same row as bytes and as floats must give the same verdict. */
static void judge(const uint8_t bytes[CLASSES], int32_t truth, int32_t label, bool top5)
{
    float reals[CLASSES];
    for (int c = 0; c < CLASSES; c++)
        reals[c] = (float)bytes[c] - 100.5f;
    const void *const rows[] = {bytes, reals};
    for (int real = 0; real < 2; real++) {
        nq_scorer scorer = {.classes = CLASSES, .real = real};
        int32_t got;
        bool among;
        nq_scorer_judge(&scorer, rows[real], truth, &got, &among);
        assert_int_equal(got, label);
        assert_int_equal(among, top5);
    }
}

static void ties_go_to_the_first_class(void **state)
{
    (void)state;
    judge((const uint8_t[]){1, 9, 3, 9, 9, 2, 0, 4}, 1, 1, true);
    judge((const uint8_t[]){255, 255, 255, 255, 255, 255, 255, 255}, 0, 0, true);
    judge((const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 1}, 0, 7, true);
}

static void top5_counts_equal_logits_by_class(void **state)
{
    (void)state;
    const uint8_t flat[CLASSES] = {7, 7, 7, 7, 7, 7, 7, 7};
    for (int32_t truth = 0; truth < CLASSES; truth++)
        judge(flat, truth, 0, truth < 5);
    const uint8_t falling[CLASSES] = {80, 70, 60, 50, 40, 30, 20, 10};
    for (int32_t truth = 0; truth < CLASSES; truth++)
        judge(falling, truth, 0, truth < 5);
    /* four above, an equal one after it: fifth; an equal one before it: sixth */
    judge((const uint8_t[]){9, 9, 9, 9, 5, 5, 0, 0}, 4, 0, true);
    judge((const uint8_t[]){9, 9, 9, 9, 5, 5, 0, 0}, 5, 0, false);
}

static void a_class_that_the_network_lacks_is_wrong(void **state)
{
    (void)state;
    judge((const uint8_t[]){9, 1, 1, 1, 1, 1, 1, 1}, CLASSES, 0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_go_to_the_first_class),
        cmocka_unit_test(top5_counts_equal_logits_by_class),
        cmocka_unit_test(a_class_that_the_network_lacks_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
