#include "common/crop_cache.h"

#include "common/crop_folder.h"
#include "common/crop_format.h"
#include "common/file.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOM_ASKED_EVERY 64 /* records, between two looks at limit and disk */
#define LET_GO_TOGETHER  32 /* records */

static const char magic[8] = "NQCROPS\n";

struct nq_crop_cache {
    nq_crop_place place; /* borrowed */
    char file[NQ_SHA256_TEXT];
    char *path;
    int fd;
    uint32_t records;
    const uint8_t *map;
    uint64_t map_bytes, data;
    pthread_mutex_t lock; /* of room, and of the change of full */
    uint64_t room;        /* records that may be stored before the disk is asked again */
    atomic_bool full;
    atomic_uint_fast64_t read, absent, stale, damaged, stored;
};

/* ---- format ---- */

uint64_t nq_crop_data_offset(uint32_t records)
{
    uint64_t table = sizeof(nq_crop_header) + (uint64_t)records * sizeof(nq_crop_entry);
    return (table + NQ_CROP_PAGE - 1) / NQ_CROP_PAGE * NQ_CROP_PAGE;
}

uint64_t nq_crop_file_bytes(uint32_t records)
{
    return nq_crop_data_offset(records) + (uint64_t)records * NQ_CACHED_CROP;
}

bool nq_crop_header_sound(const nq_crop_header *h)
{
    return memcmp(h->magic, magic, sizeof magic) == 0 && h->format == NQ_CROP_FORMAT &&
           h->preprocessing == NQ_PREPROCESSING && h->crop_bytes == NQ_CACHED_CROP &&
           h->records <= NQ_CROP_RECORDS && h->name[NQ_CACHED_NAME - 1] == 0 &&
           h->crc == nq_crc32(h, offsetof(nq_crop_header, crc));
}

nq_crop_state nq_crop_entry_state(const nq_crop_entry *entry, uint64_t identity)
{
    static const nq_crop_entry none;
    if (memcmp(entry, &none, sizeof none) == 0)
        return NQ_CROP_ABSENT;
    if (entry->crc != nq_crc32(entry, offsetof(nq_crop_entry, crc)))
        return NQ_CROP_DAMAGED;
    return entry->identity == identity ? NQ_CROP_PRESENT : NQ_CROP_STALE;
}

void nq_crop_key(const nq_dataset *dataset, uint8_t key[NQ_SHA256_BYTES])
{
    char place[2 * PATH_MAX];
    const char *slash = *dataset->path ? "/" : "";
    int n = snprintf(place, sizeof place, "%s%s%s", dataset->root, slash, dataset->path);
    size_t length = n < (int)sizeof place ? (size_t)n : sizeof place - 1;
    uint8_t both[2 * NQ_SHA256_BYTES];
    memcpy(both, dataset->fingerprint, NQ_SHA256_BYTES);
    nq_hash_bytes(place, length, both + NQ_SHA256_BYTES);
    nq_hash_bytes(both, sizeof both, key);
}

static nq_crop_header header_of(const nq_dataset *dataset, const char *name)
{
    nq_crop_header h = {.format = NQ_CROP_FORMAT,
                        .preprocessing = NQ_PREPROCESSING,
                        .records = (uint32_t)dataset->count,
                        .crop_bytes = NQ_CACHED_CROP};
    memcpy(h.magic, magic, sizeof magic);
    nq_crop_key(dataset, h.key);
    snprintf(h.name, sizeof h.name, "%s", name);
    h.crc = nq_crc32(&h, offsetof(nq_crop_header, crc));
    return h;
}

/* ---- a mapped page that cannot be read ---- */

/* The file may lose pages while it is mapped: cut by somebody, or on a disk that fails. Such a page
 * becomes one of zeros, and the checksum of the record tells. One mapping a process. */
static atomic_uintptr_t guarded_begin, guarded_end;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)(NQ_CROP_PAGE - 1);
    bool ours = at >= atomic_load(&guarded_begin) && at < atomic_load(&guarded_end);
    if (!ours || mmap((void *)at, NQ_CROP_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                      -1, 0) == MAP_FAILED)
        signal(number, SIG_DFL); /* the instruction is tried again, and ends the process */
}

static void guard(const nq_crop_cache *c)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    atomic_store(&guarded_begin, (uintptr_t)c->map);
    atomic_store(&guarded_end, (uintptr_t)c->map + c->map_bytes);
    sigaction(SIGBUS, &action, NULL);
}

/* ---- opening ---- */

/* An empty cache under a name of this process's own, then under the true one: whoever opens that
 * finds the old file or the new, and two makers harm nobody. */
static nq_status make_file(nq_crop_cache *c, const nq_dataset *dataset, const char *name,
                           nq_error *err)
{
    char *temporary;
    nq_crop_header header = header_of(dataset, name);
    if (asprintf(&temporary, "%s.%ld", c->path, (long)getpid()) < 0)
        return nq_fail_nomem(err, "a path", strlen(c->path));
    unlink(temporary);
    c->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    nq_status status = c->fd < 0
                           ? nq_fail_errno(err, errno, "cannot create %s", temporary)
                           : nq_file_write_at(c->fd, &header, sizeof header, 0, temporary, err);
    if (status == NQ_OK &&
        ftruncate(c->fd, (off_t)nq_crop_file_bytes((uint32_t)dataset->count)) != 0)
        status = nq_fail_errno(err, errno, "cannot make %s as long as it will be", temporary);
    if (status == NQ_OK && rename(temporary, c->path) != 0)
        status = nq_fail_errno(err, errno, "cannot make %s", c->path);
    if (status != NQ_OK && c->fd >= 0)
        unlink(temporary);
    free(temporary);
    return status;
}

static nq_status open_file(nq_crop_cache *c, const nq_dataset *dataset, const char *name,
                           nq_error *err)
{
    c->fd = open(c->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (c->fd < 0 && errno != ENOENT)
        return nq_fail_errno(err, errno, "cannot open %s", c->path);
    if (c->fd >= 0 && nq_crop_file_fits(c->fd, dataset))
        return NQ_OK;
    if (c->fd >= 0) {
        nq_log(NQ_LOG_WARN, "cache_rebuilt", "file", "%s", c->path, "why", "%s",
               "it is damaged, or of another version", NULL);
        close(c->fd);
    }
    return make_file(c, dataset, name, err);
}

static nq_status map_file(nq_crop_cache *c, nq_error *err)
{
    void *map = mmap(NULL, c->map_bytes, PROT_READ, MAP_SHARED, c->fd, 0);
    if (map == MAP_FAILED)
        return nq_fail_errno(err, errno, "cannot map %s", c->path);
    c->map = map;
    guard(c);
    return NQ_OK;
}

static nq_crop_entry entry_of(const nq_crop_cache *c, uint32_t record)
{
    nq_crop_entry entry;
    memcpy(&entry, c->map + sizeof(nq_crop_header) + (uint64_t)record * sizeof entry, sizeof entry);
    return entry;
}

/* Makes room for what the job will add. */
static void ask_room(nq_crop_cache *c, uint32_t wanted)
{
    uint64_t missing = 0;
    for (uint32_t i = 0; i < wanted && i < c->records; i++) {
        nq_crop_entry entry = entry_of(c, i);
        missing += nq_crop_entry_state(&entry, entry.identity) != NQ_CROP_PRESENT;
    }
    uint64_t bytes = nq_crop_folder_room(&c->place, c->file, missing * NQ_CACHED_CROP);
    c->room = bytes / NQ_CACHED_CROP;
    if (c->room > ROOM_ASKED_EVERY)
        c->room = ROOM_ASKED_EVERY;
}

nq_status nq_crop_cache_open(const nq_crop_place *place, const nq_dataset *dataset,
                             const char *name, uint32_t wanted, nq_crop_cache **cache,
                             nq_error *err)
{
    *cache = NULL;
    if (dataset->count > NQ_CROP_RECORDS)
        return nq_fail(err, NQ_ERR_INPUT, "%zu images are too many for a crop cache",
                       dataset->count);
    nq_crop_cache *c = calloc(1, sizeof *c);
    if (!c)
        return nq_fail_nomem(err, "a crop cache", sizeof *c);
    *c = (nq_crop_cache){.place = *place,
                         .fd = -1,
                         .records = (uint32_t)dataset->count,
                         .map_bytes = nq_crop_file_bytes((uint32_t)dataset->count),
                         .data = nq_crop_data_offset((uint32_t)dataset->count)};
    pthread_mutex_init(&c->lock, NULL);
    nq_crop_file_name(dataset, c->file);
    c->path = nq_path_join(place->directory, c->file);
    nq_status status = c->path ? nq_dir_make(place->directory, 0700, err)
                               : nq_fail_nomem(err, "a path", strlen(place->directory));
    if (status == NQ_OK) {
        nq_crop_folder_sweep(place->directory);
        status = open_file(c, dataset, name, err);
    }
    if (status == NQ_OK)
        status = map_file(c, err);
    if (status != NQ_OK) {
        nq_crop_cache_close(c);
        return status;
    }
    struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    flock(c->fd, LOCK_SH); /* it is in use; without the lock it is used all the same */
    futimens(c->fd, now);
    ask_room(c, wanted);
    *cache = c;
    return NQ_OK;
}

void nq_crop_cache_close(nq_crop_cache *c)
{
    if (!c)
        return;
    if (c->map) {
        uintptr_t mine = (uintptr_t)c->map;
        if (atomic_compare_exchange_strong(&guarded_begin, &mine, 0))
            atomic_store(&guarded_end, 0);
        munmap((void *)c->map, c->map_bytes);
    }
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->lock);
    free(c->path);
    free(c);
}

/* ---- records ---- */

/* The pages of the records up to this one go back to the page cache, so that the process does not
 * seem to grow with the file. By windows, since each time all threads' CPUs are told. */
static void let_go(const nq_crop_cache *c, uint32_t record)
{
    if (record % LET_GO_TOGETHER != LET_GO_TOGETHER - 1)
        return;
    uint64_t begin = c->data + (uint64_t)(record + 1 - LET_GO_TOGETHER) * NQ_CACHED_CROP;
    uint64_t end = c->data + (uint64_t)(record + 1) * NQ_CACHED_CROP;
    begin = begin / NQ_CROP_PAGE * NQ_CROP_PAGE;
    madvise((void *)(c->map + begin), end - begin, MADV_DONTNEED);
}

bool nq_crop_cache_has(const nq_crop_cache *c, uint32_t record, uint64_t identity)
{
    nq_crop_entry entry = entry_of(c, record);
    return nq_crop_entry_state(&entry, identity) == NQ_CROP_PRESENT;
}

bool nq_crop_cache_read(nq_crop_cache *c, uint32_t record, uint64_t identity, uint8_t *crop,
                        uint8_t image[NQ_CACHED_DIGEST])
{
    nq_crop_entry entry = entry_of(c, record);
    nq_crop_state state = nq_crop_entry_state(&entry, identity);
    if (state == NQ_CROP_PRESENT) {
        uint32_t crc[NQ_CHECKSUM_LANES];
        const uint8_t *from = c->map + c->data + (uint64_t)record * NQ_CACHED_CROP;
        nq_checksum_copy(crop, from, NQ_CACHED_CROP, crc);
        let_go(c, record);
        if (memcmp(crc, entry.crop, sizeof crc) != 0)
            state = NQ_CROP_DAMAGED;
    }
    atomic_uint_fast64_t *counts[] = {&c->absent, &c->read, &c->stale, &c->damaged};
    atomic_fetch_add(counts[state], 1);
    memcpy(image, entry.image, NQ_CACHED_DIGEST);
    return state == NQ_CROP_PRESENT;
}

static void stop_storing(nq_crop_cache *c, const char *why)
{
    pthread_mutex_lock(&c->lock);
    if (!c->full)
        nq_log(NQ_LOG_WARN, "cache_full", "file", "%s", c->path, "why", "%s", why, NULL);
    c->full = true;
    pthread_mutex_unlock(&c->lock);
}

/* Whether one more record may be stored. */
static bool take_room(nq_crop_cache *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->room == 0 && !c->full) {
        c->room = nq_crop_folder_room(&c->place, c->file, 0) / NQ_CACHED_CROP;
        if (c->room > ROOM_ASKED_EVERY)
            c->room = ROOM_ASKED_EVERY;
    }
    bool full = c->full, granted = !full && c->room > 0;
    c->room -= granted;
    pthread_mutex_unlock(&c->lock);
    if (!granted && !full)
        stop_storing(c, "its limit or the disk leaves no room for more");
    return granted;
}

void nq_crop_cache_write(nq_crop_cache *c, uint32_t record, uint64_t identity,
                         const uint8_t image[NQ_CACHED_DIGEST], const uint8_t *crop)
{
    nq_error err = {0};
    nq_crop_entry entry = {.identity = identity};
    if (!take_room(c))
        return;
    memcpy(entry.image, image, NQ_CACHED_DIGEST);
    nq_checksum_copy(NULL, crop, NQ_CACHED_CROP, entry.crop);
    entry.crc = nq_crc32(&entry, offsetof(nq_crop_entry, crc));
    off_t where = (off_t)(sizeof(nq_crop_header) + (uint64_t)record * sizeof entry);
    nq_status status =
        nq_file_write_at(c->fd, crop, NQ_CACHED_CROP,
                         (off_t)(c->data + (uint64_t)record * NQ_CACHED_CROP), c->path, &err);
    if (status == NQ_OK)
        status = nq_file_write_at(c->fd, &entry, sizeof entry, where, c->path, &err);
    if (status == NQ_OK)
        atomic_fetch_add(&c->stored, 1);
    else
        stop_storing(c, err.text);
}

nq_crop_counts nq_crop_cache_counts(const nq_crop_cache *c)
{
    return (nq_crop_counts){.read = atomic_load(&c->read),
                            .absent = atomic_load(&c->absent),
                            .stale = atomic_load(&c->stale),
                            .damaged = atomic_load(&c->damaged),
                            .stored = atomic_load(&c->stored),
                            .full = c->full};
}

void nq_crop_counts_log(const nq_crop_counts *c)
{
    nq_log(NQ_LOG_INFO, "cache", "read", "%lld", (long long)c->read, "absent", "%lld",
           (long long)c->absent, "stale", "%lld", (long long)c->stale, "damaged", "%lld",
           (long long)c->damaged, "stored", "%lld", (long long)c->stored, NULL);
}
