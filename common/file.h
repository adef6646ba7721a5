/* Files: opened beneath a root, read with a bound, written whole or not at all. */
#ifndef NQ_COMMON_FILE_H
#define NQ_COMMON_FILE_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Opens `path` (relative to directory `root`, both NUL-terminated) for reading without following
 * any symlink and without leaving root: "..", absolute paths and links below root are refused with
 * NQ_ERR_DENIED. root itself may be reached through symlinks. flags: O_RDONLY, plus O_DIRECTORY to
 * open a folder ("" or "." opens root itself). Devices, sockets and pipes are refused. The caller
 * closes *fd.
 */
nq_status nq_file_open_beneath(const char *root, const char *path, int flags, int *fd,
                               nq_error *err);

/* Reads all of fd (a regular file) into a malloc'd buffer with a NUL after the last byte. Files
 * above `limit` bytes are refused. `name` is for the sentence. The caller frees *data. */
nq_status nq_file_read_fd(int fd, const char *name, size_t limit, uint8_t **data, size_t *size,
                          nq_error *err);

/* The same by path (relative to the working directory; symlinks are followed). */
nq_status nq_file_read(const char *path, size_t limit, uint8_t **data, size_t *size, nq_error *err);

/* The same beneath a root, as nq_file_open_beneath() opens it. */
nq_status nq_file_read_beneath(const char *root, const char *path, size_t limit, uint8_t **data,
                               size_t *size, nq_error *err);

/* Writes all `size` bytes to fd, retrying short writes and EINTR. */
nq_status nq_file_write_all(int fd, const void *data, size_t size, const char *name, nq_error *err);

/* The same at a place of the file, whatever its position. */
nq_status nq_file_write_at(int fd, const void *data, size_t size, off_t offset, const char *name,
                           nq_error *err);

/*
 * An atomic write: nq_file_begin() makes "PATH.tmp" and returns its descriptor; nq_file_commit()
 * fsyncs it, renames it to PATH and fsyncs the directory; nq_file_abandon() removes it. After
 * either the writer is empty and may be reused. A reader sees the old file or the whole new one.
 */
typedef struct {
    char *path;
    char *temporary;
    int fd;
} nq_file_writer;
nq_status nq_file_begin(nq_file_writer *w, const char *path, nq_error *err);
nq_status nq_file_commit(nq_file_writer *w, nq_error *err);
void nq_file_abandon(nq_file_writer *w);

/* Writes `size` bytes to `path` through an atomic write. */
nq_status nq_file_write_atomic(const char *path, const void *data, size_t size, nq_error *err);

/* mkdir -p with mode 0755 for missing parts (the umask applies). */
nq_status nq_dir_make(const char *path, mode_t mode, nq_error *err);

/* fsync of a directory, so that a rename or mkdir in it survives a power cut. */
nq_status nq_dir_sync(const char *path, nq_error *err);

/* rm -r of `path` without following symlinks; a missing path is no error. */
nq_status nq_dir_remove(const char *path, nq_error *err);

/* "a/b" as a malloc'd string; NULL when out of memory. */
char *nq_path_join(const char *a, const char *b);

/* Injectable failures for tests: when set, it is asked before each write, fsync and rename of this
 * module and a non-zero errno it returns becomes that call's failure. NULL in production. */
extern int (*nq_file_fault)(const char *call, const char *path);

#endif
