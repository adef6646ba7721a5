#include "common/tree.h"

#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 32

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* The time of the latest change cannot be set back, as the time of modification can. */
static uint64_t identity_of(const struct stat *st)
{
    uint64_t hash = mix(mix(0, st->st_ino), (uint64_t)st->st_size);
    return mix(mix(hash, (uint64_t)nanoseconds(st->st_mtim)), (uint64_t)nanoseconds(st->st_ctim));
}

static nq_status add(nq_tree *tree, const char *path, const struct stat *st, nq_error *err)
{
    if (tree->count == tree->room) {
        size_t room = tree->room ? tree->room * 2 : 1024;
        nq_tree_entry *grown = realloc(tree->entries, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(err, "a list of files", room * sizeof *grown);
        tree->entries = grown;
        tree->room = room;
    }
    nq_tree_entry *e = &tree->entries[tree->count];
    *e = (nq_tree_entry){.path = strdup(path), .folder = S_ISDIR(st->st_mode)};
    if (!e->path)
        return nq_fail_nomem(err, path, strlen(path) + 1);
    if (!e->folder) {
        e->bytes = (uint64_t)st->st_size;
        e->modified_ns = nanoseconds(st->st_mtim);
        e->identity = identity_of(st);
    }
    tree->count++;
    return NQ_OK;
}

static nq_status list_folder(nq_tree *tree, int fd, const char *path, int depth, nq_error *err);

/* One name of the folder that is open as `at`; `path` is the whole of it, for the list. */
static nq_status list_name(nq_tree *tree, int at, const char *name, const char *path, int depth,
                           nq_error *err)
{
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return nq_fail_errno(err, errno, "cannot look at %s", path);
    if (S_ISLNK(st.st_mode))
        return nq_fail(err, NQ_ERR_DENIED,
                       "%s is a symbolic link; put the file itself there (a hard link will do)",
                       path);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return nq_fail(err, NQ_ERR_INPUT, "%s is neither a file nor a folder", path);
    nq_status status = add(tree, path, &st, err);
    if (status != NQ_OK || !S_ISDIR(st.st_mode))
        return status;
    if (depth == MAX_DEPTH)
        return nq_fail(err, NQ_ERR_INPUT, "%s: folders are nested deeper than %d", path, MAX_DEPTH);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return nq_fail_errno(err, errno, "cannot open folder %s", path);
    return list_folder(tree, fd, path, depth + 1, err);
}

/* Takes over fd. `path` is "" for the folder that is listed. */
static nq_status list_folder(nq_tree *tree, int fd, const char *path, int depth, nq_error *err)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int code = errno;
        close(fd);
        return nq_fail_errno(err, code, "cannot list folder %s", path);
    }
    nq_status status = NQ_OK;
    while (status == NQ_OK) {
        errno = 0;
        struct dirent *d = readdir(folder);
        if (!d) {
            if (errno)
                status = nq_fail_errno(err, errno, "cannot list folder %s", path);
            break;
        }
        if (d->d_name[0] == '.')
            continue;
        char *whole = *path ? nq_path_join(path, d->d_name) : strdup(d->d_name);
        status = whole ? list_name(tree, dirfd(folder), d->d_name, whole, depth, err)
                       : nq_fail_nomem(err, "a path", strlen(path) + sizeof d->d_name);
        free(whole);
    }
    closedir(folder);
    return status;
}

nq_status nq_tree_list(const char *root, const char *path, nq_tree *tree, nq_error *err)
{
    *tree = (nq_tree){0};
    int fd;
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, &fd, err);
    return status == NQ_OK ? list_folder(tree, fd, "", 1, err) : status;
}

void nq_tree_free(nq_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->entries[i].path);
    free(tree->entries);
    *tree = (nq_tree){0};
}

nq_name_kind nq_name_kind_of(const char *path)
{
    static const char *const other_images[] = {".png", ".ppm",  ".bmp", ".pgm",
                                               ".tif", ".tiff", ".webp"};
    const char *dot = strrchr(path, '.');
    if (!dot || strchr(dot, '/'))
        return NQ_NAME_OTHER;
    if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0)
        return NQ_NAME_JPEG;
    for (size_t i = 0; i < sizeof other_images / sizeof *other_images; i++)
        if (strcasecmp(dot, other_images[i]) == 0)
            return NQ_NAME_OTHER_IMAGE;
    return NQ_NAME_OTHER;
}
