/*
 * A SQLite VFS in front of the real one, whose nth write, sync, truncate or delete fails. A test
 * arms it, works, and disarms it.
 */
#ifndef NQ_FAULT_VFS_H
#define NQ_FAULT_VFS_H

#include <sqlite3.h>
#include <string.h>

static struct {
    int countdown; /* calls until the failure; 0: never */
    int forever;   /* all calls after it fail as well */
    int calls;     /* counted while armed or not */
    int syncs;     /* of them, syncs */
    int code;      /* what the failing call returns */
} fault_vfs;

static int fault_hits(void)
{
    fault_vfs.calls++;
    if (fault_vfs.countdown == 0)
        return 0;
    if (fault_vfs.countdown > 1) {
        fault_vfs.countdown--;
        return 0;
    }
    if (!fault_vfs.forever)
        fault_vfs.countdown = 0;
    return 1;
}

typedef struct {
    sqlite3_file base;
    sqlite3_file *real;
} fault_file;

#define REAL(f)            (((fault_file *)(f))->real)
#define CALL(f, name, ...) REAL(f)->pMethods->name(REAL(f), ##__VA_ARGS__)

static int ff_close(sqlite3_file *f)
{
    return CALL(f, xClose);
}
static int ff_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return CALL(f, xRead, to, n, at);
}
static int ff_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    return fault_hits() ? fault_vfs.code : CALL(f, xWrite, from, n, at);
}
static int ff_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return fault_hits() ? SQLITE_IOERR_TRUNCATE : CALL(f, xTruncate, n);
}
static int ff_sync(sqlite3_file *f, int flags)
{
    fault_vfs.syncs++;
    return fault_hits() ? SQLITE_IOERR_FSYNC : CALL(f, xSync, flags);
}
static int ff_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return CALL(f, xFileSize, n);
}
static int ff_lock(sqlite3_file *f, int level)
{
    return CALL(f, xLock, level);
}
static int ff_unlock(sqlite3_file *f, int level)
{
    return CALL(f, xUnlock, level);
}
static int ff_reserved(sqlite3_file *f, int *out)
{
    return CALL(f, xCheckReservedLock, out);
}
static int ff_control(sqlite3_file *f, int op, void *argument)
{
    return CALL(f, xFileControl, op, argument);
}
static int ff_sector(sqlite3_file *f)
{
    return CALL(f, xSectorSize);
}
static int ff_device(sqlite3_file *f)
{
    return CALL(f, xDeviceCharacteristics);
}
static int ff_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return CALL(f, xShmMap, page, size, extend, out);
}
static int ff_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return CALL(f, xShmLock, at, n, flags);
}
static void ff_barrier(sqlite3_file *f)
{
    CALL(f, xShmBarrier);
}
static int ff_unmap(sqlite3_file *f, int delete)
{
    return CALL(f, xShmUnmap, delete);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = ff_close,
    .xRead = ff_read,
    .xWrite = ff_write,
    .xTruncate = ff_truncate,
    .xSync = ff_sync,
    .xFileSize = ff_size,
    .xLock = ff_lock,
    .xUnlock = ff_unlock,
    .xCheckReservedLock = ff_reserved,
    .xFileControl = ff_control,
    .xSectorSize = ff_sector,
    .xDeviceCharacteristics = ff_device,
    .xShmMap = ff_map,
    .xShmLock = ff_shm_lock,
    .xShmBarrier = ff_barrier,
    .xShmUnmap = ff_unmap,
};

static sqlite3_vfs *fault_real;
static sqlite3_vfs fault_front;

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    REAL(f) = (sqlite3_file *)((char *)f + sizeof(fault_file));
    int code = fault_real->xOpen(fault_real, name, REAL(f), flags, out);
    f->pMethods = code == SQLITE_OK ? &fault_methods : NULL;
    return code;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return fault_hits() ? SQLITE_IOERR_DELETE : fault_real->xDelete(fault_real, name, sync);
}

/* Makes it the default VFS of this program. */
static void fault_vfs_install(void)
{
    fault_real = sqlite3_vfs_find(NULL);
    fault_front = *fault_real;
    fault_front.pNext = NULL;
    fault_front.zName = "fault";
    fault_front.szOsFile = (int)sizeof(fault_file) + fault_real->szOsFile;
    fault_front.xOpen = fault_open;
    fault_front.xDelete = fault_delete;
    sqlite3_vfs_register(&fault_front, 1);
}

static void fault_vfs_arm(int nth, int forever, int code)
{
    fault_vfs.countdown = nth;
    fault_vfs.forever = forever;
    fault_vfs.code = code;
    fault_vfs.calls = fault_vfs.syncs = 0;
}

#endif
