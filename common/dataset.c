#include "common/dataset.h"

#include "common/label_file.h"
#include "common/random.h"
#include "common/tree.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An image while the list is made. */
typedef struct {
    nq_tree_entry *entry; /* its path moves to the dataset at the end */
    size_t first_part;    /* length of the first part of the path: the class folder, or the name */
    size_t parent;        /* length of the path without the name */
    int32_t label;
} found;

typedef struct {
    const char *folder; /* for sentences */
    nq_tree tree;
    found *images;
    size_t count;
    nq_dataset *dataset;
    nq_error *err;
} lister;

static int compare_parts(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

/* torchvision's ImageFolder: classes by name; in a class folders by their whole path, whatever
 * their depth; in a folder files by name. */
static int compare_in_folders(const void *a, const void *b)
{
    const found *x = a, *y = b;
    const char *p = x->entry->path, *q = y->entry->path;
    int order = compare_parts(p, x->first_part, q, y->first_part);
    if (!order)
        order = compare_parts(p, x->parent, q, y->parent);
    return order ? order : strcmp(p + x->parent, q + y->parent);
}

/* The order that the same images have in folders named by class. */
static int compare_by_label(const void *a, const void *b)
{
    const found *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return strcmp(x->entry->path, y->entry->path);
}

static int compare_class_names(const void *a, const void *b)
{
    return strcmp(((const nq_class *)a)->name, ((const nq_class *)b)->name);
}

static bool in_subfolder(const nq_tree_entry *e)
{
    return strchr(e->path, '/') != NULL;
}

static nq_status take_image(lister *l, nq_tree_entry *e)
{
    if (nq_name_kind_of(e->path) == NQ_NAME_OTHER)
        return NQ_OK;
    if (nq_name_kind_of(e->path) == NQ_NAME_OTHER_IMAGE)
        return nq_fail(l->err, NQ_ERR_INPUT,
                       "%s: %s is an image but no .jpg or .jpeg: leaving it out would shift every "
                       "line of output.txt; convert or remove it",
                       l->folder, e->path);
    const char *slash = strrchr(e->path, '/');
    l->images[l->count++] = (found){.entry = e,
                                    .first_part = strcspn(e->path, "/"),
                                    .parent = slash ? (size_t)(slash - e->path) : 0};
    return NQ_OK;
}

/* The images of the tree: those in folders, or those that lie flat. */
static nq_status take_images(lister *l, bool flat)
{
    l->images = malloc((l->tree.count + 1) * sizeof *l->images);
    if (!l->images)
        return nq_fail_nomem(l->err, "a list of images", l->tree.count * sizeof *l->images);
    for (size_t i = 0; i < l->tree.count; i++) {
        nq_tree_entry *e = &l->tree.entries[i];
        if (e->folder || (!flat && !in_subfolder(e)))
            continue;
        nq_status status = take_image(l, e);
        if (status != NQ_OK)
            return status;
        if (flat && in_subfolder(e) && nq_name_kind_of(e->path) == NQ_NAME_JPEG)
            return nq_fail(l->err, NQ_ERR_INPUT,
                           "%s: %s lies in a folder of its own; with a label file all images lie "
                           "side by side",
                           l->folder, e->path);
    }
    return NQ_OK;
}

/* The class folders, sorted by name. */
static nq_status list_class_folders(lister *l)
{
    nq_dataset *d = l->dataset;
    for (size_t i = 0; i < l->tree.count; i++)
        d->class_count += l->tree.entries[i].folder && !in_subfolder(&l->tree.entries[i]);
    if (d->class_count == 0)
        return nq_fail(l->err, NQ_ERR_INPUT,
                       "%s has no class folders in it; images that lie side by side need a label "
                       "file",
                       l->folder);
    d->classes = calloc(d->class_count, sizeof *d->classes);
    if (!d->classes)
        return nq_fail_nomem(l->err, "a list of classes", d->class_count * sizeof *d->classes);
    size_t n = 0;
    for (size_t i = 0; i < l->tree.count; i++) {
        nq_tree_entry *e = &l->tree.entries[i];
        if (!e->folder || in_subfolder(e))
            continue;
        d->classes[n].name = strdup(e->path);
        if (!d->classes[n++].name)
            return nq_fail_nomem(l->err, e->path, strlen(e->path) + 1);
    }
    qsort(d->classes, n, sizeof *d->classes, compare_class_names);
    return NQ_OK;
}

/* labels[i] of the i-th class folder: its index in the class list where all folders stand there. */
static nq_status label_folders(const lister *l, const nq_label_table *wnids, int32_t *labels)
{
    const nq_dataset *d = l->dataset;
    const char *in = NULL, *out = NULL;
    for (size_t i = 0; i < d->class_count; i++) {
        const nq_label_row *row = nq_label_table_find(wnids, d->classes[i].name);
        labels[i] = row ? row->label : -1;
        *(row ? &in : &out) = d->classes[i].name;
    }
    if (in && out)
        return nq_fail(l->err, NQ_ERR_INPUT,
                       "%s: folder %s is in the class list and folder %s is not; remove it, or "
                       "use the dataset without a class list",
                       l->folder, in, out);
    for (size_t i = 0; out && i < d->class_count; i++)
        labels[i] = (int32_t)i;
    return NQ_OK;
}

/* Both lists are sorted by class folder. */
static nq_status label_images_by_folder(lister *l, const int32_t *labels)
{
    nq_dataset *d = l->dataset;
    size_t i = 0;
    for (size_t c = 0; c < d->class_count; c++) {
        const char *name = d->classes[c].name;
        size_t length = strlen(name);
        for (; i < l->count && l->images[i].first_part == length &&
               memcmp(l->images[i].entry->path, name, length) == 0;
             i++) {
            l->images[i].label = labels[c];
            d->classes[c].images++;
        }
        if (d->classes[c].images == 0)
            return nq_fail(l->err, NQ_ERR_INPUT, "%s: class folder %s has no .jpg or .jpeg in it",
                           l->folder, name);
    }
    return i == l->count ? NQ_OK
                         : nq_fail(l->err, NQ_ERR_INTERNAL, "%s: image %s has no class", l->folder,
                                   l->images[i].entry->path);
}

/* A class list need not be sorted by name; classes are listed by label. */
static nq_status sort_classes_by_label(nq_dataset *d, const int32_t *labels, nq_error *err)
{
    int32_t end = 0;
    for (size_t c = 0; c < d->class_count; c++)
        end = labels[c] >= end ? labels[c] + 1 : end;
    nq_class *by_label = calloc((size_t)end, sizeof *by_label);
    if (!by_label)
        return nq_fail_nomem(err, "a list of classes", (size_t)end * sizeof *by_label);
    for (size_t c = 0; c < d->class_count; c++)
        by_label[labels[c]] = d->classes[c];
    size_t n = 0;
    for (int32_t label = 0; label < end; label++)
        if (by_label[label].name)
            d->classes[n++] = by_label[label];
    free(by_label);
    d->label_end = end;
    return NQ_OK;
}

static nq_status list_folders(lister *l, const nq_label_table *wnids)
{
    nq_status status = list_class_folders(l);
    if (status == NQ_OK)
        status = take_images(l, false);
    if (status != NQ_OK)
        return status;
    qsort(l->images, l->count, sizeof *l->images, compare_in_folders);
    int32_t *labels = malloc(l->dataset->class_count * sizeof *labels);
    if (!labels)
        return nq_fail_nomem(l->err, "labels", l->dataset->class_count * sizeof *labels);
    status = label_folders(l, wnids, labels);
    if (status == NQ_OK)
        status = label_images_by_folder(l, labels);
    if (status == NQ_OK)
        status = sort_classes_by_label(l->dataset, labels, l->err);
    free(labels);
    return status;
}

static nq_status label_images_by_file(lister *l, const nq_label_table *labels)
{
    for (size_t i = 0; i < l->count; i++) {
        const nq_label_row *row = nq_label_table_find(labels, l->images[i].entry->path);
        if (!row)
            return nq_fail(l->err, NQ_ERR_INPUT, "%s: the label file has no line for %s", l->folder,
                           l->images[i].entry->path);
        l->images[i].label = row->label;
    }
    /* Names are unique on both sides. */
    l->dataset->unused_labels = labels->count - l->count;
    return NQ_OK;
}

/* One class a label that occurs, named by its number; images are sorted by label. */
static nq_status list_classes_of_labels(lister *l)
{
    nq_dataset *d = l->dataset;
    for (size_t i = 0; i < l->count; i++)
        d->class_count += i == 0 || l->images[i].label != l->images[i - 1].label;
    d->classes = calloc(d->class_count + 1, sizeof *d->classes);
    if (!d->classes)
        return nq_fail_nomem(l->err, "a list of classes", d->class_count * sizeof *d->classes);
    nq_class *c = NULL;
    for (size_t i = 0; i < l->count; i++) {
        if (i == 0 || l->images[i].label != l->images[i - 1].label) {
            c = c ? c + 1 : d->classes;
            if (asprintf(&c->name, "%" PRId32, l->images[i].label) < 0) {
                c->name = NULL;
                return nq_fail_nomem(l->err, "a class name", 16);
            }
        }
        c->images++;
    }
    d->label_end = l->images[l->count - 1].label + 1;
    return NQ_OK;
}

static nq_status list_flat(lister *l, const nq_label_table *labels)
{
    nq_status status = take_images(l, true);
    if (status == NQ_OK && l->count == 0)
        status = nq_fail(l->err, NQ_ERR_INPUT, "%s has no .jpg or .jpeg in it", l->folder);
    if (status == NQ_OK)
        status = label_images_by_file(l, labels);
    if (status != NQ_OK)
        return status;
    qsort(l->images, l->count, sizeof *l->images, compare_by_label);
    return list_classes_of_labels(l);
}

/* The paths move over; the tree keeps the rest. */
static nq_status move_images(lister *l)
{
    nq_dataset *d = l->dataset;
    if (l->count >= UINT32_MAX)
        return nq_fail(l->err, NQ_ERR_INPUT, "%s: %zu images are too many", l->folder, l->count);
    d->images = malloc(l->count * sizeof *d->images);
    nq_hash *what = nq_hash_new(), *when = nq_hash_new();
    if (!d->images || !what || !when) {
        nq_hash_free(what);
        nq_hash_free(when);
        return nq_fail_nomem(l->err, "a list of images", l->count * sizeof *d->images);
    }
    for (size_t i = 0; i < l->count; i++) {
        nq_tree_entry *e = l->images[i].entry;
        char numbers[96];
        size_t path = strlen(e->path) + 1;
        int n = snprintf(numbers, sizeof numbers, "%" PRIu64 "%c%" PRId32 "\n", e->bytes, 0,
                         l->images[i].label);
        nq_hash_add(what, e->path, path);
        nq_hash_add(what, numbers, (size_t)n);
        nq_hash_add(when, e->path, path);
        nq_hash_add(when, numbers, (size_t)n);
        n = snprintf(numbers, sizeof numbers, "%" PRId64 "\n", e->modified_ns);
        nq_hash_add(when, numbers, (size_t)n);
        d->images[d->count++] = (nq_image_file){.path = e->path,
                                                .bytes = e->bytes,
                                                .label = l->images[i].label,
                                                .identity = e->identity};
        e->path = NULL;
    }
    nq_hash_end(what, d->fingerprint);
    nq_hash_end(when, d->stamp);
    return NQ_OK;
}

nq_status nq_dataset_list(const char *root, const char *path, const char *labels,
                          size_t labels_size, const char *wnids, size_t wnids_size,
                          nq_dataset *dataset, nq_error *err)
{
    *dataset = (nq_dataset){.root = strdup(root), .path = strdup(path)};
    lister l = {.folder = *path ? path : root, .dataset = dataset, .err = err};
    nq_label_table table = {0};
    nq_status status = NQ_OK;
    if (!dataset->root || !dataset->path)
        status = nq_fail_nomem(err, l.folder, strlen(root) + strlen(path) + 2);
    else if (labels && (status = nq_label_table_parse(labels, labels_size, &table, err)) != NQ_OK)
        nq_error_prefix(err, "the label file of %s", l.folder);
    else if (!labels && wnids &&
             (status = nq_class_list_parse(wnids, wnids_size, &table, err)) != NQ_OK)
        nq_error_prefix(err, "the class list of %s", l.folder);
    if (status == NQ_OK && (status = nq_tree_list(root, path, &l.tree, err)) != NQ_OK)
        nq_error_prefix(err, "dataset %s", l.folder);
    if (status == NQ_OK)
        status = labels ? list_flat(&l, &table) : list_folders(&l, &table);
    if (status == NQ_OK)
        status = move_images(&l);
    free(l.images);
    nq_tree_free(&l.tree);
    nq_label_table_free(&table);
    if (status != NQ_OK)
        nq_dataset_free(dataset);
    return status;
}

nq_status nq_dataset_order(const nq_dataset *dataset, uint32_t **order, nq_error *err)
{
    *order = malloc((dataset->count ? dataset->count : 1) * sizeof **order);
    if (!*order)
        return nq_fail_nomem(err, "the sampler's order", dataset->count * sizeof **order);
    nq_random_permutation(NQ_SAMPLER_SEED, (uint32_t)dataset->count, *order);
    return NQ_OK;
}

void nq_dataset_free(nq_dataset *dataset)
{
    for (size_t i = 0; i < dataset->count; i++)
        free(dataset->images[i].path);
    for (size_t c = 0; c < dataset->class_count && dataset->classes; c++)
        free(dataset->classes[c].name);
    free(dataset->images);
    free(dataset->classes);
    free(dataset->path);
    free(dataset->root);
    *dataset = (nq_dataset){0};
}
