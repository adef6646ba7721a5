#include "common/crop_folder.h"

#include "common/crop_format.h"
#include "common/file.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DISK_BLOCK 512 /* the unit of st_blocks */
#define AT_ONCE    512 /* entries of a table that are read together */

void nq_crop_file_name(const nq_dataset *dataset, char file[NQ_SHA256_TEXT])
{
    char hex[NQ_SHA256_TEXT];
    uint8_t key[NQ_SHA256_BYTES];
    nq_crop_key(dataset, key);
    nq_hash_text(key, hex);
    snprintf(file, NQ_SHA256_TEXT, "%.*s%s", NQ_CROP_NAME, hex, NQ_CROP_SUFFIX);
}

static bool is_cache_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == NQ_CROP_NAME &&
           strcmp(name + NQ_CROP_NAME, NQ_CROP_SUFFIX) == 0;
}

/* The whole of it or nothing. */
static bool read_at(int fd, void *to, size_t size, uint64_t offset)
{
    ssize_t n;
    do
        n = pread(fd, to, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)size;
}

/* Calls `see` for every entry of the table that can be read. */
static void for_each_entry(int fd, uint32_t records,
                           void (*see)(void *context, uint32_t record, const nq_crop_entry *entry),
                           void *context)
{
    nq_crop_entry entries[AT_ONCE];
    for (uint32_t first = 0; first < records; first += AT_ONCE) {
        uint32_t n = records - first < AT_ONCE ? records - first : AT_ONCE;
        uint64_t at = sizeof(nq_crop_header) + (uint64_t)first * sizeof *entries;
        if (!read_at(fd, entries, n * sizeof *entries, at))
            return;
        for (uint32_t i = 0; i < n; i++)
            see(context, first + i, &entries[i]);
    }
}

static void count_filled(void *context, uint32_t record, const nq_crop_entry *entry)
{
    (void)record;
    nq_crop_state state = nq_crop_entry_state(entry, entry->identity);
    *(uint32_t *)context += state == NQ_CROP_PRESENT;
}

static bool is_whole(int fd, const nq_crop_header *header)
{
    struct stat st;
    return nq_crop_header_sound(header) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == nq_crop_file_bytes(header->records);
}

bool nq_crop_file_fits(int fd, const nq_dataset *dataset)
{
    nq_crop_header header;
    uint8_t key[NQ_SHA256_BYTES];
    nq_crop_key(dataset, key);
    return read_at(fd, &header, sizeof header, 0) && is_whole(fd, &header) &&
           header.records == dataset->count && memcmp(header.key, key, sizeof key) == 0;
}

static void look_inside(int fd, nq_crop_file *file)
{
    nq_crop_header header;
    if (!read_at(fd, &header, sizeof header, 0) || !is_whole(fd, &header))
        return;
    file->sound = true;
    file->records = header.records;
    memcpy(file->name, header.name, sizeof file->name);
    for_each_entry(fd, header.records, count_filled, &file->filled);
}

/* False: it is no plain file, or gone. `inside`: header and table, too. */
static bool describe(int folder, const char *name, bool inside, nq_crop_file *file)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    *file = (nq_crop_file){0};
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (plain) {
        memcpy(file->file, name, strlen(name) + 1); /* is_cache_name() knows its length */
        file->bytes = (uint64_t)st.st_blocks * DISK_BLOCK;
        file->used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        file->in_use = flock(fd, LOCK_EX | LOCK_NB) != 0;
    }
    if (plain && inside)
        look_inside(fd, file);
    close(fd);
    return plain;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const nq_crop_file *)a)->file, ((const nq_crop_file *)b)->file);
}

static nq_status list(const char *directory, bool inside, nq_crop_file **files, size_t *count,
                      nq_error *err)
{
    *files = NULL;
    *count = 0;
    size_t room = 0;
    DIR *folder = opendir(directory);
    if (!folder)
        return errno == ENOENT ? NQ_OK
                               : nq_fail_errno(err, errno, "cannot list the folder %s", directory);
    nq_status status = NQ_OK;
    for (struct dirent *d; status == NQ_OK && (d = readdir(folder));) {
        if (!is_cache_name(d->d_name))
            continue;
        if (*count == room) {
            room = room ? 2 * room : 16;
            nq_crop_file *grown = realloc(*files, room * sizeof *grown);
            if (!grown) {
                status = nq_fail_nomem(err, "a list of caches", room * sizeof *grown);
                break;
            }
            *files = grown;
        }
        *count += describe(dirfd(folder), d->d_name, inside, &(*files)[*count]);
    }
    closedir(folder);
    if (status != NQ_OK) {
        free(*files);
        *files = NULL;
        *count = 0;
    } else if (*count > 1) {
        qsort(*files, *count, sizeof **files, by_name);
    }
    return status;
}

nq_status nq_crop_folder_list(const char *directory, nq_crop_file **files, size_t *count,
                              nq_error *err)
{
    return list(directory, true, files, count, err);
}

typedef struct {
    const nq_dataset *dataset;
    const uint32_t *order;
    uint32_t valid, stale;
} survey;

static void survey_entry(void *context, uint32_t record, const nq_crop_entry *entry)
{
    survey *s = context;
    nq_crop_state state = nq_crop_entry_state(entry, s->dataset->images[s->order[record]].identity);
    s->valid += state == NQ_CROP_PRESENT;
    s->stale += state == NQ_CROP_STALE || state == NQ_CROP_DAMAGED;
}

nq_status nq_crop_folder_survey(const char *directory, const nq_dataset *dataset, uint32_t *valid,
                                uint32_t *stale, nq_error *err)
{
    char name[NQ_SHA256_TEXT];
    uint32_t *order = NULL;
    *valid = *stale = 0;
    nq_crop_file_name(dataset, name);
    char *path = nq_path_join(directory, name);
    if (!path)
        return nq_fail_nomem(err, "a path", strlen(directory));
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    free(path);
    if (fd < 0)
        return NQ_OK;
    nq_status status = nq_dataset_order(dataset, &order, err);
    if (status == NQ_OK && nq_crop_file_fits(fd, dataset)) {
        survey s = {.dataset = dataset, .order = order};
        for_each_entry(fd, (uint32_t)dataset->count, survey_entry, &s);
        *valid = s.valid;
        *stale = s.stale;
    }
    free(order);
    close(fd);
    return status;
}

nq_status nq_crop_folder_remove(const char *directory, const char *file, nq_error *err)
{
    char *path = is_cache_name(file) ? nq_path_join(directory, file) : NULL;
    if (!path)
        return nq_fail(err, NQ_ERR_INPUT, "%s is no crop cache of %s", file, directory);
    nq_status status = NQ_OK;
    if (unlink(path) != 0 && errno != ENOENT)
        status = nq_fail_errno(err, errno, "cannot remove %s", path);
    free(path);
    return status;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What limit and file system leave, given that the caches take `taken` now. */
static uint64_t room_beside(const nq_crop_place *place, uint64_t taken)
{
    struct statvfs disk;
    uint64_t room = less(place->limit, taken);
    if (statvfs(place->directory, &disk) != 0)
        return 0;
    uint64_t free_bytes = less((uint64_t)disk.f_bavail * disk.f_frsize, place->keep_free);
    return room < free_bytes ? room : free_bytes;
}

/* The cache that goes first; NULL: none may go. */
static nq_crop_file *longest_unused(nq_crop_file *files, size_t count, const char *own)
{
    nq_crop_file *oldest = NULL;
    for (size_t i = 0; i < count; i++)
        if (files[i].bytes > 0 && !files[i].in_use && strcmp(files[i].file, own) != 0 &&
            (!oldest || files[i].used_ns < oldest->used_ns))
            oldest = &files[i];
    return oldest;
}

uint64_t nq_crop_folder_room(const nq_crop_place *place, const char *own, uint64_t want)
{
    nq_crop_file *files;
    size_t count;
    uint64_t taken = 0;
    nq_error err = {0};
    if (list(place->directory, false, &files, &count, &err) != NQ_OK)
        return 0;
    for (size_t i = 0; i < count; i++)
        taken += files[i].bytes;
    nq_crop_file *oldest;
    while (room_beside(place, taken) < want && (oldest = longest_unused(files, count, own))) {
        if (nq_crop_folder_remove(place->directory, oldest->file, &err) == NQ_OK) {
            nq_log(NQ_LOG_INFO, "cache_evict", "file", "%s", oldest->file, "bytes", "%lld",
                   (long long)oldest->bytes, NULL);
            taken -= oldest->bytes;
        }
        oldest->bytes = 0;
    }
    free(files);
    return room_beside(place, taken);
}

/* "HEX.crops.PID" */
void nq_crop_folder_sweep(const char *directory)
{
    DIR *folder = opendir(directory);
    for (struct dirent *d; folder && (d = readdir(folder));) {
        const char *pid = strrchr(d->d_name, '.');
        size_t stem = pid ? (size_t)(pid - d->d_name) : 0;
        char name[NQ_SHA256_TEXT];
        if (stem == 0 || stem >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)stem, d->d_name);
        long maker = strtol(pid + 1, NULL, 10);
        if (is_cache_name(name) && maker > 0 && kill((pid_t)maker, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(folder), d->d_name, 0);
    }
    if (folder)
        closedir(folder);
}
