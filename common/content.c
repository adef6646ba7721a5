#include "common/content.h"

#include "common/file.h"
#include "common/tree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_path(const void *a, const void *b)
{
    return strcmp(((const nq_tree_entry *)a)->path, ((const nq_tree_entry *)b)->path);
}

static nq_status hash_tree(const char *root, const char *path, uint8_t digest[NQ_SHA256_BYTES],
                           nq_error *err)
{
    nq_tree tree;
    nq_hash *h = nq_hash_new();
    if (!h)
        return nq_fail_nomem(err, path, 0);
    nq_status status = nq_tree_list(root, path, &tree, err);
    if (status != NQ_OK) {
        nq_hash_free(h);
        nq_tree_free(&tree);
        return status;
    }
    if (tree.count > 0)
        qsort(tree.entries, tree.count, sizeof *tree.entries, by_path);
    for (size_t i = 0; i < tree.count; i++) {
        char bytes[32];
        int n = snprintf(bytes, sizeof bytes, "%" PRIu64 "\n", tree.entries[i].bytes);
        if (tree.entries[i].folder)
            continue;
        nq_hash_add(h, tree.entries[i].path, strlen(tree.entries[i].path) + 1);
        nq_hash_add(h, bytes, (size_t)n);
    }
    nq_tree_free(&tree);
    nq_hash_end(h, digest);
    return NQ_OK;
}

nq_status nq_content_hash(const char *root, const char *path, char text[NQ_SHA256_TEXT],
                          nq_error *err)
{
    uint8_t digest[NQ_SHA256_BYTES];
    int fd;
    nq_error as_folder = {0};
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, &fd, &as_folder);
    if (status == NQ_OK) {
        close(fd);
        status = hash_tree(root, path, digest, err);
    } else if ((status = nq_file_open_beneath(root, path, O_RDONLY, &fd, err)) == NQ_OK) {
        status = nq_hash_fd(fd, path, digest, NULL, err);
        close(fd);
    }
    if (status == NQ_OK)
        nq_hash_text(digest, text);
    return status;
}
