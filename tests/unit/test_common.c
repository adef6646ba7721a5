/* common/: errors, files, hashes, random numbers, the pool. */
#include "tests/unit/nq_test.h"

#include "common/block.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/pool.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

static void error_sentences(void **state)
{
    (void)state;
    nq_error err = {0};
    assert_int_equal(nq_fail(&err, NQ_ERR_INPUT, "a\nb %d", 7), NQ_ERR_INPUT);
    assert_string_equal(err.text, "a?b 7");
    assert_int_equal(nq_error_prefix(&err, "file %s", "x"), NQ_ERR_INPUT);
    assert_string_equal(err.text, "file x: a?b 7");
    assert_int_equal(nq_fail_errno(&err, ENOSPC, "cannot write %s", "y"), NQ_ERR_IO);
    assert_string_equal(err.text, "cannot write y: No space left on device");
    nq_fail(&err, NQ_ERR_INPUT, "%s", "a\xc3\xa9\xff\xe2\x82\xac\xed\xa0\x80\xc0\xaf\xf0\x9f\x98");
    assert_string_equal(err.text, "a\xc3\xa9?\xe2\x82\xac????????");
    char big[2000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    nq_fail(&err, NQ_ERR_INPUT, "%s", big);
    nq_error_prefix(&err, "file");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(nq_fail(NULL, NQ_ERR_IO, "nobody listens"), NQ_ERR_IO);
}

static void put_file(const char *folder, const char *name, const char *text)
{
    char *path = nq_path_join(folder, name);
    nq_error err = {0};
    assert_ok(nq_file_write_atomic(path, text, strlen(text), &err), &err);
    free(path);
}

static void paths_stay_beneath(void **state)
{
    (void)state;
    nq_error err = {0};
    char *base = nq_test_folder();
    char *root = nq_path_join(base, "root"), *inner = nq_path_join(root, "in/ner");
    assert_ok(nq_dir_make(inner, 0755, &err), &err);
    put_file(base, "secret", "no");
    put_file(inner, "file", "yes");
    char *link = nq_path_join(root, "link"), *folder_link = nq_path_join(root, "folder");
    assert_int_equal(symlink("../secret", link), 0);
    assert_int_equal(symlink("in", folder_link), 0);
    char *pipe_name = nq_path_join(root, "pipe");
    assert_int_equal(mkfifo(pipe_name, 0600), 0);
    int fd;
    assert_ok(nq_file_open_beneath(root, "in/ner/file", O_RDONLY, &fd, &err), &err);
    close(fd);
    assert_ok(nq_file_open_beneath(root, "", O_RDONLY | O_DIRECTORY, &fd, &err), &err);
    close(fd);
    assert_refused(nq_file_open_beneath(root, "../secret", O_RDONLY, &fd, &err), NQ_ERR_DENIED,
                   &err, "leaves");
    assert_refused(nq_file_open_beneath(root, "in/../../secret", O_RDONLY, &fd, &err),
                   NQ_ERR_DENIED, &err, "leaves");
    assert_refused(nq_file_open_beneath(root, "link", O_RDONLY, &fd, &err), NQ_ERR_DENIED, &err,
                   "link");
    assert_refused(nq_file_open_beneath(root, "folder/ner/file", O_RDONLY, &fd, &err),
                   NQ_ERR_DENIED, &err, "link");
    assert_refused(nq_file_open_beneath(root, "/etc/passwd", O_RDONLY, &fd, &err), NQ_ERR_DENIED,
                   &err, "absolute");
    assert_refused(nq_file_open_beneath(root, "pipe", O_RDONLY, &fd, &err), NQ_ERR_DENIED, &err,
                   "neither");
    assert_refused(nq_file_open_beneath(root, "gone", O_RDONLY, &fd, &err), NQ_ERR_MISSING, &err,
                   "gone");
    assert_refused(nq_file_open_beneath(root, "in", O_RDONLY, &fd, &err), NQ_ERR_INPUT, &err,
                   "folder");
    assert_ok(nq_dir_remove(base, &err), &err);
    assert_int_equal(access(base, F_OK), -1);
    free(pipe_name), free(link), free(folder_link), free(inner), free(root), free(base);
}

static const char *failing_call;
static int fail_call(const char *call, const char *path)
{
    (void)path;
    return strcmp(call, failing_call) == 0 ? ENOSPC : 0;
}

static void writes_are_whole_or_not_at_all(void **state)
{
    (void)state;
    nq_error err = {0};
    char *base = nq_test_folder(), *path = nq_path_join(base, "f"),
         *temporary = nq_path_join(base, "f.tmp");
    put_file(base, "f", "old");
    const char *calls[] = {"write", "fsync", "rename"};
    for (int i = 0; i < 3; i++) {
        failing_call = calls[i];
        nq_file_fault = fail_call;
        assert_refused(nq_file_write_atomic(path, "newer", 5, &err), NQ_ERR_IO, &err, "No space");
        nq_file_fault = NULL;
        uint8_t *data;
        size_t size;
        assert_ok(nq_file_read(path, 100, &data, &size, &err), &err);
        assert_string_equal((char *)data, "old");
        free(data);
        assert_int_equal(access(temporary, F_OK), -1);
    }
    uint8_t *data;
    size_t size;
    assert_refused(nq_file_read(path, 2, &data, &size, &err), NQ_ERR_INPUT, &err, "3 bytes");
    nq_dir_remove(base, &err);
    free(path), free(temporary), free(base);
}

static void sha256_of_abc(void **state)
{
    (void)state;
    uint8_t digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    nq_hash_bytes("abc", 3, digest);
    nq_hash_text(digest, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(nq_crc32("123456789", 9), 0xCBF43926u);
}

static void sampler_order(void **state)
{
    (void)state;
    static uint32_t order[50000];
    nq_random_permutation(1562, 50000, order);
    const uint32_t first[8] = {30919, 43038, 47495, 19666, 29032, 49388, 12973, 12452};
    const uint32_t last[4] = {30934, 16417, 47991, 10748};
    assert_memory_equal(order, first, sizeof first);
    assert_memory_equal(order + 49996, last, sizeof last);
}

/* Known answers of Random123's kat_vectors for philox4x32-10: counter and key zero. */
static void philox_known_answer(void **state)
{
    (void)state;
    nq_random r;
    nq_random_init(&r, 0, 0);
    const uint32_t want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    for (int i = 0; i < 4; i++)
        assert_int_equal(nq_random_u32(&r), want[i]);
}

static void normals_are_normal(void **state)
{
    (void)state;
    assert_true(fabs(nq_normal_quantile(0.975) - 1.959963984540054) < 1e-14);
    assert_true(fabs(nq_normal_quantile(1e-10) + 6.361340902404056) < 1e-13);
    assert_true(nq_normal_quantile(0.5) == 0);
    for (double x = 1e-300; x < 1e300; x *= 3.7)
        assert_true(fabs(nq_portable_log(x) - log(x)) <= 4e-16 * fabs(log(x)) + 1e-16);
    nq_random r;
    nq_random_init(&r, 7, 3);
    double sum = 0, squares = 0;
    const int n = 200000;
    for (int i = 0; i < n; i++) {
        double v = nq_random_normal(&r);
        sum += v;
        squares += v * v;
    }
    assert_true(fabs(sum / n) < 0.01);
    assert_true(fabs(squares / n - 1) < 0.02);
}

typedef struct {
    atomic_int seen[1000];
    int fail_from;
} pool_job;

static nq_status pool_item(void *context, size_t item, int thread, nq_error *err)
{
    pool_job *job = context;
    (void)thread;
    atomic_fetch_add(&job->seen[item], 1);
    if (job->fail_from >= 0 && item >= (size_t)job->fail_from)
        return nq_fail(err, NQ_ERR_INPUT, "item %zu", item);
    return NQ_OK;
}

static void pool_does_each_item_once(void **state)
{
    (void)state;
    nq_error err = {0};
    for (int threads = 1; threads <= 4; threads++) {
        nq_pool *pool;
        assert_ok(nq_pool_create(threads, &pool, &err), &err);
        for (int round = 0; round < 20; round++) {
            pool_job job = {.fail_from = -1};
            assert_ok(nq_pool_run(pool, 1000, pool_item, &job, &err), &err);
            for (int i = 0; i < 1000; i++)
                assert_int_equal(atomic_load(&job.seen[i]), 1);
            job = (pool_job){.fail_from = 100};
            assert_refused(nq_pool_run(pool, 1000, pool_item, &job, &err), NQ_ERR_INPUT, &err,
                           "item 100");
            assert_int_equal(atomic_load(&job.seen[999]), 0);
        }
        nq_pool_free(pool);
    }
}

static void blocks_are_aligned(void **state)
{
    (void)state;
    const size_t bytes[] = {0, 1, 4097, (1 << 20) - 1, 1 << 20, (2 << 20) + 1};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        uint8_t *block = nq_block_alloc(bytes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (bytes[i] < 1 << 20 ? 64 : 2 << 20), 0);
        memset(block, 1, bytes[i]);
        free(block);
    }
    assert_null(nq_block_alloc((size_t)-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_sentences),
        cmocka_unit_test(paths_stay_beneath),
        cmocka_unit_test(writes_are_whole_or_not_at_all),
        cmocka_unit_test(sha256_of_abc),
        cmocka_unit_test(sampler_order),
        cmocka_unit_test(philox_known_answer),
        cmocka_unit_test(normals_are_normal),
        cmocka_unit_test(blocks_are_aligned),
        cmocka_unit_test(pool_does_each_item_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
