/* Everything below one folder, listed without following a link. */
#ifndef NQ_COMMON_TREE_H
#define NQ_COMMON_TREE_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *path; /* relative to the folder, parts joined by '/' */
    bool folder;
    uint64_t bytes;      /* of a file */
    int64_t modified_ns; /* of a file: since 1970 */
    uint64_t identity;   /* of a file: another one where it was replaced, written or touched */
} nq_tree_entry;

typedef struct {
    nq_tree_entry *entries; /* in no order */
    size_t count;
    size_t room;
} nq_tree;

/*
 * Lists the files and folders below folder `path` beneath `root` (see nq_file_open_beneath), at
 * any depth up to 32. Names that begin with a dot are left out, with all that is below them. A
 * symbolic link is NQ_ERR_DENIED, anything else that is neither file nor folder NQ_ERR_INPUT: both
 * by name. Free with nq_tree_free(), on failure too.
 */
nq_status nq_tree_list(const char *root, const char *path, nq_tree *tree, nq_error *err);
void nq_tree_free(nq_tree *tree);

/* What a file's extension says it is, in any case: torchvision's list of image extensions. */
typedef enum {
    NQ_NAME_OTHER,      /* no image: README, .xml, .txt */
    NQ_NAME_JPEG,       /* .jpg .jpeg */
    NQ_NAME_OTHER_IMAGE /* .png .ppm .bmp .pgm .tif .tiff .webp */
} nq_name_kind;
nq_name_kind nq_name_kind_of(const char *path);

#endif
