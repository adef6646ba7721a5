/*
 * Labelled images on disk: which files there are, in which order, with which class. Two layouts:
 * an ImageFolder (one folder a class) and a flat folder with a label file ("NAME CLASS" a line,
 * val_labels.txt form, 0-based). Nothing is decoded here.
 */
#ifndef NQ_COMMON_DATASET_H
#define NQ_COMMON_DATASET_H

#include "common/error.h"
#include "common/hash.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *path; /* relative to the dataset's folder */
    uint64_t bytes;
    int32_t label;     /* class index, 0-based */
    uint64_t identity; /* see nq_tree_entry */
} nq_image_file;

typedef struct {
    char *name; /* of the folder: wnid or class name; for a flat folder its decimal class */
    uint32_t images;
} nq_class;

typedef struct {
    char *root;            /* absolute path of an allowed root */
    char *path;            /* the dataset's folder beneath root, "" is root itself */
    nq_image_file *images; /* in ImageFolder order, see nq_dataset_list() */
    size_t count;
    nq_class *classes; /* those that have a folder or a label, sorted by label */
    size_t class_count;
    int32_t label_end;                    /* highest label + 1 */
    size_t unused_labels;                 /* lines of the label file without an image */
    uint8_t fingerprint[NQ_SHA256_BYTES]; /* over path, bytes and label of every image, in order */
    uint8_t stamp[NQ_SHA256_BYTES]; /* the same with modification times: notices a changed file */
} nq_dataset;

/*
 * Lists the dataset in folder `path` beneath `root` (see nq_file_open_beneath: no symlinks).
 *  labels: text of a label file (labels_size bytes), or NULL for an ImageFolder;
 *  wnids:  text of a class list, one wnid a line (words after it are ignored), or NULL. Not used
 *          with a label file.
 *
 * Order: as torchvision's ImageFolder, names compared bytewise. Class folders by name; the images
 * of a class may lie at any depth, and are sorted by the path of their folder, then by name. With a
 * label file all images lie side by side, sorted by label, then name: the order that they have in
 * folders named by wnid, so that output.txt is the same for both layouts.
 *
 * Classes: folders that are all in the wnid list get the wnid's index; where none is, the sorted
 * folder's index; a mixture is an error. Files are .jpg/.jpeg in any case. Another image file (.png
 * .ppm .bmp .pgm .tif .tiff .webp: what ImageFolder would take) is an error, not skipped, since it
 * would shift every line; so is an empty class folder, a file without a label, a duplicate, a
 * symbolic link. Other files, and names that begin with a dot, are ignored. Lines of the label file
 * whose files are not there are counted: the labels of the whole split serve for a part of it. The
 * ILSVRC devkit's ground truth (a bare number a line) is recognised and refused by name: its ids
 * are 1-based and in another order.
 *
 * The fingerprint is the SHA-256 of PATH NUL BYTES NUL LABEL LF of every image, numbers in decimal.
 * Free with nq_dataset_free(); on failure there is nothing to free.
 */
nq_status nq_dataset_list(const char *root, const char *path, const char *labels,
                          size_t labels_size, const char *wnids, size_t wnids_size,
                          nq_dataset *dataset, nq_error *err);
void nq_dataset_free(nq_dataset *dataset);

/* The seed of the challenge's sampler (docs/numerics.md: output.txt). */
#define NQ_SAMPLER_SEED 1562

/* order[0..count-1]: which image of the dataset stands at each line of output.txt. malloc'd. */
nq_status nq_dataset_order(const nq_dataset *dataset, uint32_t **order, nq_error *err);

#endif
