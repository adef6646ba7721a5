#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int (*nq_file_fault)(const char *call, const char *path);

static int fault(const char *call, const char *path)
{
    return nq_file_fault ? nq_file_fault(call, path) : 0;
}

char *nq_path_join(const char *a, const char *b)
{
    char *joined;
    size_t n = strlen(a);
    const char *slash = n > 0 && a[n - 1] == '/' ? "" : "/";
    return asprintf(&joined, "%s%s%s", a, slash, b) < 0 ? NULL : joined;
}

/* For kernels and sandboxes without openat2(2): part by part, every part opened without following
 * links. */
static int open_by_parts(int root, const char *path, int flags)
{
    char *copy = strdup(path), *rest = copy;
    if (!copy)
        return -1;
    int fd = dup(root);
    for (char *part; fd >= 0 && (part = strsep(&rest, "/"));) {
        if (!*part || strcmp(part, ".") == 0)
            continue;
        int next = -1;
        if (strcmp(part, "..") == 0)
            errno = EXDEV;
        else
            next = openat(fd, part, rest ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : flags);
        int code = errno;
        close(fd);
        errno = code;
        fd = next;
    }
    free(copy);
    return fd;
}

static int open_without_links(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned long long)flags,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return *path ? open_by_parts(root, path, flags) : openat(root, ".", flags);
    return (int)fd;
}

nq_status nq_file_open_beneath(const char *root, const char *path, int flags, int *fd,
                               nq_error *err)
{
    *fd = -1;
    if (path[0] == '/')
        return nq_fail(err, NQ_ERR_DENIED, "%s: an absolute path where one below %s is meant", path,
                       root);
    int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return nq_fail_errno(err, errno, "cannot open the root %s", root);
    /* O_NONBLOCK: opening a pipe must not hang before fstat can refuse it. */
    int opened =
        open_without_links(at, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    int code = errno;
    close(at);
    if (opened < 0) {
        if (code == EXDEV || code == ELOOP)
            return nq_fail(err, NQ_ERR_DENIED, "%s leaves %s or goes through a symbolic link", path,
                           root);
        if (code == ENOENT || code == ENOTDIR)
            return nq_fail(err, NQ_ERR_MISSING, "there is no %s beneath %s", *path ? path : ".",
                           root);
        return nq_fail_errno(err, code, "cannot open %s beneath %s", path, root);
    }
    struct stat st;
    if (fstat(opened, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        close(opened);
        return nq_fail(err, NQ_ERR_DENIED, "%s beneath %s is neither a file nor a folder", path,
                       root);
    }
    if (S_ISDIR(st.st_mode) && !(flags & O_DIRECTORY)) {
        close(opened);
        return nq_fail(err, NQ_ERR_INPUT, "%s beneath %s is a folder, not a file", path, root);
    }
    *fd = opened;
    return NQ_OK;
}

nq_status nq_file_read_fd(int fd, const char *name, size_t limit, uint8_t **data, size_t *size,
                          nq_error *err)
{
    *data = NULL;
    *size = 0;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return nq_fail_errno(err, errno, "cannot read %s", name);
    if (!S_ISREG(st.st_mode))
        return nq_fail(err, NQ_ERR_INPUT, "%s is not a regular file", name);
    if ((unsigned long long)st.st_size > limit)
        return nq_fail(err, NQ_ERR_INPUT, "%s has %lld bytes, more than the %zu allowed", name,
                       (long long)st.st_size, limit);
    size_t want = (size_t)st.st_size, got = 0;
    uint8_t *bytes = malloc(want + 1);
    if (!bytes)
        return nq_fail_nomem(err, name, want + 1);
    while (got < want) {
        ssize_t n = pread(fd, bytes + got, want - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int code = n < 0 ? errno : 0;
            free(bytes);
            return code ? nq_fail_errno(err, code, "cannot read %s", name)
                        : nq_fail(err, NQ_ERR_IO, "%s shrank while it was read", name);
        }
        got += (size_t)n;
    }
    bytes[got] = 0;
    *data = bytes;
    *size = got;
    return NQ_OK;
}

nq_status nq_file_read(const char *path, size_t limit, uint8_t **data, size_t *size, nq_error *err)
{
    *data = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? nq_fail(err, NQ_ERR_MISSING, "there is no file %s", path)
                               : nq_fail_errno(err, errno, "cannot open %s", path);
    nq_status status = nq_file_read_fd(fd, path, limit, data, size, err);
    close(fd);
    return status;
}

nq_status nq_file_read_beneath(const char *root, const char *path, size_t limit, uint8_t **data,
                               size_t *size, nq_error *err)
{
    *data = NULL;
    *size = 0;
    int fd;
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY, &fd, err);
    if (status != NQ_OK)
        return status;
    status = nq_file_read_fd(fd, path, limit, data, size, err);
    close(fd);
    return status;
}

nq_status nq_file_write_all(int fd, const void *data, size_t size, const char *name, nq_error *err)
{
    int code = fault("write", name);
    const char *at = data;
    while (!code && size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0) {
            if (errno != EINTR)
                code = errno;
            continue;
        }
        at += n;
        size -= (size_t)n;
    }
    return code ? nq_fail_errno(err, code, "cannot write %s", name) : NQ_OK;
}

nq_status nq_file_write_at(int fd, const void *data, size_t size, off_t offset, const char *name,
                           nq_error *err)
{
    int code = fault("write", name);
    const char *at = data;
    while (!code && size > 0) {
        ssize_t n = pwrite(fd, at, size, offset);
        if (n < 0) {
            if (errno != EINTR)
                code = errno;
            continue;
        }
        at += n;
        offset += n;
        size -= (size_t)n;
    }
    return code ? nq_fail_errno(err, code, "cannot write %s", name) : NQ_OK;
}

static void writer_clear(nq_file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    free(w->path);
    free(w->temporary);
    *w = (nq_file_writer){.fd = -1};
}

nq_status nq_file_begin(nq_file_writer *w, const char *path, nq_error *err)
{
    *w = (nq_file_writer){.fd = -1};
    w->path = strdup(path);
    if (!w->path || asprintf(&w->temporary, "%s.tmp", path) < 0) {
        w->temporary = NULL;
        writer_clear(w);
        return nq_fail_nomem(err, path, strlen(path));
    }
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (w->fd < 0) {
        nq_status status = nq_fail_errno(err, errno, "cannot create %s", w->temporary);
        writer_clear(w);
        return status;
    }
    return NQ_OK;
}

static nq_status sync_parent(const char *path, nq_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return nq_fail_nomem(err, path, strlen(path));
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy] = 0;
    nq_status status = nq_dir_sync(slash ? copy : ".", err);
    free(copy);
    return status;
}

nq_status nq_file_commit(nq_file_writer *w, nq_error *err)
{
    int code = fault("fsync", w->temporary);
    if (!code && fsync(w->fd) != 0)
        code = errno;
    if (!code)
        code = fault("rename", w->path);
    if (!code && rename(w->temporary, w->path) != 0)
        code = errno;
    if (code) {
        nq_status status = nq_fail_errno(err, code, "cannot write %s", w->path);
        nq_file_abandon(w);
        return status;
    }
    nq_status status = sync_parent(w->path, err);
    writer_clear(w);
    return status;
}

void nq_file_abandon(nq_file_writer *w)
{
    if (w->temporary && w->fd >= 0)
        unlink(w->temporary);
    writer_clear(w);
}

nq_status nq_file_write_atomic(const char *path, const void *data, size_t size, nq_error *err)
{
    nq_file_writer w;
    nq_status status = nq_file_begin(&w, path, err);
    if (status != NQ_OK)
        return status;
    status = nq_file_write_all(w.fd, data, size, path, err);
    if (status != NQ_OK) {
        nq_file_abandon(&w);
        return status;
    }
    return nq_file_commit(&w, err);
}

nq_status nq_dir_make(const char *path, mode_t mode, nq_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return nq_fail_nomem(err, path, strlen(path));
    nq_status status = NQ_OK;
    for (char *slash = copy; status == NQ_OK && slash; *slash = '/') {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        if (*copy && mkdir(copy, mode) != 0 && errno != EEXIST)
            status = nq_fail_errno(err, errno, "cannot make the folder %s", copy);
        if (!slash)
            break;
    }
    free(copy);
    struct stat st;
    if (status == NQ_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        return nq_fail(err, NQ_ERR_IO, "%s is not a folder", path);
    return status;
}

nq_status nq_dir_sync(const char *path, nq_error *err)
{
    int code = fault("fsync", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return nq_fail_errno(err, errno, "cannot open the folder %s", path);
    if (!code && fsync(fd) != 0)
        code = errno;
    close(fd);
    return code ? nq_fail_errno(err, code, "cannot sync the folder %s", path) : NQ_OK;
}

/* 0 or an errno. Takes the descriptor of the folder that holds `name`. */
static int remove_tree(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return code;
    }
    int code = 0;
    for (struct dirent *entry; !code && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            code = remove_tree(fd, entry->d_name);
    closedir(dir);
    if (!code && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        code = errno;
    return code;
}

nq_status nq_dir_remove(const char *path, nq_error *err)
{
    int code = remove_tree(AT_FDCWD, path);
    return code ? nq_fail_errno(err, code, "cannot remove %s", path) : NQ_OK;
}
