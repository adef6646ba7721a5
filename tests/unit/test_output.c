/* output.txt and job.json. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/job_file.h"
#include "worker/output/labels.h"

#include <unistd.h>

static void sizes_print_as_python_prints_them(void **state)
{
    (void)state;
    const struct {
        double value;
        const char *text;
    } cases[] = {{11.736149, "11.736149"},
                 {11.84, "11.84"},
                 {3.628409, "3.628409"},
                 {2.384725, "2.384725"},
                 {12.0, "12.0"},
                 {120.0, "120.0"},
                 {1000000.0, "1000000.0"},
                 {0.1, "0.1"},
                 {0.000123, "0.000123"},
                 {46.835817, "46.835817"},
                 {1234567.5, "1234567.5"},
                 {0.3, "0.3"},
                 {1.0 / 3, "0.3333333333333333"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        nq_format_repr(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void labels_write_and_read_back(void **state)
{
    (void)state;
    nq_error err = {0};
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "output.txt");
    nq_verdict verdicts[3] = {{.label = 65}, {.label = 970}, {.label = -1}};
    assert_ok(nq_labels_write(path, 11736149, verdicts, 3, &err), &err);
    uint8_t *data;
    size_t size;
    assert_ok(nq_file_read(path, 1000, &data, &size, &err), &err);
    assert_string_equal((char *)data, "In (MB): 11.736149\n65\n970\n-1\n");
    int32_t *labels;
    uint32_t count;
    assert_ok(nq_labels_parse((char *)data, size, "x", &labels, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_int_equal(labels[1], 970);
    assert_int_equal(labels[2], -1);
    free(labels), free(data);
    const char *const bad[] = {"",
                               "In (MB): 1",
                               "In (MB): 1\n5",
                               "In (MB): 1\n5\n\n",
                               "In (MB): 1\nx\n",
                               "In (MB): 1\n 5\n",
                               "In (MB): 1\n5 \n",
                               "In (MB): 1\n99999999999999999\n",
                               "In (MB): 1\n-2\n",
                               "In (MB): 1\n-\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(nq_labels_parse(bad[i], strlen(bad[i]), "bad", &labels, &count, &err),
                         NQ_ERR_INPUT);
    nq_dir_remove(dir, &err);
    free(path), free(dir);
}

static nq_status read_job(const char *text, nq_job_file *job, nq_error *err)
{
    char *dir = nq_test_folder(), *path = nq_path_join(dir, "job.json");
    nq_error ignored = {0};
    nq_file_write_atomic(path, text, strlen(text), &ignored);
    nq_status status = nq_job_file_read(dir, job, err);
    nq_dir_remove(dir, &ignored);
    free(path), free(dir);
    return status;
}

#define HEAD "{\"format\":1,\"job\":7,\"spec\":{\"model\":\"m\",\"dataset\":\"d\"},"
#define RUN                                                                                        \
    "\"run\":{\"checkpoint\":{\"root\":\"/r\",\"path\":\"c\"},\"dataset\":{\"root\":\"/r\","       \
    "\"path\":\"\"},\"threads\":2}}"

static void job_files_are_checked(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_job_file job;
    assert_ok(
        read_job(HEAD "\"checkpoint\":{\"arch\":\"resnet18\"},\"dataset\":{}," RUN, &job, &err),
        &err);
    assert_int_equal(job.id, 7);
    assert_int_equal(job.threads, 2);
    assert_string_equal(job.checkpoint.path, "c");
    assert_null(job.labels.root);
    nq_job_file_free(&job);
    const struct {
        const char *text, *words;
    } bad[] = {{"[]", "not a JSON object"},
               {"{\"format\":2}", "format 2"},
               {HEAD RUN, "checkpoint.arch"},
               {HEAD "\"checkpoint\":{\"arch\":\"resnet18\",\"sha256\":\"zz\"}," RUN, "SHA-256"},
               {HEAD "\"checkpoint\":{\"arch\":\"resnet18\"}}", "run is missing"},
               {HEAD "\"checkpoint\":{\"arch\":\"resnet18\"},\"run\":{}}", "run.checkpoint"},
               {HEAD "\"checkpoint\":{\"arch\":\"resnet18\"},\"run\":{\"threads\":0}}", "threads"},
               {"{\"format\":1,\"spec\":{\"modle\":\"x\"}}", "modle"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(read_job(bad[i].text, &job, &err), NQ_ERR_INPUT, &err, bad[i].words);
        nq_job_file_free(&job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_print_as_python_prints_them),
        cmocka_unit_test(labels_write_and_read_back),
        cmocka_unit_test(job_files_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
