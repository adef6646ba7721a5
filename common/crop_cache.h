/*
 * The crop cache: what decoding and resizing made of a dataset's images, kept for the next job. One
 * file a dataset, mapped into memory; a record for each line of output.txt, in that order, so that
 * a job reads the file from its beginning to its end and a limited one its beginning alone. The
 * format is in docs/crop-cache.md.
 *
 * Nothing in the file is believed: header, table and crops carry checksums, each record names the
 * very image file it was made from. What does not fit is as if it were not there, and is made
 * again. Several processes may read and fill one file at a time, and may be killed at any moment.
 */
#ifndef NQ_COMMON_CROP_CACHE_H
#define NQ_COMMON_CROP_CACHE_H

#include "common/dataset.h"
#include <stdbool.h>

/* What decoding and resizing compute. A change of a single byte of any crop is another number. */
#define NQ_PREPROCESSING 1

#define NQ_CACHED_CROP   (224 * 224 * 3) /* bytes of a crop, u8 [224][224][3] */
#define NQ_CACHED_DIGEST 16              /* bytes kept of an image file's SHA-256 */
#define NQ_CACHED_NAME   64              /* of a dataset, with its NUL */

/* Where caches lie, and what they may take. */
typedef struct {
    char *directory;    /* NULL: no cache */
    uint64_t limit;     /* bytes of all caches together, as the disk counts them */
    uint64_t keep_free; /* bytes of the file system that are left to others */
} nq_crop_place;

typedef struct nq_crop_cache nq_crop_cache;

/*
 * Opens the cache of `dataset`, or makes an empty one (also in the place of one that is damaged or
 * of another preprocessing). `name` is what people call the dataset. `wanted`: records that this
 * job will ask for; caches of other datasets that nobody has open are removed, longest unused
 * first, where the limit asks for it. A failure leaves *cache NULL: the job does without.
 */
nq_status nq_crop_cache_open(const nq_crop_place *place, const nq_dataset *dataset,
                             const char *name, uint32_t wanted, nq_crop_cache **cache,
                             nq_error *err);
/* NULL is allowed. */
void nq_crop_cache_close(nq_crop_cache *cache);

/*
 * Copies the crop of a record, and the digest of the image file's bytes, if it is there, was made
 * from the file of this identity (nq_image_file) and its checksums hold. From any thread.
 */
bool nq_crop_cache_read(nq_crop_cache *cache, uint32_t record, uint64_t identity, uint8_t *crop,
                        uint8_t image[NQ_CACHED_DIGEST]);
/* Whether the table has the record for this image; the crop itself is not looked at. */
bool nq_crop_cache_has(const nq_crop_cache *cache, uint32_t record, uint64_t identity);

/* Stores a record. Where there is no room, or writing fails, nothing is stored from then on and the
 * log says why, once. From any thread. */
void nq_crop_cache_write(nq_crop_cache *cache, uint32_t record, uint64_t identity,
                         const uint8_t image[NQ_CACHED_DIGEST], const uint8_t *crop);

/* What became of the records since the opening. */
typedef struct {
    uint64_t read;    /* taken from the cache */
    uint64_t absent;  /* not there yet */
    uint64_t stale;   /* of an image file that has changed */
    uint64_t damaged; /* a checksum was wrong */
    uint64_t stored;
    bool full; /* nothing was stored any more, for want of room or after a failure */
} nq_crop_counts;
nq_crop_counts nq_crop_cache_counts(const nq_crop_cache *cache);
void nq_crop_counts_log(const nq_crop_counts *counts);

#endif
