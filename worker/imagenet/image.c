#include "worker/imagenet/image.h"

#include "common/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGE_FILE_LIMIT ((size_t)1 << 28)

_Static_assert(NQ_CACHED_CROP == NQ_CROP_BYTES, "the cache holds crops");

static nq_status read_file(const nq_dataset *dataset, const nq_image_file *image, uint8_t **data,
                           size_t *size, nq_error *err)
{
    int fd = -1;
    char *path = *dataset->path ? nq_path_join(dataset->path, image->path) : strdup(image->path);
    if (!path)
        return nq_fail_nomem(err, image->path, strlen(image->path));
    nq_status status = nq_file_open_beneath(dataset->root, path, O_RDONLY, &fd, err);
    if (status == NQ_OK)
        status = nq_file_read_fd(fd, image->path, IMAGE_FILE_LIMIT, data, size, err);
    if (fd >= 0)
        close(fd);
    free(path);
    return status;
}

nq_status nq_image_read(nq_decoder *decoder, const nq_dataset *dataset, uint32_t image,
                        nq_crop_cache *cache, uint32_t record, uint8_t *crop,
                        uint8_t digest[NQ_CACHED_DIGEST], nq_error *err)
{
    const nq_image_file *file = &dataset->images[image];
    uint8_t whole[NQ_SHA256_BYTES], *data = NULL;
    size_t size;
    if (cache && nq_crop_cache_read(cache, record, file->identity, crop, digest))
        return NQ_OK;
    nq_status status = read_file(dataset, file, &data, &size, err);
    if (status != NQ_OK)
        return status;
    nq_hash_bytes(data, size, whole);
    memcpy(digest, whole, NQ_CACHED_DIGEST);
    status = nq_decoder_crop(decoder, data, size, file->path, crop, err);
    free(data);
    if (status == NQ_OK && cache)
        nq_crop_cache_write(cache, record, file->identity, digest, crop);
    return status;
}
