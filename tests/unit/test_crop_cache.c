/* common/crop_cache: what is kept comes back; what is damaged, changed or cut is not believed. */
#include "tests/unit/scratch_root.h"

#include "common/checksum.h"
#include "common/crop_cache.h"
#include "common/crop_folder.h"
#include "common/crop_format.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGES 5
#define MB     1000000ull

static nq_image_file images[IMAGES];
static nq_dataset dataset;

/* A dataset of that many images, told from others by `seed`. */
static void make_dataset(uint8_t seed, size_t count)
{
    dataset = (nq_dataset){.root = "/data", .path = "set", .images = images, .count = count};
    memset(dataset.fingerprint, seed, sizeof dataset.fingerprint);
    for (size_t i = 0; i < count; i++)
        images[i] = (nq_image_file){.identity = 1000u * seed + i};
}

static nq_crop_cache *open_in(uint64_t limit, uint64_t keep_free)
{
    static nq_crop_place place;
    nq_error err = {0};
    nq_crop_cache *cache = NULL;
    place = (nq_crop_place){.directory = root, .limit = limit, .keep_free = keep_free};
    assert_ok(
        nq_crop_cache_open(&place, &dataset, "pictures", (uint32_t)dataset.count, &cache, &err),
        &err);
    return cache;
}

static nq_crop_cache *open_cache(void)
{
    return open_in(1000 * MB, 0);
}

static const uint8_t *crop_of(uint32_t record, uint8_t *digest)
{
    static uint8_t crop[NQ_CACHED_CROP];
    for (size_t i = 0; i < sizeof crop; i++)
        crop[i] = (uint8_t)(i * (record + 3) + i / 251);
    memset(digest, (int)record + 1, NQ_CACHED_DIGEST);
    return crop;
}

static void store(nq_crop_cache *cache, uint32_t record)
{
    uint8_t digest[NQ_CACHED_DIGEST];
    const uint8_t *crop = crop_of(record, digest);
    nq_crop_cache_write(cache, record, images[record].identity, digest, crop);
}

/* The record is there, to the byte. */
static bool comes_back(nq_crop_cache *cache, uint32_t record)
{
    static uint8_t got[NQ_CACHED_CROP];
    uint8_t digest[NQ_CACHED_DIGEST], want_digest[NQ_CACHED_DIGEST];
    if (!nq_crop_cache_read(cache, record, images[record].identity, got, digest))
        return false;
    const uint8_t *want = crop_of(record, want_digest);
    assert_memory_equal(got, want, NQ_CACHED_CROP);
    assert_memory_equal(digest, want_digest, NQ_CACHED_DIGEST);
    return true;
}

static char *path_of_cache(void)
{
    char name[NQ_SHA256_TEXT];
    nq_crop_file_name(&dataset, name);
    return nq_path_join(root, name);
}

static void fill_and_close(void)
{
    nq_crop_cache *cache = open_cache();
    for (uint32_t i = 0; i < dataset.count; i++)
        store(cache, i);
    nq_crop_cache_close(cache);
}

static void flip_byte(uint64_t offset)
{
    char *path = path_of_cache();
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
    free(path);
}

static void kept_crops_come_back(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    nq_crop_cache *cache = open_cache();
    assert_false(comes_back(cache, 2));
    store(cache, 2);
    assert_true(comes_back(cache, 2));
    assert_true(nq_crop_cache_has(cache, 2, images[2].identity));
    assert_false(nq_crop_cache_has(cache, 3, images[3].identity));
    nq_crop_cache_close(cache);
    cache = open_cache();
    assert_true(comes_back(cache, 2));
    assert_false(comes_back(cache, 0));
    nq_crop_counts counts = nq_crop_cache_counts(cache);
    assert_int_equal(counts.read, 1);
    assert_int_equal(counts.absent, 1);
    assert_int_equal(counts.stale + counts.damaged + counts.stored, 0);
    nq_crop_cache_close(cache);
}

static void a_changed_image_is_stale(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    fill_and_close();
    images[1].identity++;
    nq_crop_cache *cache = open_cache();
    assert_false(comes_back(cache, 1));
    assert_true(comes_back(cache, 0));
    assert_int_equal(nq_crop_cache_counts(cache).stale, 1);
    store(cache, 1);
    assert_true(comes_back(cache, 1));
    nq_crop_cache_close(cache);
}

static void another_dataset_is_another_file(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    fill_and_close();
    make_dataset(2, IMAGES);
    nq_crop_cache *cache = open_cache();
    assert_false(comes_back(cache, 0));
    nq_crop_cache_close(cache);
    make_dataset(1, IMAGES);
    cache = open_cache();
    assert_true(comes_back(cache, 0));
    nq_crop_cache_close(cache);
    dataset.path = "copy"; /* of the same names and sizes, elsewhere */
    cache = open_cache();
    assert_false(comes_back(cache, 0));
    nq_crop_cache_close(cache);
    dataset.root = "/data/set"; /* the same folder, found another way */
    dataset.path = "";
    cache = open_cache();
    assert_true(comes_back(cache, 0));
    nq_crop_cache_close(cache);
}

/* Every byte of every field that the reader looks at, and some of the crop. */
static void no_damaged_byte_is_believed(void **state)
{
    (void)state;
    make_dataset(1, 2);
    uint64_t data = nq_crop_data_offset(2);
    uint64_t places[256];
    size_t n = 0;
    for (uint64_t i = 0; i < sizeof(nq_crop_header) + sizeof(nq_crop_entry); i++)
        places[n++] = i;
    for (uint64_t i = 0; i < NQ_CACHED_CROP; i += 2003)
        places[n++] = data + i;
    for (size_t i = 0; i < n; i++) {
        fill_and_close();
        flip_byte(places[i]);
        nq_crop_cache *cache = open_cache();
        if (comes_back(cache, 0))
            fail_msg("byte %d was changed and nobody noticed", (int)places[i]);
        bool in_header = places[i] < sizeof(nq_crop_header);
        assert_int_equal(comes_back(cache, 1), !in_header); /* a damaged header: all anew */
        assert_int_equal(nq_crop_cache_counts(cache).damaged, !in_header);
        store(cache, 0);
        assert_true(comes_back(cache, 0));
        nq_crop_cache_close(cache);
    }
}

static void a_cut_file_is_made_anew(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    const off_t lengths[] = {0,
                             1,
                             sizeof(nq_crop_header),
                             NQ_CROP_PAGE,
                             (off_t)nq_crop_file_bytes(IMAGES) - 1,
                             (off_t)nq_crop_file_bytes(IMAGES) + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        fill_and_close();
        char *path = path_of_cache();
        assert_int_equal(truncate(path, lengths[i]), 0);
        nq_crop_cache *cache = open_cache();
        assert_false(comes_back(cache, IMAGES - 1));
        store(cache, IMAGES - 1);
        assert_true(comes_back(cache, IMAGES - 1));
        nq_crop_cache_close(cache);
        free(path);
    }
}

/* A mapped page that is gone reads as zeros, which no checksum fits, and ends nothing. */
static void a_file_cut_while_it_is_read_is_damaged(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    fill_and_close();
    nq_crop_cache *cache = open_cache();
    char *path = path_of_cache();
    assert_int_equal(truncate(path, (off_t)nq_crop_data_offset(IMAGES) + NQ_CACHED_CROP), 0);
    assert_true(comes_back(cache, 0));
    assert_false(comes_back(cache, 1));
    assert_false(comes_back(cache, IMAGES - 1));
    assert_int_equal(nq_crop_cache_counts(cache).damaged, 2);
    nq_crop_cache_close(cache);
    free(path);
}

static int disk_is_full(const char *call, const char *path)
{
    return strcmp(call, "write") == 0 && strstr(path, NQ_CROP_SUFFIX) ? ENOSPC : 0;
}

static void a_full_disk_ends_the_storing_alone(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    nq_crop_cache *cache = open_cache();
    store(cache, 0);
    nq_file_fault = disk_is_full;
    store(cache, 1);
    nq_file_fault = NULL;
    store(cache, 2);
    assert_true(comes_back(cache, 0));
    assert_false(comes_back(cache, 1));
    assert_false(comes_back(cache, 2));
    nq_crop_counts counts = nq_crop_cache_counts(cache);
    assert_true(counts.full);
    assert_int_equal(counts.stored, 1);
    nq_crop_cache_close(cache);
    nq_dir_remove(root, &(nq_error){0});
    nq_file_fault = disk_is_full;
    nq_crop_place place = {.directory = root, .limit = MB};
    nq_error err = {0};
    assert_refused(nq_crop_cache_open(&place, &dataset, "pictures", 1, &cache, &err), NQ_ERR_IO,
                   &err, "No space left");
    nq_file_fault = NULL;
    assert_null(cache);
    size_t count;
    nq_crop_file *files;
    assert_ok(nq_crop_folder_list(root, &files, &count, &err), &err);
    assert_int_equal(count, 0);
    free(files);
}

static void the_limit_holds(void **state)
{
    (void)state;
    make_dataset(1, IMAGES);
    nq_crop_cache *cache = open_in(2 * NQ_CACHED_CROP + 50000, 0);
    for (uint32_t i = 0; i < IMAGES; i++)
        store(cache, i);
    assert_true(comes_back(cache, 1));
    assert_false(comes_back(cache, 2));
    assert_true(nq_crop_cache_counts(cache).full);
    nq_crop_cache_close(cache);
    cache = open_in(1000 * MB, UINT64_MAX); /* the disk is wanted by others */
    store(cache, 3);
    assert_false(comes_back(cache, 3));
    nq_crop_cache_close(cache);
}

/* The cache that was not used for the longest time makes room; one that is open stays. */
static void the_longest_unused_goes(void **state)
{
    (void)state;
    size_t count;
    nq_crop_file *files;
    nq_error err = {0};
    for (uint8_t seed = 1; seed <= 3; seed++) {
        make_dataset(seed, IMAGES);
        fill_and_close();
    }
    make_dataset(2, IMAGES);
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char *path = path_of_cache();
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    free(path);
    make_dataset(1, IMAGES);
    nq_crop_cache *busy = open_cache();
    make_dataset(4, IMAGES);
    nq_crop_cache *cache = open_in(3 * IMAGES * NQ_CACHED_CROP + 200000, 0);
    store(cache, 0);
    assert_true(comes_back(cache, 0));
    assert_ok(nq_crop_folder_list(root, &files, &count, &err), &err);
    assert_int_equal(count, 3);
    for (uint8_t seed = 1; seed <= 4; seed++) {
        char name[NQ_SHA256_TEXT];
        make_dataset(seed, IMAGES);
        nq_crop_file_name(&dataset, name);
        size_t i = 0;
        while (i < count && strcmp(files[i].file, name) != 0)
            i++;
        assert_int_equal(i < count, seed != 2);
        if (seed == 2)
            continue;
        assert_int_equal(files[i].in_use, seed != 3);
        assert_string_equal(files[i].name, "pictures");
        assert_int_equal(files[i].filled, seed == 4 ? 1 : IMAGES);
        assert_true(seed == 4 || files[i].bytes >= IMAGES * NQ_CACHED_CROP);
    }
    free(files);
    nq_crop_cache_close(cache);
    nq_crop_cache_close(busy);
}

static void a_survey_tells_valid_from_stale(void **state)
{
    (void)state;
    uint32_t valid, stale, *order;
    nq_error err = {0};
    make_dataset(1, IMAGES);
    assert_ok(nq_crop_folder_survey(root, &dataset, &valid, &stale, &err), &err);
    assert_int_equal(valid + stale, 0);
    assert_ok(nq_dataset_order(&dataset, &order, &err), &err);
    nq_crop_cache *cache = open_cache();
    uint8_t digest[NQ_CACHED_DIGEST];
    for (uint32_t i = 0; i < 4; i++)
        nq_crop_cache_write(cache, i, images[order[i]].identity, digest, crop_of(i, digest));
    nq_crop_cache_close(cache);
    images[order[0]].identity = 77;
    assert_ok(nq_crop_folder_survey(root, &dataset, &valid, &stale, &err), &err);
    assert_int_equal(valid, 3);
    assert_int_equal(stale, 1);
    free(order);
}

static void removing_takes_caches_alone(void **state)
{
    (void)state;
    nq_error err = {0};
    make_dataset(1, IMAGES);
    fill_and_close();
    char *path = path_of_cache(), *mine = nq_path_join(root, "mine.txt");
    assert_ok(nq_file_write_atomic(mine, "x", 1, &err), &err);
    assert_refused(nq_crop_folder_remove(root, "mine.txt", &err), NQ_ERR_INPUT, &err,
                   "no crop cache");
    assert_refused(nq_crop_folder_remove(root, "../a.crops", &err), NQ_ERR_INPUT, &err,
                   "no crop cache");
    assert_ok(nq_crop_folder_remove(root, strrchr(path, '/') + 1, &err), &err);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(access(mine, F_OK), 0);
    free(path);
    free(mine);
}

/* A maker that was killed leaves a file that is named by its number. */
static void leftovers_of_the_dead_go(void **state)
{
    (void)state;
    char dead[512], alive[512];
    make_dataset(1, IMAGES);
    char *path = path_of_cache();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    snprintf(dead, sizeof dead, "%s.%d", path, (int)child);
    snprintf(alive, sizeof alive, "%s.%d", path, (int)getppid());
    close(open(dead, O_CREAT | O_WRONLY, 0600));
    close(open(alive, O_CREAT | O_WRONLY, 0600));
    int ended;
    while (waitpid(child, &ended, 0) != child)
        ;
    nq_crop_cache_close(open_cache());
    assert_int_not_equal(access(dead, F_OK), 0);
    assert_int_equal(access(alive, F_OK), 0);
    free(path);
}

static void checksums_are_castagnolis(void **state)
{
    (void)state;
    static uint8_t from[NQ_CACHED_CROP], to[NQ_CACHED_CROP], plain[NQ_CACHED_CROP];
    uint32_t a[NQ_CHECKSUM_LANES], b[NQ_CHECKSUM_LANES];
    nq_checksum_copy(NULL, "12345678123456781234567812345678", 32, a);
    for (int l = 0; l < NQ_CHECKSUM_LANES; l++)
        assert_int_equal(a[l], 0x6087809a);
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * i >> 3);
    nq_checksum_copy(to, from, sizeof from, a);
    nq_checksum_copy_plain(plain, from, sizeof from, b);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(to, from, sizeof from);
    assert_memory_equal(plain, from, sizeof from);
    nq_checksum_copy_plain(NULL, from, sizeof from, b);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(kept_crops_come_back),
        IN_FOLDER(a_changed_image_is_stale),
        IN_FOLDER(another_dataset_is_another_file),
        IN_FOLDER(no_damaged_byte_is_believed),
        IN_FOLDER(a_cut_file_is_made_anew),
        IN_FOLDER(a_file_cut_while_it_is_read_is_damaged),
        IN_FOLDER(a_full_disk_ends_the_storing_alone),
        IN_FOLDER(the_limit_holds),
        IN_FOLDER(the_longest_unused_goes),
        IN_FOLDER(a_survey_tells_valid_from_stale),
        IN_FOLDER(removing_takes_caches_alone),
        IN_FOLDER(leftovers_of_the_dead_go),
        cmocka_unit_test(checksums_are_castagnolis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
