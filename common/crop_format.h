/* The bytes of a crop cache's file (docs/crop-cache.md). Little endian, as every CPU we run on. */
#ifndef NQ_COMMON_CROP_FORMAT_H
#define NQ_COMMON_CROP_FORMAT_H

#include "common/checksum.h"
#include "common/crop_cache.h"

#define NQ_CROP_FORMAT  1
#define NQ_CROP_SUFFIX  ".crops"
#define NQ_CROP_NAME    32   /* hex digits of the key that a file is named by */
#define NQ_CROP_PAGE    4096 /* crops begin at a multiple of it */
#define NQ_CROP_RECORDS (1u << 28)

typedef struct {
    char magic[8]; /* "NQCROPS\n" */
    uint32_t format, preprocessing;
    uint32_t records, crop_bytes;
    uint8_t key[NQ_SHA256_BYTES]; /* of the dataset: nq_crop_key() */
    char name[NQ_CACHED_NAME];
    uint32_t zero;
    uint32_t crc; /* of what stands before it */
} nq_crop_header;

/* All zero: there is no such record. */
typedef struct {
    uint64_t identity;
    uint8_t image[NQ_CACHED_DIGEST];
    uint32_t crop[NQ_CHECKSUM_LANES];
    uint32_t zero;
    uint32_t crc; /* of what stands before it */
} nq_crop_entry;

typedef enum { NQ_CROP_ABSENT, NQ_CROP_PRESENT, NQ_CROP_STALE, NQ_CROP_DAMAGED } nq_crop_state;

/* SHA-256 of the dataset's fingerprint and its folder's path: copies are datasets of their own. */
void nq_crop_key(const nq_dataset *dataset, uint8_t key[NQ_SHA256_BYTES]);

/* Whether the header is sound; whose it is is not asked. */
bool nq_crop_header_sound(const nq_crop_header *header);
/* Whether the open file is a cache of this dataset, whole and of this version. */
bool nq_crop_file_fits(int fd, const nq_dataset *dataset);
/* What an entry of the table says about the image of this identity. */
nq_crop_state nq_crop_entry_state(const nq_crop_entry *entry, uint64_t identity);

/* Offset of the first crop, and bytes of the whole file. */
uint64_t nq_crop_data_offset(uint32_t records);
uint64_t nq_crop_file_bytes(uint32_t records);

#endif
