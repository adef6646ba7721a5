/* server/config: every key, every complaint, and the documented file itself. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "server/config.h"

static nq_status parse(const char *text, nq_config *config, nq_error *err)
{
    return nq_config_parse(text, strlen(text), "conf", "/base", config, err);
}

static void defaults(void **state)
{
    (void)state;
    nq_config c;
    nq_error err = {0};
    assert_ok(parse("", &c, &err), &err);
    assert_int_equal(c.jobs, 1);
    assert_int_equal(c.threads, 0);
    assert_int_equal(c.line_bytes, 1048576);
    assert_int_equal(c.connections, 64);
    assert_int_equal(c.queued_jobs, 100000);
    assert_int_equal(c.attempts, 3);
    assert_int_equal(c.job_seconds, 0);
    assert_int_equal(c.stall_seconds, 900);
    assert_int_equal(c.memory_mb, 0);
    assert_int_equal(c.keep_days, 0);
    assert_int_equal(c.cache_limit_mb, 16000);
    assert_int_equal(c.cache_keep_free_mb, 1024);
    assert_int_equal(c.log_level, NQ_LOG_INFO);
    assert_int_equal(c.unreadable, NQ_UNREADABLE_FAIL);
    assert_false(c.private);
    assert_null(c.socket);
    nq_config_free(&c);
}

static void everything(void **state)
{
    (void)state;
    nq_config c;
    nq_error err = {0};
    setenv("HOME", "/home/somebody", 1);
    assert_ok(
        parse("# a comment\n[daemon]\nsocket = /s\nsocket_group = lab\nprivate = yes\nstate = st\n"
              "worker = ~/w\nlog_level = warn\njobs = 2\nthreads = 3\n"
              "[limits]\nline_bytes = 2048\nconnections = 7\nqueued_jobs = 8\nattempts = 9\n"
              "job_seconds = 10\nstall_seconds = 11 ; not long\nmemory_mb = 12\nkeep_days = 13\n"
              "roots = /r:sub::~/x\nunreadable = wrong\n"
              "[cache]\ndirectory = ~/crops\nlimit_mb = 0\nkeep_free_mb = 5\n"
              "[model resnet18]\ncheckpoint = a.pth\nfloat_top1 = 69.758\n"
              "[model mine]\narch = mobilenet_v2\ncheckpoint = /b.pth\n"
              "[dataset d-1]\npath = images\nlabels = l.txt\nwnids = w.txt\n",
              &c, &err),
        &err);
    assert_string_equal(c.socket, "/s");
    assert_string_equal(c.socket_group, "lab");
    assert_true(c.private);
    assert_string_equal(c.state, "/base/st");
    assert_string_equal(c.worker, "/home/somebody/w");
    assert_int_equal(c.log_level, NQ_LOG_WARN);
    assert_int_equal(c.stall_seconds, 11);
    assert_int_equal(c.root_count, 3);
    assert_string_equal(c.roots[0], "/r");
    assert_string_equal(c.roots[1], "/base/sub");
    assert_string_equal(c.roots[2], "/home/somebody/x");
    assert_int_equal(c.unreadable, NQ_UNREADABLE_WRONG);
    assert_string_equal(c.cache_directory, "/home/somebody/crops");
    assert_int_equal(c.cache_limit_mb, 0);
    assert_int_equal(c.cache_keep_free_mb, 5);
    const nq_config_model *m = nq_config_model_find(&c, "resnet18");
    assert_non_null(m);
    assert_string_equal(m->arch, "resnet18");
    assert_string_equal(m->checkpoint, "/base/a.pth");
    assert_true(m->has_float_top1);
    m = nq_config_model_find(&c, "mine");
    assert_string_equal(m->arch, "mobilenet_v2");
    assert_false(m->has_float_top1);
    const nq_config_dataset *d = nq_config_dataset_find(&c, "d-1");
    assert_string_equal(d->path, "/base/images");
    assert_string_equal(d->labels, "/base/l.txt");
    assert_string_equal(d->wnids, "/base/w.txt");
    assert_null(nq_config_model_find(&c, "d-1"));
    nq_config_free(&c);
}

static void complaints(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"jobs = 1\n", "conf:1: jobs: stands before the first [section]"},
        {"[damon]\n", "conf:1: there is no section [damon]; the nearest is [daemon]"},
        {"[daemon]\n\n# x\njbs = 1\n",
         "conf:4: jbs: is not a key of [daemon]; the nearest is jobs"},
        {"[limits]\nsocket = x\n", "conf:2: socket: is not a key of [limits]"},
        {"[daemon]\njobs = 0\n", "conf:2: jobs: 0 is not in 1..64"},
        {"[daemon]\njobs = 99999999999999999999\n", "is not a whole number"},
        {"[daemon]\njobs = 2x\n", "\"2x\" is not a whole number"},
        {"[daemon]\njobs =\n", "\"\" is not a whole number"},
        {"[daemon]\njobs = 1\njobs = 2\n", "conf:3: jobs: is given twice"},
        {"[model resnet18]\ncheckpoint = y\n[model  resnet18]\ncheckpoint = z\n",
         "conf:4: checkpoint: is given twice in [model resnet18]"},
        {"[daemon]\nprivate = true\n", "neither yes nor no"},
        {"[daemon]\nlog_level = verbose\n", "the nearest is"},
        {"[daemon]\nstate =\n", "state: has no value"},
        {"[daemon x]\n", "takes no name"},
        {"[model]\n", "needs a name"},
        {"[model ../x]\n", "a name has 1 to 63"},
        {"[model resnet18]\n[daemon]\njobs = 1\n[model resnet18]\narch = resnet18\n",
         "[model resnet18] has no checkpoint"},
        {"[model x]\ncheckpoint = y\n", "arch x is not supported"},
        {"[model resnet18]\ncheckpoint = y\nfloat_top1 = 101\n", "is not a number in 0..100"},
        {"[model resnet18]\ncheckpoint = y\nfloat_top1 = nan\n", "is not a number in 0..100"},
        {"[dataset x]\nlabels = y\n", "[dataset x] has no path"},
        {"[daemon]\nnonsense\n", "conf:2: neither"},
        {"[daemon\njobs = 1\n", "conf:1: the section's name has no ]"},
        {"[0123456789012345678901234567890123456789012345678]\n", "there is no section"},
        {"[model 01234567890123456789012345678901234567890123456789]\n", "longer than 49"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nq_config c;
        nq_error err = {0};
        assert_refused(parse(cases[i].text, &c, &err), NQ_ERR_INPUT, &err, cases[i].words);
        nq_config_free(&c);
    }
    nq_config c;
    nq_error err = {0};
    assert_refused(nq_config_parse("[daemon]\nso\0cket = x\n", 20, "conf", "/", &c, &err),
                   NQ_ERR_INPUT, &err, "conf:2: the line is longer than");
    nq_config_free(&c);
    char *longest = calloc(1, 6000);
    memset(longest, 'x', 5000);
    assert_refused(parse(longest, &c, &err), NQ_ERR_INPUT, &err, "conf:1: the line is longer");
    nq_config_free(&c);
    free(longest);
}

/* An indented key is a key, not the rest of the line before. */
static void indentation(void **state)
{
    (void)state;
    nq_config c;
    nq_error err = {0};
    assert_ok(parse("[daemon]\n  jobs = 2\n    threads = 5\n", &c, &err), &err);
    assert_int_equal(c.jobs, 2);
    assert_int_equal(c.threads, 5);
    nq_config_free(&c);
}

/* config/netqd.conf says the defaults: its commented keys, uncommented, change nothing; and every
 * key of the parser stands in it. */
static void documented_file(void **state)
{
    (void)state;
    nq_config c, plain;
    nq_error err = {0};
    uint8_t *text;
    size_t size;
    assert_ok(nq_file_read(nq_test_path("config/netqd.conf"), NQ_CONFIG_BYTES, &text, &size, &err),
              &err);
    for (size_t i = 0; i + 1 < size; i++)
        if (text[i] == '#' && text[i + 1] != ' ' && text[i + 1] != '\n' &&
            (i == 0 || text[i - 1] == '\n'))
            text[i] = ' ';
    assert_ok(nq_config_parse((char *)text, size, "netqd.conf", "/etc", &c, &err), &err);
    assert_ok(parse("", &plain, &err), &err);
    assert_int_equal(c.jobs, plain.jobs);
    assert_int_equal(c.threads, plain.threads);
    assert_int_equal(c.log_level, plain.log_level);
    assert_int_equal(c.private, plain.private);
    assert_int_equal(c.line_bytes, plain.line_bytes);
    assert_int_equal(c.connections, plain.connections);
    assert_int_equal(c.queued_jobs, plain.queued_jobs);
    assert_int_equal(c.attempts, plain.attempts);
    assert_int_equal(c.job_seconds, plain.job_seconds);
    assert_int_equal(c.stall_seconds, plain.stall_seconds);
    assert_int_equal(c.memory_mb, plain.memory_mb);
    assert_int_equal(c.keep_days, plain.keep_days);
    assert_int_equal(c.unreadable, plain.unreadable);
    assert_int_equal(c.model_count, 3);
    assert_int_equal(c.dataset_count, 1);
    assert_non_null(c.socket);
    assert_non_null(c.socket_group);
    assert_non_null(c.state);
    assert_non_null(c.worker);
    assert_int_equal(c.root_count, 2);
    assert_non_null(c.datasets[0].labels);
    assert_non_null(c.datasets[0].wnids);
    assert_true(c.models[0].has_float_top1);
    nq_config_free(&c);
    nq_config_free(&plain);
    free(text);
}

static void found_by_environment(void **state)
{
    (void)state;
    nq_config c;
    nq_error err = {0};
    char *home = nq_test_folder();
    char *folder = nq_path_join(home, ".config/netq");
    char *path = nq_path_join(folder, "netqd.conf");
    setenv("HOME", home, 1);
    unsetenv("NETQ_CONFIG");
    assert_ok(nq_dir_make(folder, 0700, &err), &err);
    assert_ok(nq_file_write_atomic(path, "[daemon]\njobs = 5\nstate = st\n", 28, &err), &err);
    assert_ok(nq_config_load(NULL, &c, &err), &err);
    assert_int_equal(c.jobs, 5);
    assert_non_null(strstr(c.state, "/.config/netq/st"));
    nq_config_free(&c);
    setenv("NETQ_CONFIG", "/nowhere/netqd.conf", 1);
    assert_refused(nq_config_load(NULL, &c, &err), NQ_ERR_MISSING, &err, "/nowhere/netqd.conf");
    nq_config_free(&c);
    assert_ok(nq_config_load(path, &c, &err), &err); /* --config wins */
    nq_config_free(&c);
    unsetenv("NETQ_CONFIG");
    assert_ok(nq_dir_remove(home, &err), &err);
    free(path);
    free(folder);
    free(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),        cmocka_unit_test(everything),
        cmocka_unit_test(complaints),      cmocka_unit_test(indentation),
        cmocka_unit_test(documented_file), cmocka_unit_test(found_by_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
