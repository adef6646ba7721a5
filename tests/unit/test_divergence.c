/* The divergence of logits against numpy's, and the file that a float job keeps its logits in. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/float/divergence.h"
#include "worker/output/logits_file.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

/*
 * The figures are numpy's:
 *   l = scale * l.astype(float)
 *   lp, lq = r - log(exp(r).sum()), l - log(exp(l).sum())
 *   (exp(lp) * (lp - lq)).sum()
 */
static void divergence_is_numpys(void **state)
{
    (void)state;
    const struct {
        float reference[4];
        uint8_t logits[4];
        double scale, want;
    } cases[] = {{{1.5f, -0.25f, 3, 0}, {20, 3, 31, 7}, 0.1, 0.01957303439251079},
                 {{0, 0, 0, 0}, {9, 9, 9, 200}, 0.05, 5.776419219859269},
                 {{12.5f, -30, 4.75f, 11}, {255, 0, 150, 243}, 0.17, 0.022508384605154294},
                 {{1, 2, 3, 4}, {0, 10, 20, 30}, 0.1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_float_equal(nq_kl_divergence(cases[i].reference, cases[i].logits, cases[i].scale, 4),
                           cases[i].want, 1e-12);
    float reference[1000];
    uint8_t logits[1000];
    for (int c = 0; c < 1000; c++) {
        reference[c] = (float)(c * c % 97 - 48) / 8;
        logits[c] = (uint8_t)(c * 37 % 256);
    }
    assert_float_equal(nq_kl_divergence(reference, logits, 0.0625, 1000), 5.555560514658172, 1e-11);
    float floats[1000];
    for (int c = 0; c < 1000; c++)
        floats[c] = (float)logits[c] * 0.0625f - 9;
    assert_float_equal(nq_kl_divergence_float(reference, floats, 1000), 5.555560514658172, 1e-11);
}

static void extremes(void **state)
{
    (void)state;
    const uint8_t ends[2] = {0, 255};
    /* No overflow: exp(1000) is not a double. */
    assert_float_equal(nq_kl_divergence((const float[]){0, 1000}, ends, 4, 2), 0, 1e-300);
    assert_float_equal(nq_kl_divergence((const float[]){1000, 0}, ends, 4, 2), 1020, 1e-9);
    assert_true(isnan(nq_kl_divergence((const float[]){NAN, 1}, ends, 1, 2)));
    assert_true(isnan(nq_kl_divergence_float((const float[]){0, 1}, (const float[]){NAN, 1}, 2)));
    assert_false(
        isfinite(nq_kl_divergence_float((const float[]){0, 1}, (const float[]){-INFINITY, 1}, 2)));
    assert_float_equal(
        nq_kl_divergence_float((const float[]){0, 1000}, (const float[]){0, 1000}, 2), 0, 1e-300);
    assert_true(isnan(nq_kl_divergence((const float[]){INFINITY, 1}, ends, 1, 2)));
}

/* ---- logits.npy ---- */

enum { COUNT = 5, CLASSES = 3 };

static float value(uint32_t i, int c)
{
    return (float)i - 0.5f * (float)c;
}

static void write_file(const char *dir, const char *path)
{
    nq_error err = {0};
    nq_verdict verdicts[COUNT] = {{0}};
    uint8_t subject[NQ_SHA256_BYTES] = {0};
    float row[CLASSES];
    nq_journal *journal;
    assert_ok(nq_journal_open(dir, subject, COUNT, sizeof row, verdicts, &journal, &err), &err);
    for (uint32_t i = 0; i < COUNT; i++) {
        for (int c = 0; c < CLASSES; c++)
            row[c] = value(i, c);
        assert_ok(nq_journal_add(journal, i, 1, &verdicts[i], row, &err), &err);
    }
    assert_ok(nq_logits_write(path, journal, COUNT, CLASSES, &err), &err);
    nq_journal_close(journal);
}

static void logits_are_read_back(void **state)
{
    (void)state;
    static const char header[] =
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }";
    nq_error err = {0};
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "logits.npy");
    uint8_t *data;
    size_t size;
    write_file(dir, path);
    assert_ok(nq_file_read(path, 1000, &data, &size, &err), &err);
    assert_int_equal(size, 128 + COUNT * CLASSES * sizeof(float));
    assert_memory_equal(data, header, sizeof header - 1);
    assert_int_equal(data[127], '\n');
    free(data);

    nq_place place = {dir, "logits.npy"};
    nq_logits_file file;
    assert_ok(nq_logits_open(&place, CLASSES, &file, &err), &err);
    assert_int_equal(file.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        float row[CLASSES];
        assert_ok(nq_logits_row(&file, i, row, &err), &err);
        for (int c = 0; c < CLASSES; c++)
            assert_float_equal(row[c], value(i, c), 0);
    }
    nq_logits_close(&file);
    nq_dir_remove(dir, &err);
    free(path);
    free(dir);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "logits.npy");
    nq_place place = {dir, "logits.npy"};
    nq_logits_file file;
    assert_refused(nq_logits_open(&place, CLASSES, &file, &err), NQ_ERR_MISSING, &err,
                   "logits.npy");
    nq_logits_close(&file);
    write_file(dir, path);
    assert_refused(nq_logits_open(&place, CLASSES + 2, &file, &err), NQ_ERR_INPUT, &err,
                   "5 classes");
    nq_logits_close(&file);
    const off_t sizes[] = {128 + 59, 128 + 48, 127, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_refused(nq_logits_open(&place, CLASSES, &file, &err), NQ_ERR_INPUT, &err,
                       "logits.npy");
        nq_logits_close(&file);
    }
    nq_dir_remove(dir, &err);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divergence_is_numpys),
        cmocka_unit_test(extremes),
        cmocka_unit_test(logits_are_read_back),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
