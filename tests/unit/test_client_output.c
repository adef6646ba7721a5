/* client/format, table, progress, specfile: what people see, and what is sent. */
#include "tests/unit/nq_test.h"

#include "client/format.h"
#include "client/job.h"
#include "client/progress.h"
#include "client/specfile.h"
#include "client/table.h"
#include "common/file.h"
#include "common/text.h"
#include <locale.h>
#include <math.h>
#include <unistd.h>

static void strangers_text_is_made_safe(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"plain", "plain"},
        {"a\033[31mb\n", "a?[31mb?"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* C1 CSI */
        {"\xe2\x80\xae"
         "txt",
         "?txt"},           /* right-to-left override */
        {"\xff\xc3", "??"}, /* not UTF-8 */
        {"\xe2\x82", "??"}, /* cut character */
        {"\x7f", "?"},
    };
    char clean[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_text_clean(cases[i].text, clean, sizeof clean);
        assert_string_equal(clean, cases[i].clean);
    }
    nq_text_clean("ab\xc3\xbc", clean, 4);
    assert_string_equal(clean, "ab");
    assert_int_equal(nq_text_columns("gr\xc3\xbc\xc3\x9f"), 4);
}

static void numbers_and_times(void **state)
{
    (void)state;
    char text[NQ_TEXT];
#define FORMATTED(call, want)                                                                      \
    do {                                                                                           \
        call;                                                                                      \
        assert_string_equal(text, want);                                                           \
    } while (0)
    FORMATTED(nq_format_bytes(999, text), "999 B");
    FORMATTED(nq_format_bytes(11736149, text), "11.74 MB");
    FORMATTED(nq_format_bytes(-1, text), "-");
    FORMATTED(nq_format_bytes(INT64_MAX, text), "9223.37 PB");
    FORMATTED(nq_format_duration(2.4, text), "0:02");
    FORMATTED(nq_format_duration(3909, text), "1:05:09");
    FORMATTED(nq_format_duration(3 * 86400 + 4 * 3600, text), "3 d 4 h");
    FORMATTED(nq_format_duration(NAN, text), "-");
    FORMATTED(nq_format_duration(-1, text), "-");
    FORMATTED(nq_format_duration(1e300, text), "-");
    FORMATTED(nq_format_time(0, text), "1970-01-01 00:00:00");
    FORMATTED(nq_format_time(NAN, text), "-");
    FORMATTED(nq_format_time(1e300, text), "-");
    FORMATTED(nq_format_real(67.981, 2, text), "67.98");
    FORMATTED(nq_format_real(NAN, 2, text), "-");
    FORMATTED(nq_format_real(1e300, 2, text), "-");
}

static void since(void **state)
{
    (void)state;
    nq_error err = {0};
    double s;
    assert_ok(nq_format_parse_since("1970-01-02", 0, &s, &err), &err);
    assert_true(s == 86400);
    assert_ok(nq_format_parse_since("1970-01-01 01:02", 0, &s, &err), &err);
    assert_true(s == 3720);
    assert_ok(nq_format_parse_since("1970-01-01T00:00:07", 0, &s, &err), &err);
    assert_true(s == 7);
    assert_ok(nq_format_parse_since("2h", 10000, &s, &err), &err);
    assert_true(s == 2800);
    assert_ok(nq_format_parse_since("1764000000", 0, &s, &err), &err);
    assert_true(s == 1764000000);
    static const char *const bad[] = {"", "yesterday", "2x", "2hh", "-2h", "1e999", "nan", "h"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(nq_format_parse_since(bad[i], 0, &s, &err), NQ_ERR_INPUT, &err,
                       "is not a time");
}

/* ---- tables ---- */

static char *printed_table(int width, bool coloured)
{
    static const char *const headings[] = {"JOB",    "GROUP",  "STATE", "?DATASET",
                                           "?>SIZE", "REASON", NULL};
    nq_error err = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    nq_table *table = nq_table_new(headings);
    nq_table_add_format(table, "%d", 1);
    nq_table_add(table, "");
    nq_table_add_coloured(table, "done", NQ_GREEN);
    nq_table_add(table, "imagenet");
    nq_table_add(table, "5");
    nq_table_add(table, "");
    nq_table_add_format(table, "%d", 123);
    nq_table_add(table, "");
    nq_table_add(table, "queued");
    nq_table_add(table, "v\xc3\xa4l");
    nq_table_add(table, "1234567");
    nq_table_add(table, "it waits for\n12 other jobs");
    assert_ok(nq_table_print_width(table, out, width, coloured, &err), &err);
    fclose(out);
    return text;
}

static void tables(void **state)
{
    (void)state;
    char *text = printed_table(0, false);
    assert_string_equal(text, "JOB  GROUP  STATE   DATASET      SIZE  REASON\n"
                              "1    -      done    imagenet        5  -\n"
                              "123  -      queued  v\xc3\xa4l       1234567  it waits for?12 other "
                              "jobs\n");
    free(text);
    text = printed_table(60, false); /* the empty column goes */
    assert_string_equal(text,
                        "JOB  STATE   DATASET      SIZE  REASON\n"
                        "1    done    imagenet        5  -\n"
                        "123  queued  v\xc3\xa4l       1234567  it waits for?12 other jobs\n");
    free(text);
    text = printed_table(50, false); /* the last one is cut */
    assert_string_equal(text, "JOB  STATE   DATASET      SIZE  REASON\n"
                              "1    done    imagenet        5  -\n"
                              "123  queued  v\xc3\xa4l       1234567  it waits for?12...\n");
    free(text);
    text = printed_table(40, false); /* an optional one goes */
    assert_string_equal(text, "JOB  STATE   DATASET   REASON\n"
                              "1    done    imagenet  -\n"
                              "123  queued  v\xc3\xa4l       it waits for?1...\n");
    free(text);
    text = printed_table(0, true);
    assert_non_null(strstr(text, "\033[32mdone\033[0m    imagenet"));
    assert_non_null(strstr(text, "\033[1mJOB\033[0m"));
    free(text);
    nq_error err = {0};
    assert_refused(nq_table_print_width(NULL, stdout, 0, false, &err), NQ_ERR_NOMEM, &err, "table");
}

/* ---- progress ---- */

static void show(nq_progress *p, const char *text)
{
    json_t *job = json_loads(text, 0, NULL);
    assert_non_null(job);
    nq_progress_show(p, job);
    json_decref(job);
}

#define RUNNING(progress)                                                                          \
    "{\"job\":12,\"model\":\"resnet18\",\"preset\":\"baseline\",\"state\":\"running\","            \
    "\"reason\":null,\"progress\":" progress "}"
#define DONE                                                                                       \
    "{\"job\":12,\"model\":\"resnet18\",\"preset\":\"baseline\",\"state\":\"done\","               \
    "\"reason\":null,\"progress\":null,\"result\":{\"top1\":67.98,\"top5\":93.38,"                 \
    "\"compression_ratio\":75.02,\"seconds\":12.3}}"

static void a_life(nq_progress *p)
{
    show(p, "{\"job\":12,\"model\":\"resnet18\",\"preset\":\"baseline\",\"state\":\"queued\","
            "\"reason\":\"2 jobs before it\"}");
    show(p, "{\"job\":12,\"model\":\"resnet18\",\"preset\":\"baseline\",\"state\":\"held\","
            "\"reason\":\"held by its owner\"}");
    show(p, RUNNING("null"));
    show(p, RUNNING("{\"stage\":\"load\",\"done\":0,\"total\":0,\"rate\":null,\"eta_s\":null}"));
    show(p, RUNNING("{\"stage\":\"score\",\"done\":120,\"total\":634,\"rate\":210.5,"
                    "\"eta_s\":2.4}"));
    show(p, RUNNING("{\"stage\":\"score\",\"done\":634,\"total\":634,\"rate\":210.5,"
                    "\"eta_s\":0}"));
    show(p, DONE);
    show(p, DONE);
}

static void plain_progress(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    nq_progress *p = nq_progress_new(out, false, false, 0);
    a_life(p);
    nq_progress_end(p);
    fclose(out);
    assert_string_equal(text, "job 12 resnet18 baseline: queued: 2 jobs before it\n"
                              "job 12 resnet18 baseline: held by its owner\n"
                              "job 12 resnet18 baseline: load\n"
                              "job 12 resnet18 baseline: score\n"
                              "job 12 resnet18 baseline: done top-1 67.98 %, top-5 93.38 %, ratio "
                              "75.02 %, 12.3 s\n");
    free(text);
}

static void live_progress(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    nq_progress *p = nq_progress_new(out, true, false, 100);
    a_life(p);
    nq_progress_say(p, "a word");
    nq_progress_end(p);
    fclose(out);
    assert_non_null(strstr(text, "12 resnet18 baseline  score      [====>                   ]  18 %"
                                 "  120/634  210.5/s  0:02 left\n"));
    assert_non_null(strstr(text, "\033[1A\r\033[J"));
    assert_non_null(strstr(text, "job 12 resnet18 baseline: score 634 in 0:00\n"));
    assert_non_null(strstr(text, "netqctl: a word\n"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *visible = strstr(line, "\033[J");
        assert_true(nq_text_columns(visible ? visible + 3 : line) < 100);
    }
    free(text);
}

static void bars_fit(void **state)
{
    (void)state;
    for (int width = 1; width < 120; width++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        nq_progress *p = nq_progress_new(out, true, false, width);
        show(p, RUNNING("{\"stage\":\"score\",\"done\":120,\"total\":634,\"rate\":210.5,"
                        "\"eta_s\":2.4}"));
        fflush(out);
        assert_true(nq_text_columns(text) <= width); /* with the line's end */
        if (width >= 62)
            assert_non_null(strstr(text, "0:02 left"));
        if (width >= 80 || (width >= 62 && width < 75))
            assert_non_null(
                strstr(text, width >= 80 ? "12 resnet18 baseline  score" : "12  score"));
        nq_progress_end(p);
        fclose(out);
        free(text);
    }
}

static void distilling_shows_its_loss(void **state)
{
    (void)state;
    char text[NQ_LONG_TEXT];
    json_t *job =
        json_loads(RUNNING("{\"stage\":\"distill\",\"done\":100,\"total\":400,\"rate\":2.5,"
                           "\"eta_s\":120,\"loss\":0.02154}"),
                   0, NULL);
    nq_job_progress(job, text);
    assert_string_equal(text, "distill 100/400 (25 %), 2.5/s, loss 0.0215, 2:00 left");
    json_decref(job);
}

/* Objects of the wrong shape, numbers without bounds: nothing but odd lines may come of them. */
static void hostile_progress(void **state)
{
    (void)state;
    static const char *const jobs[] = {
        "{}",
        "{\"job\":\"x\"}",
        "{\"job\":1,\"state\":7,\"progress\":[]}",
        "{\"job\":1,\"state\":\"running\",\"progress\":{\"stage\":3}}",
        "{\"job\":1,\"state\":\"running\",\"progress\":{\"stage\":\"\\u001b[2J\",\"done\":1e308,"
        "\"total\":1e-308,\"rate\":1e308,\"eta_s\":1e308}}",
        "{\"job\":1,\"state\":\"running\",\"progress\":{\"stage\":\"s\",\"done\":-5,\"total\":5}}",
        "{\"job\":1,\"state\":\"running\",\"progress\":{\"stage\":\"s\",\"done\":\"\",\"total\":5}"
        "}",
        "{\"job\":1,\"state\":\"done\",\"result\":{\"top1\":1e308,\"top5\":\"x\"}}",
        "{\"job\":9223372036854775807,\"state\":\"done\",\"result\":[]}",
    };
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int live = 0; live < 2; live++) {
        nq_progress *p = nq_progress_new(out, live, false, 20);
        for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
            show(p, jobs[i]);
            json_t *job = json_loads(jobs[i], 0, NULL);
            nq_job_print(job, out);
            json_decref(job);
        }
        nq_progress_end(p);
    }
    fclose(out);
    assert_null(strstr(text, "\033[2J"));
    free(text);
}

/* ---- paths and flags ---- */

static void absolute(const char *path, const char *want)
{
    char *got = nq_absolute_path(path);
    assert_string_equal(got, want);
    free(got);
}

static void paths_become_absolute(void **state)
{
    (void)state;
    nq_error err = {0};
    char *folder = nq_test_folder(), *real = nq_path_join(folder, "real"),
         *link = nq_path_join(folder, "link"), *wanted = nq_path_join(link, "x/y.npy"),
         *up = nq_path_join(folder, "y");
    assert_ok(nq_dir_make(real, 0755, &err), &err);
    assert_int_equal(symlink("real", link), 0);
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    absolute("/a/./b//c/../d", "/a/b/d");
    absolute("/..", "/");
    absolute("/../../a", "/a");
    assert_int_equal(chdir(link), 0);
    setenv("PWD", link, 1);
    absolute("./x/y.npy", wanted);
    absolute("../y", up);
    setenv("PWD", "/nowhere", 1); /* not where we are: the system knows better */
    free(wanted);
    wanted = nq_path_join(real, "x");
    absolute("x", wanted);

    json_t *spec = json_pack("{s:s,s:s,s:{s:s,s:i},s:i}", "model", "m", "checkpoint", "/a/../b",
                             "calibrate", "file", "x", "samples", 3, "dataset_path", 5);
    assert_ok(nq_specfile_make_absolute(spec, &err), &err);
    assert_string_equal(json_string_value(json_object_get(spec, "model")), "m");
    assert_string_equal(json_string_value(json_object_get(spec, "checkpoint")), "/b");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(spec, "calibrate"), "file")), wanted);
    json_decref(spec);
    assert_int_equal(chdir(before), 0);
    setenv("PWD", before, 1);
    nq_dir_remove(folder, &err);
    free(folder), free(real), free(link), free(wanted), free(up);
}

static void flags_of_keys(void **state)
{
    (void)state;
    char flag[64];
    nq_specfile_flag("activations.shortcut_bits", flag, sizeof flag);
    assert_string_equal(flag, "activations-shortcut-bits");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_text_is_made_safe),
        cmocka_unit_test(numbers_and_times),
        cmocka_unit_test(since),
        cmocka_unit_test(tables),
        cmocka_unit_test(plain_progress),
        cmocka_unit_test(live_progress),
        cmocka_unit_test(bars_fit),
        cmocka_unit_test(distilling_shows_its_loss),
        cmocka_unit_test(hostile_progress),
        cmocka_unit_test(paths_become_absolute),
        cmocka_unit_test(flags_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
