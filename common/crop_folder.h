/* The folder of the crop caches as a whole: what lies there, what may be added, what goes. */
#ifndef NQ_COMMON_CROP_FOLDER_H
#define NQ_COMMON_CROP_FOLDER_H

#include "common/crop_cache.h"

/* One file of the folder. Its content is hostile input, its name is not taken from it. */
typedef struct {
    char file[NQ_SHA256_TEXT]; /* its name in the folder */
    uint64_t bytes;            /* that it takes on the disk */
    int64_t used_ns;           /* when a job last opened it, since 1970 */
    bool in_use;               /* a process has it open */
    bool sound;                /* the header is; what follows is unset where it is not */
    char name[NQ_CACHED_NAME]; /* of the dataset, for people */
    uint32_t records;
    uint32_t filled; /* records that the table has, of whatever images */
} nq_crop_file;

/* Lists the folder's caches, in the order of their names. A folder that is not there holds none.
 * The caller frees *files. */
nq_status nq_crop_folder_list(const char *directory, nq_crop_file **files, size_t *count,
                              nq_error *err);

/* Records of the dataset's cache that its images' present files have: *valid, and that they do not
 * have any more: *stale. Both 0 where there is no cache. Reads the table alone. */
nq_status nq_crop_folder_survey(const char *directory, const nq_dataset *dataset, uint32_t *valid,
                                uint32_t *stale, nq_error *err);

/* Removes one cache, named as in the list. A process that has it open keeps what it has. */
nq_status nq_crop_folder_remove(const char *directory, const char *file, nq_error *err);

/* The name of a dataset's cache. */
void nq_crop_file_name(const nq_dataset *dataset, char file[NQ_SHA256_TEXT]);

/*
 * Bytes that may be added to `own`, a file of the folder. Where that is less than `want`, other
 * caches that nobody has open are removed first, longest unused first.
 */
uint64_t nq_crop_folder_room(const nq_crop_place *place, const char *own, uint64_t want);

/* Removes what makers of caches left behind that have died since. */
void nq_crop_folder_sweep(const char *directory);

#endif
