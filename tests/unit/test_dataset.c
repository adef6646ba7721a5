/* common/dataset, label_file, tree: which images there are, in which order, with which class. */
#include "tests/unit/scratch_root.h"

#include "common/dataset.h"
#include "common/file.h"
#include "common/label_file.h"

#include <unistd.h>

/* A file of `text` beneath root, with its folders. */
static void put(const char *path, const char *text)
{
    char *whole = nq_path_join(root, path), *slash = strrchr(whole, '/');
    nq_error err = {0};
    *slash = 0;
    assert_ok(nq_dir_make(whole, 0755, &err), &err);
    *slash = '/';
    assert_ok(nq_file_write_atomic(whole, text, strlen(text), &err), &err);
    free(whole);
}

static nq_status list(const char *path, const char *labels, const char *wnids, nq_dataset *d,
                      nq_error *err)
{
    return nq_dataset_list(root, path, labels, labels ? strlen(labels) : 0, wnids,
                           wnids ? strlen(wnids) : 0, d, err);
}

static void assert_images(const nq_dataset *d, const char *const *paths, const int *labels,
                          size_t count)
{
    assert_int_equal(d->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(d->images[i].path, paths[i]);
        assert_int_equal(d->images[i].label, labels[i]);
    }
}

/* The order is what torchvision 0.14's ImageFolder(...).samples gives for these names. */
static void folders_as_torchvision(void **state)
{
    (void)state;
    static const char *const order[] = {"a/10.JPEG",   "a/2.jpg",       "a/z.jpeg",  "a/x/1.jpg",
                                        "a/x-z/5.jpg", "a/x/y/0.jpg",   "a-b/m.jpg", "a-b/q/a.JPG",
                                        "b/Z.jpg",     "b/\xc3\xa4.jpg"};
    static const int labels[] = {0, 0, 0, 0, 0, 0, 1, 1, 2, 2};
    for (size_t i = 10; i-- > 0;) {
        char path[64];
        snprintf(path, sizeof path, "tv/%s", order[i]);
        put(path, "four" + i % 4);
    }
    put("tv/b/README.txt", "not an image");
    put("tv/b/.hidden.jpg", "nor this");
    put("tv/.cache/x.jpg", "nor this folder");
    put("tv/notes.txt", "nor this");
    nq_dataset d;
    nq_error err = {0};
    assert_ok(list("tv", NULL, NULL, &d, &err), &err);
    assert_images(&d, order, labels, 10);
    assert_int_equal(d.images[5].bytes, 3);
    assert_int_equal(d.class_count, 3);
    assert_string_equal(d.classes[1].name, "a-b");
    assert_int_equal(d.classes[0].images, 6);
    assert_int_equal(d.label_end, 3);
    assert_string_equal(d.path, "tv");
    assert_string_equal(d.root, root);
    nq_dataset_free(&d);
}

static void wnids_give_the_classes(void **state)
{
    (void)state;
    put("w/n03/1.JPEG", "x");
    put("w/n01/1.JPEG", "x");
    put("w/n02/1.JPEG", "x");
    static const char *const order[] = {"n01/1.JPEG", "n02/1.JPEG", "n03/1.JPEG"};
    static const int labels[] = {4, 0, 2};
    nq_dataset d;
    nq_error err = {0};
    assert_ok(list("w", NULL, "n02 tench, Tinca tinca\nn00\r\nn03\nn04\nn01 x\n\n", &d, &err),
              &err);
    assert_images(&d, order, labels, 3);
    assert_int_equal(d.class_count, 3);
    assert_string_equal(d.classes[0].name, "n02");
    assert_string_equal(d.classes[2].name, "n01");
    assert_int_equal(d.label_end, 5);
    nq_dataset_free(&d);

    static const int sorted[] = {0, 1, 2};
    assert_ok(list("w", NULL, "n10\nn11\n", &d, &err), &err);
    assert_images(&d, order, sorted, 3);
    nq_dataset_free(&d);

    assert_refused(list("w", NULL, "n01\nn03\n", &d, &err), NQ_ERR_INPUT, &err,
                   "folder n03 is in the class list and folder n02 is not");
    assert_refused(list("w", NULL, "n01\n\nn03\n", &d, &err), NQ_ERR_INPUT, &err,
                   "line 2 is blank");
    assert_refused(list("w", NULL, "n01\nn03\nn01\n", &d, &err), NQ_ERR_INPUT, &err,
                   "line 3: n01 stands on line 1");
}

static void label_files(void **state)
{
    (void)state;
    put("f/c.JPEG", "x");
    put("f/a.JPEG", "x");
    put("f/b b.jpg", "x");
    put("f/labels.txt", "x");
    static const char *const order[] = {"c.JPEG", "a.JPEG", "b b.jpg"};
    static const int labels[] = {3, 7, 7};
    nq_dataset d;
    nq_error err = {0};
    assert_ok(list("f", "a.JPEG 7\r\nb b.jpg\t7\n\n c.JPEG  3", NULL, &d, &err), &err);
    assert_images(&d, order, labels, 3);
    assert_int_equal(d.class_count, 2);
    assert_string_equal(d.classes[0].name, "3");
    assert_string_equal(d.classes[1].name, "7");
    assert_int_equal(d.classes[1].images, 2);
    assert_int_equal(d.label_end, 8);
    nq_dataset_free(&d);

    static const char *const refused[][2] = {
        {"490\n361\n171\n", "devkit"},
        {"a.JPEG 7\nb b.jpg 7\n", "no line for c.JPEG"},
        {"a.JPEG 7\nb b.jpg 7\nc.JPEG 1\na.JPEG 2\n", "line 4: a.JPEG stands on line 1"},
        {"a.JPEG 7\nb b.jpg 7\nc.JPEG\n", "line 3: \"NAME CLASS\""},
        {"a.JPEG -1\n", "line 1: \"NAME CLASS\""},
        {"a.JPEG 1000000\n", "from 0 to 999999"},
        {"a.JPEG 99999999999999999999\n", "from 0 to 999999"},
        {"\n \n", "no line"},
        {"", "no line"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_refused(list("f", refused[i][0], NULL, &d, &err), NQ_ERR_INPUT, &err, refused[i][1]);
    assert_refused(nq_dataset_list(root, "f", "a\0b 1\n", 6, NULL, 0, &d, &err), NQ_ERR_INPUT, &err,
                   "NUL byte at byte 1");
    put("f/deep/er.jpg", "x");
    assert_refused(list("f", "a.JPEG 7\n", NULL, &d, &err), NQ_ERR_INPUT, &err, "side by side");
}

/* The label file of the whole set, and only some of its images. */
static void labels_without_images(void **state)
{
    (void)state;
    nq_dataset d, part;
    nq_error err = {0};
    put("part/b.JPEG", "x");
    put("part/d.JPEG", "x");
    assert_ok(list("part", "b.JPEG 3\nd.JPEG 2\n", NULL, &d, &err), &err);
    assert_int_equal(d.unused_labels, 0);
    const char *whole = "a.JPEG 9\nb.JPEG 3\nc.JPEG 2\nd.JPEG 2\ne.JPEG 0\n";
    assert_ok(list("part", whole, NULL, &part, &err), &err);
    assert_int_equal(part.unused_labels, 3);
    assert_int_equal(part.count, 2);
    assert_string_equal(part.images[0].path, "d.JPEG");
    assert_int_equal(part.images[1].label, 3);
    assert_int_equal(part.label_end, 4);
    assert_memory_equal(part.fingerprint, d.fingerprint, sizeof d.fingerprint);
    nq_dataset_free(&part);
    nq_dataset_free(&d);
}

static void what_would_shift_lines(void **state)
{
    (void)state;
    nq_dataset d;
    nq_error err = {0};
    put("s/a/1.jpg", "x");
    put("s/b/1.PNG", "x");
    assert_refused(list("s", NULL, NULL, &d, &err), NQ_ERR_INPUT, &err, "b/1.PNG is an image");
    put("e/a/1.jpg", "x");
    put("e/b/readme.txt", "x");
    assert_refused(list("e", NULL, NULL, &d, &err), NQ_ERR_INPUT, &err, "class folder b has no");
    put("n/1.jpg", "x");
    assert_refused(list("n", NULL, NULL, &d, &err), NQ_ERR_INPUT, &err, "no class folders");
    assert_refused(list("nowhere", NULL, NULL, &d, &err), NQ_ERR_MISSING, &err, "nowhere");
    assert_refused(list("../x", NULL, NULL, &d, &err), NQ_ERR_DENIED, &err, "leaves");
}

static void links_are_refused(void **state)
{
    (void)state;
    nq_dataset d;
    nq_error err = {0};
    put("l/a/1.jpg", "x");
    char *link = nq_path_join(root, "l/a/2.jpg"), *folder = nq_path_join(root, "l/b");
    assert_int_equal(symlink("1.jpg", link), 0);
    assert_refused(list("l", NULL, NULL, &d, &err), NQ_ERR_DENIED, &err, "a/2.jpg is a symbolic");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("a", folder), 0);
    assert_refused(list("l", NULL, NULL, &d, &err), NQ_ERR_DENIED, &err, "b is a symbolic");
    free(link);
    free(folder);
}

static void too_deep(void **state)
{
    (void)state;
    char path[128] = "deep";
    for (int i = 0; i < 40; i++)
        strcat(path, "/d");
    strcat(path, "/1.jpg");
    put(path, "x");
    nq_dataset d;
    nq_error err = {0};
    assert_refused(list("deep", NULL, NULL, &d, &err), NQ_ERR_INPUT, &err, "deeper than 32");
}

/* The fingerprint by its documented formula; the stamp also knows when a file was written. */
static void fingerprint_and_stamp(void **state)
{
    (void)state;
    put("p/a/1.jpg", "xyz");
    put("p/b/2.jpg", "");
    nq_dataset d, again;
    nq_error err = {0};
    assert_ok(list("p", NULL, NULL, &d, &err), &err);
    static const char text[] = "a/1.jpg\0003\0000\nb/2.jpg\0000\0001\n";
    uint8_t want[NQ_SHA256_BYTES];
    nq_hash_bytes(text, sizeof text - 1, want);
    assert_memory_equal(d.fingerprint, want, sizeof want);

    usleep(20000);
    put("p/a/1.jpg", "abc");
    assert_ok(list("p", NULL, NULL, &again, &err), &err);
    assert_memory_equal(again.fingerprint, d.fingerprint, sizeof want);
    assert_memory_not_equal(again.stamp, d.stamp, sizeof want);
    nq_dataset_free(&again);

    put("p/a/1.jpg", "abcd");
    assert_ok(list("p", NULL, NULL, &again, &err), &err);
    assert_memory_not_equal(again.fingerprint, d.fingerprint, sizeof want);
    nq_dataset_free(&again);
    nq_dataset_free(&d);
}

/* Both layouts of the same images give the same order, hence the same output.txt. */
static void layouts_agree(void **state)
{
    (void)state;
    char labels[4096] = "";
    for (int i = 0; i < 60; i++) {
        char path[64];
        int class = i * 7 % 5;
        snprintf(path, sizeof path, "tree/n%d/%02d.JPEG", class, i);
        put(path, "x");
        snprintf(path, sizeof path, "flat/%02d.JPEG", i);
        put(path, "x");
        snprintf(labels + strlen(labels), sizeof labels - strlen(labels), "%02d.JPEG %d\n", i,
                 class);
    }
    nq_dataset tree, flat;
    nq_error err = {0};
    assert_ok(list("tree", NULL, NULL, &tree, &err), &err);
    assert_ok(list("flat", labels, NULL, &flat, &err), &err);
    assert_int_equal(tree.count, 60);
    assert_int_equal(flat.count, 60);
    for (size_t i = 0; i < 60; i++) {
        assert_string_equal(strchr(tree.images[i].path, '/') + 1, flat.images[i].path);
        assert_int_equal(tree.images[i].label, flat.images[i].label);
    }
    nq_dataset_free(&tree);
    nq_dataset_free(&flat);
}

/* The whole of val227 with its class list: 634 images of 464 classes. */
static void real_images(void **state)
{
    (void)state;
    const char *shared = nq_test_shared();
    if (!shared) {
        print_message("real_images is skipped: NETQ_SHARED is not set\n");
        skip();
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/data/wnids.txt", shared);
    uint8_t *wnids;
    size_t size;
    nq_error err = {0};
    assert_ok(nq_file_read(path, 1 << 20, &wnids, &size, &err), &err);
    snprintf(path, sizeof path, "%s/data", shared);
    nq_dataset d;
    assert_ok(nq_dataset_list(path, "val227", NULL, 0, (char *)wnids, size, &d, &err), &err);
    assert_int_equal(d.count, 634);
    assert_int_equal(d.class_count, 464);
    assert_true(d.label_end <= 1000);
    nq_dataset_free(&d);
    free(wnids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_as_torchvision),
        cmocka_unit_test(wnids_give_the_classes),
        cmocka_unit_test(label_files),
        cmocka_unit_test(labels_without_images),
        cmocka_unit_test(what_would_shift_lines),
        cmocka_unit_test(links_are_refused),
        cmocka_unit_test(too_deep),
        cmocka_unit_test(fingerprint_and_stamp),
        cmocka_unit_test(layouts_agree),
        cmocka_unit_test(real_images),
    };
    return cmocka_run_group_tests_name("dataset", tests, make_root, remove_root);
}
