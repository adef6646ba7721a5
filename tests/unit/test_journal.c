/* The prediction journal: what survives, what is not believed. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/score/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 40
#define ROW   10

static const uint8_t subject[NQ_SHA256_BYTES] = {1, 2, 3};

static nq_journal *open_journal(const char *dir, const uint8_t *about, nq_verdict *verdicts)
{
    nq_error err = {0};
    nq_journal *j;
    assert_ok(nq_journal_open(dir, about, COUNT, ROW, verdicts, &j, &err), &err);
    return j;
}

static void add(nq_journal *j, uint32_t position)
{
    nq_error err = {0};
    uint8_t row[ROW];
    memset(row, (int)position, ROW);
    nq_verdict v = {
        .label = (int32_t)position * 3, .top5 = position % 2, .image = {(uint8_t)position}};
    assert_ok(nq_journal_add(j, position, 1, &v, row, &err), &err);
}

static int done(const nq_verdict *verdicts)
{
    int n = 0;
    for (int i = 0; i < COUNT; i++)
        n += verdicts[i].done;
    return n;
}

static void goes_on_after_a_crash(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder();
    nq_verdict verdicts[COUNT];
    nq_journal *j = open_journal(dir, subject, verdicts);
    assert_int_equal(done(verdicts), 0);
    for (uint32_t p = 0; p < 20; p++)
        add(j, p * 2 % COUNT);
    nq_journal_close(j);

    j = open_journal(dir, subject, verdicts);
    assert_int_equal(done(verdicts), 20);
    assert_int_equal(verdicts[6].label, 18);
    assert_false(verdicts[6].top5);
    assert_int_equal(verdicts[6].image[0], 6);
    assert_false(verdicts[7].done);
    uint8_t row[ROW];
    assert_ok(nq_journal_row(j, 6, row, &err), &err);
    assert_int_equal(row[9], 6);
    nq_journal_close(j);
    nq_dir_remove(dir, &err);
    free(dir);
}

/* Damage at every byte of the last record, and every way of cutting it short, costs that record
 * alone. */
static void damage_costs_one_record(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "predictions");
    nq_verdict verdicts[COUNT];
    nq_journal *j = open_journal(dir, subject, verdicts);
    for (uint32_t p = 0; p < 5; p++)
        add(j, p);
    nq_journal_close(j);
    uint8_t *whole;
    size_t size;
    assert_ok(nq_file_read(path, 1 << 20, &whole, &size, &err), &err);
    const size_t record = 48;
    for (size_t i = 1; i <= record; i++) {
        whole[size - i] ^= 0x40;
        assert_ok(nq_file_write_atomic(path, whole, size, &err), &err);
        whole[size - i] ^= 0x40;
        nq_journal_close(open_journal(dir, subject, verdicts));
        assert_int_equal(done(verdicts), 4);
        assert_false(verdicts[4].done);
    }
    for (size_t cut = 1; cut <= record; cut++) {
        assert_ok(nq_file_write_atomic(path, whole, size - cut, &err), &err);
        j = open_journal(dir, subject, verdicts);
        assert_int_equal(done(verdicts), 4);
        add(j, 30); /* must not be shifted by the torn record before it */
        nq_journal_close(j);
        nq_journal_close(open_journal(dir, subject, verdicts));
        assert_int_equal(done(verdicts), 5);
        assert_true(verdicts[30].done);
    }
    free(whole);
    nq_dir_remove(dir, &err);
    free(path), free(dir);
}

/* After a power cut the record may be there and its logits not. */
static void lost_logits_are_noticed(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "logits");
    nq_verdict verdicts[COUNT];
    nq_journal *j = open_journal(dir, subject, verdicts);
    for (uint32_t p = 0; p < 5; p++)
        add(j, p);
    nq_journal_close(j);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\0\0\0", 3, 2 * ROW), 3);
    close(fd);
    nq_journal_close(open_journal(dir, subject, verdicts));
    assert_int_equal(done(verdicts), 4);
    assert_false(verdicts[2].done);
    assert_int_equal(truncate(path, 2 * ROW), 0);
    nq_journal_close(open_journal(dir, subject, verdicts));
    assert_int_equal(done(verdicts), 2);
    nq_dir_remove(dir, &err);
    free(path), free(dir);
}

static void another_subject_starts_afresh(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder();
    nq_verdict verdicts[COUNT];
    nq_journal *j = open_journal(dir, subject, verdicts);
    add(j, 1);
    nq_journal_close(j);
    const uint8_t other[NQ_SHA256_BYTES] = {9};
    nq_journal_close(open_journal(dir, other, verdicts));
    assert_int_equal(done(verdicts), 0);
    nq_journal_close(open_journal(dir, subject, verdicts));
    assert_int_equal(done(verdicts), 0);
    nq_dir_remove(dir, &err);
    free(dir);
}

static int disk_full(const char *call, const char *path)
{
    (void)path;
    return strcmp(call, "write") == 0 ? 28 : 0;
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder();
    nq_verdict verdicts[COUNT], v = {.label = 1};
    nq_journal *j = open_journal(dir, subject, verdicts);
    uint8_t row[ROW] = {0};
    nq_file_fault = disk_full;
    assert_refused(nq_journal_add(j, 0, 1, &v, row, &err), NQ_ERR_IO, &err, "No space");
    nq_file_fault = NULL;
    assert_false(v.done);
    nq_journal_close(j);
    nq_dir_remove(dir, &err);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_after_a_crash),   cmocka_unit_test(damage_costs_one_record),
        cmocka_unit_test(lost_logits_are_noticed), cmocka_unit_test(another_subject_starts_afresh),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
