/* Distilled images that jobs share: what tells two sets apart, and what is believed. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "worker/shared_images.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static const char images[] = "not really images";

static nq_job_file job_of(char *folder, const char *seed)
{
    nq_job_file job = {.arch = "resnet18", .shared_images = {folder, "calibration"}};
    nq_error err = {0};
    json_t *spec = json_pack("{s:s, s:s, s:{s:s}}", "model", "m", "preset", "w8a8", "calibrate",
                             "source", "distill");
    assert_ok(nq_spec_set(spec, "calibrate.seed", seed, &err), &err);
    assert_ok(nq_spec_resolve(spec, &job.spec, &err), &err);
    json_decref(spec);
    memset(job.checkpoint_sha256, 'a', NQ_SHA256_TEXT - 1);
    return job;
}

static ino_t inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static void same_key_same_file(void **state)
{
    (void)state;
    nq_error err = {0};
    char *folder = nq_test_folder(), *made = nq_path_join(folder, "made"),
         *mine = nq_path_join(folder, "mine");
    nq_job_file job = job_of(folder, "1");
    assert_ok(nq_file_write_atomic(made, images, sizeof images, &err), &err);
    assert_false(nq_shared_images_take(&job, mine));
    nq_shared_images_keep(&job, made);
    nq_shared_images_keep(&job, made); /* once more does no harm */
    assert_ok(nq_file_write_atomic(mine, "older", 5, &err), &err);
    job.spec.weights.bits = 4;
    assert_true(nq_shared_images_take(&job, mine));
    assert_int_equal(inode(mine), inode(made));

    nq_job_file others[3] = {job_of(folder, "2"), job_of(folder, "1"), job_of(folder, "1")};
    others[1].checkpoint_sha256[5] = 'b';
    snprintf(others[2].arch, sizeof others[2].arch, "mobilenet_v2");
    for (int i = 0; i < 3; i++)
        assert_false(nq_shared_images_take(&others[i], mine));
    assert_int_equal(inode(mine), inode(made)); /* left alone */

    nq_job_file by_hand = job_of(NULL, "1");
    assert_false(nq_shared_images_take(&by_hand, mine));
    nq_shared_images_keep(&by_hand, made);
    nq_dir_remove(folder, &err);
    free(made), free(mine), free(folder);
}

static void damaged_files_are_removed(void **state)
{
    (void)state;
    nq_error err = {0};
    char *folder = nq_test_folder(), *made = nq_path_join(folder, "made"),
         *mine = nq_path_join(folder, "mine"), *shared = nq_path_join(folder, "calibration");
    nq_job_file job = job_of(folder, "1");
    assert_ok(nq_file_write_atomic(made, images, sizeof images, &err), &err);
    nq_shared_images_keep(&job, made);
    FILE *f = fopen(made, "r+"); /* the same file by its other name */
    assert_non_null(f);
    fputc('N', f);
    fclose(f);
    assert_false(nq_shared_images_take(&job, mine));
    assert_int_equal(inode(mine), 0);
    DIR *dir = opendir(shared);
    int entries = 0;
    while (readdir(dir))
        entries++;
    closedir(dir);
    assert_int_equal(entries, 2); /* . and .. */
    nq_dir_remove(folder, &err);
    free(made), free(mine), free(shared), free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_key_same_file),
        cmocka_unit_test(damaged_files_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
