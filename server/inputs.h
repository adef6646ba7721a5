/*
 * The files that a job reads: found in the configuration or below its allowed roots, and frozen by
 * their hashes. Reads the disk: not for the loop's thread.
 */
#ifndef NQ_SERVER_INPUTS_H
#define NQ_SERVER_INPUTS_H

#include "common/dataset.h"
#include "server/config.h"
#include "server/job.h"

/* `path` beneath `root`, as nq_file_open_beneath() takes them; NULL, NULL where there is none. */
typedef struct {
    char *root, *path;
} nq_place;

typedef struct {
    char arch[NQ_SPEC_NAME];
    nq_place checkpoint, dataset, labels, wnids, calibration, quantized;
} nq_inputs;

/*
 * Finds what `spec` names. Names of the configuration are trusted; paths in the spec must lie below
 * an allowed root, be reached without symbolic links and, unless the daemon is private, be readable
 * by everybody. Errors name the key. Free with nq_inputs_free() in either case.
 */
nq_status nq_inputs_find(const nq_config *config, const nq_spec *spec, nq_inputs *inputs,
                         nq_error *err);
void nq_inputs_free(nq_inputs *inputs);

/* The places of a model's checkpoint and of a dataset of the configuration. `inputs` is zeroed
 * before; nq_inputs_free() in either case. */
nq_status nq_inputs_model(const nq_config_model *model, nq_inputs *inputs, nq_error *err);
nq_status nq_inputs_dataset(const nq_config_dataset *dataset, nq_inputs *inputs, nq_error *err);
/* Lists the images of inputs->dataset; free with nq_dataset_free(). */
nq_status nq_inputs_list(const nq_inputs *inputs, nq_dataset *dataset, nq_error *err);

/*
 * Remembers hashes of files (by device, inode, size and times) and, for two seconds, listings of
 * datasets, so that a burst of submits does not read the same files again. Safe for several
 * threads; those that want the same thing wait for the one that computes it.
 */
typedef struct nq_input_cache nq_input_cache;
nq_status nq_input_cache_new(nq_input_cache **cache, nq_error *err);
void nq_input_cache_free(nq_input_cache *cache);

typedef struct {
    char fingerprint[NQ_SHA256_TEXT], stamp[NQ_SHA256_TEXT];
    int64_t images, classes, label_end;
    bool folders_are_wnids; /* every class is named like n01440764 */
    int64_t unused_labels;  /* lines of the label file without an image */
} nq_dataset_facts;
nq_status nq_inputs_facts(nq_input_cache *cache, const nq_inputs *inputs, nq_dataset_facts *facts,
                          nq_error *err);
/* SHA-256 (hex) and bytes of a file, through the cache. */
nq_status nq_inputs_hash_file(nq_input_cache *cache, const nq_place *place,
                              char text[NQ_SHA256_TEXT], int64_t *bytes, nq_error *err);

/*
 * Fills a job from its resolved spec: the columns that repeat it, the hashes of its inputs, partial
 * and the fingerprint. Leaves identity, state and times alone. job->spec is malloc'd.
 */
nq_status nq_inputs_freeze(nq_input_cache *cache, const nq_spec *spec, const nq_inputs *inputs,
                           nq_job *job, nq_error *err);

#endif
