/* server/inputs, common/content: finding and freezing the files of a job. */
#include "tests/unit/nq_test.h"

#include "common/content.h"
#include "common/file.h"
#include "server/inputs.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *folder;
static nq_config config;

static char *put(const char *name, const char *text)
{
    nq_error err = {0};
    char *path = nq_path_join(folder, name), *parent = strdup(path);
    *strrchr(parent, '/') = 0;
    assert_ok(nq_dir_make(parent, 0755, &err), &err);
    assert_ok(nq_file_write_atomic(path, text, strlen(text), &err), &err);
    free(parent);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    nq_error err = {0};
    static const char text[] = "[limits]\nroots = share:more\n[model mine]\narch = resnet18\n"
                               "checkpoint = models/link.pth\n[dataset d]\npath = images\n"
                               "[dataset e]\npath = images\nwnids = classes.txt\n";
    umask(022);
    folder = nq_test_folder();
    chmod(folder, 0755);
    free(put("models/real.pth", "weights"));
    free(put("images/a/1.jpg", "x"));
    free(put("classes.txt", "b\na\n"));
    free(put("images/b/1.jpg", "y"));
    free(put("share/m.pth", "other weights"));
    free(put("share/set/1.jpg", "z"));
    free(put("more/only-here.npy", "samples"));
    char *link = nq_path_join(folder, "models/link.pth");
    int bad = symlink("real.pth", link) != 0;
    free(link);
    return bad || nq_config_parse(text, strlen(text), "conf", folder, &config, &err) != NQ_OK;
}

static int tear_down(void **state)
{
    (void)state;
    nq_error err = {0};
    int bad = nq_dir_remove(folder, &err) != NQ_OK;
    nq_config_free(&config);
    free(folder);
    return bad;
}

static nq_spec spec_of(const char *json)
{
    nq_spec spec;
    nq_error err = {0};
    json_t *written = json_loads(json, 0, NULL);
    assert_ok(nq_spec_resolve(written, &spec, &err), &err);
    json_decref(written);
    return spec;
}

static nq_status find(const char *json, nq_inputs *in, nq_error *err)
{
    nq_spec spec = spec_of(json);
    return nq_inputs_find(&config, &spec, in, err);
}

static void names_of_the_configuration(void **state)
{
    (void)state;
    nq_inputs in;
    nq_error err = {0};
    assert_ok(find("{\"model\":\"mine\",\"dataset\":\"d\"}", &in, &err), &err);
    assert_string_equal(in.arch, "resnet18");
    assert_string_equal(in.checkpoint.path, "real.pth"); /* the administrator's link is followed */
    assert_string_equal(in.dataset.path, "");
    assert_null(in.labels.root);
    assert_null(in.calibration.root);
    nq_inputs_free(&in);
    assert_refused(find("{\"model\":\"min\",\"dataset\":\"d\"}", &in, &err), NQ_ERR_MISSING, &err,
                   "the nearest is mine");
    nq_inputs_free(&in);
    assert_refused(find("{\"model\":\"resnet18\",\"dataset\":\"d\"}", &in, &err), NQ_ERR_MISSING,
                   &err, "does not name resnet18");
    nq_inputs_free(&in);
}

/* A folder that a client names is labelled as the configuration's datasets are. */
static void class_list_of_a_named_folder(void **state)
{
    (void)state;
    nq_inputs in;
    nq_error err = {0};
    assert_ok(find("{\"model\":\"mine\",\"dataset_path\":\"set\"}", &in, &err), &err);
    assert_string_equal(in.dataset.path, "set");
    assert_string_equal(in.wnids.path, "classes.txt");
    nq_inputs_free(&in);
    assert_ok(find("{\"model\":\"mine\",\"dataset\":\"d\"}", &in, &err), &err);
    assert_null(in.wnids.root);
    nq_inputs_free(&in);
}

static void paths_below_roots(void **state)
{
    (void)state;
    nq_inputs in;
    nq_error err = {0};
    assert_ok(
        find("{\"model\":\"resnet18\",\"checkpoint\":\"m.pth\",\"dataset\":\"d\"}", &in, &err),
        &err);
    assert_string_equal(in.checkpoint.path, "m.pth");
    assert_string_equal(in.checkpoint.root, config.roots[0]);
    nq_inputs_free(&in);
    /* Not in the first root, but in the second. */
    assert_ok(find("{\"model\":\"mine\",\"dataset\":\"d\",\"calibrate\":{\"source\":\"file\","
                   "\"file\":\"only-here.npy\"}}",
                   &in, &err),
              &err);
    assert_string_equal(in.calibration.root, config.roots[1]);
    nq_inputs_free(&in);
    assert_refused(find("{\"model\":\"mine\",\"dataset\":\"d\",\"calibrate\":{\"source\":\"file\","
                        "\"file\":\"/etc/passwd\"}}",
                        &in, &err),
                   NQ_ERR_DENIED, &err, "calibrate.file: /etc/passwd lies under none");
    nq_inputs_free(&in);
}

static void freezing(void **state)
{
    (void)state;
    nq_inputs in;
    nq_error err = {0};
    nq_input_cache *cache;
    nq_job job = {0}, again = {0};
    assert_ok(nq_input_cache_new(&cache, &err), &err);
    nq_spec spec = spec_of("{\"model\":\"mine\",\"dataset\":\"d\",\"limit\":1}");
    assert_ok(nq_inputs_find(&config, &spec, &in, &err), &err);
    assert_ok(nq_inputs_freeze(cache, &spec, &in, &job, &err), &err);
    assert_int_equal(job.checkpoint_bytes, 7);
    assert_int_equal(job.dataset_images, 2);
    assert_true(job.partial);
    assert_int_equal(job.weights_bits, 8);
    assert_int_equal(strlen(job.fingerprint), 64);
    char *path = put("models/real.pth", "WEIGHTS"); /* same length, other bytes */
    nq_inputs_free(&in);
    assert_ok(nq_inputs_find(&config, &spec, &in, &err), &err);
    assert_ok(nq_inputs_freeze(cache, &spec, &in, &again, &err), &err);
    assert_string_not_equal(job.checkpoint_sha256, again.checkpoint_sha256);
    assert_string_not_equal(job.fingerprint, again.fingerprint);
    assert_string_equal(job.dataset_fingerprint, again.dataset_fingerprint);
    free(path);
    nq_inputs_free(&in);
    nq_job_clear(&job);
    nq_job_clear(&again);
    nq_input_cache_free(cache);
}

/* What is in the cache is believed only while the file looks the same. */
static void hash_cache(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_input_cache *cache;
    char first[NQ_SHA256_TEXT], second[NQ_SHA256_TEXT];
    int64_t bytes;
    char *path = put("share/old", "old bytes");
    struct timespec old[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    nq_place place = {config.roots[0], "old"};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_ok(nq_input_cache_new(&cache, &err), &err);
    assert_ok(nq_inputs_hash_file(cache, &place, first, &bytes, &err), &err);
    assert_ok(nq_inputs_hash_file(cache, &place, second, &bytes, &err), &err);
    assert_string_equal(first, second);
    assert_int_equal(bytes, 9);
    /* In place, with the same length, and the time put back: the inode's change time tells. */
    FILE *f = fopen(path, "r+");
    fputs("new", f);
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_ok(nq_inputs_hash_file(cache, &place, second, &bytes, &err), &err);
    assert_string_not_equal(first, second);
    nq_input_cache_free(cache);
    free(path);
}

static void content(void **state)
{
    (void)state;
    nq_error err = {0};
    char file[NQ_SHA256_TEXT], a[NQ_SHA256_TEXT], b[NQ_SHA256_TEXT];
    assert_ok(nq_content_hash(folder, "share/m.pth", file, &err), &err);
    uint8_t digest[NQ_SHA256_BYTES];
    nq_hash_bytes("other weights", 13, digest);
    nq_hash_text(digest, a);
    assert_string_equal(file, a);
    assert_ok(nq_content_hash(folder, "images", a, &err), &err);
    nq_hash_bytes("a/1.jpg\0001\nb/1.jpg\0001\n", 20, digest);
    nq_hash_text(digest, b);
    assert_string_equal(a, b);
    free(put("images/b/1.jpg", "longer"));
    assert_ok(nq_content_hash(folder, "images", b, &err), &err);
    assert_string_not_equal(a, b);
    assert_refused(nq_content_hash(folder, "nowhere", a, &err), NQ_ERR_MISSING, &err, "nowhere");
    assert_refused(nq_content_hash(folder, "../x", a, &err), NQ_ERR_DENIED, &err, "leaves");
}

int main(void)
{
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(names_of_the_configuration),
        WITH_FOLDER(class_list_of_a_named_folder),
        WITH_FOLDER(paths_below_roots),
        WITH_FOLDER(freezing),
        WITH_FOLDER(hash_cache),
        WITH_FOLDER(content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
