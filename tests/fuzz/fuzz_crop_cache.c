/* Any bytes as the beginning of a crop cache of two images: opened, surveyed, read, filled. */
#include "common/crop_cache.h"
#include "common/crop_folder.h"
#include "common/crop_format.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/netq-fuzz-XXXXXX";
static nq_image_file images[2] = {{.identity = 1}, {.identity = 2}};
static nq_dataset dataset = {.root = "/fuzz", .path = "", .images = images, .count = 2};

static void remove_folder(void)
{
    nq_error ignored = {0};
    nq_dir_remove(folder, &ignored);
}

static void begin(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    memset(dataset.fingerprint, 0xab, sizeof dataset.fingerprint);
    nq_log_open(2, NQ_LOG_ERROR);
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
}

/* The first byte says how long the file is; the rest is its beginning. */
static void write_file(const uint8_t *data, size_t size)
{
    char name[NQ_SHA256_TEXT];
    nq_error err = {0};
    nq_crop_file_name(&dataset, name);
    char *path = nq_path_join(folder, name);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (fd < 0 || nq_file_write_all(fd, data + 1, size - 1, path, &err) != NQ_OK ||
        (data[0] % 4 != 0 && ftruncate(fd, (off_t)nq_crop_file_bytes(2)) != 0))
        abort();
    close(fd);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t crop[NQ_CACHED_CROP];
    uint8_t digest[NQ_CACHED_DIGEST] = {0};
    nq_error err = {0};
    nq_crop_place place = {.directory = folder, .limit = 1u << 30};
    nq_crop_cache *cache;
    nq_crop_file *files;
    size_t count;
    uint32_t valid, stale;
    begin();
    if (size == 0)
        return 0;
    write_file(data, size);
    if (nq_crop_folder_list(folder, &files, &count, &err) != NQ_OK || count != 1 ||
        files[0].filled > files[0].records || memchr(files[0].name, 0, NQ_CACHED_NAME) == NULL)
        abort();
    free(files);
    if (nq_crop_folder_survey(folder, &dataset, &valid, &stale, &err) != NQ_OK || valid + stale > 2)
        abort();
    if (nq_crop_cache_open(&place, &dataset, "fuzz", 2, &cache, &err) != NQ_OK)
        abort();
    for (uint32_t i = 0; i < 2; i++)
        nq_crop_cache_read(cache, i, images[i].identity, crop, digest);
    memset(crop, 7, sizeof crop);
    nq_crop_cache_write(cache, 0, 1, digest, crop);
    if (!nq_crop_cache_read(cache, 0, 1, crop, digest) || crop[NQ_CACHED_CROP - 1] != 7)
        abort();
    nq_crop_cache_close(cache);
    return 0;
}
