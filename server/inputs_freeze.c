/* Freezing: hashes of what was found, remembered for a while. */
#include "server/inputs.h"

#include "common/content.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_KEPT      64
#define DATASETS_KEPT   16
#define LISTING_SECONDS 2 /* how long a listing is believed */
#define RACY_SECONDS    2 /* a file changed so lately may change within one tick */
#define LABELS_LIMIT    ((size_t)64 << 20)

typedef struct {
    struct stat st;
    char text[NQ_SHA256_TEXT];
} kept_file;

typedef struct {
    char *key;
    time_t when;
    nq_dataset_facts facts;
} kept_dataset;

struct nq_input_cache {
    pthread_mutex_t file_mutex, dataset_mutex;
    kept_file files[FILES_KEPT];
    size_t file_count, file_next;
    kept_dataset datasets[DATASETS_KEPT];
    size_t dataset_next;
};

nq_status nq_input_cache_new(nq_input_cache **cache, nq_error *err)
{
    *cache = calloc(1, sizeof **cache);
    if (!*cache)
        return nq_fail_nomem(err, "a cache", sizeof **cache);
    pthread_mutex_init(&(*cache)->file_mutex, NULL);
    pthread_mutex_init(&(*cache)->dataset_mutex, NULL);
    return NQ_OK;
}

void nq_input_cache_free(nq_input_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < DATASETS_KEPT; i++)
        free(cache->datasets[i].key);
    pthread_mutex_destroy(&cache->file_mutex);
    pthread_mutex_destroy(&cache->dataset_mutex);
    free(cache);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

static nq_status hash_open_file(nq_input_cache *cache, int fd, const char *name,
                                const struct stat *st, char text[NQ_SHA256_TEXT], nq_error *err)
{
    uint8_t digest[NQ_SHA256_BYTES];
    for (size_t i = 0; i < cache->file_count; i++) {
        if (!same_file(&cache->files[i].st, st))
            continue;
        memcpy(text, cache->files[i].text, NQ_SHA256_TEXT);
        return NQ_OK;
    }
    nq_status status = nq_hash_fd(fd, name, digest, NULL, err);
    if (status != NQ_OK)
        return status;
    nq_hash_text(digest, text);
    if (time(NULL) - st->st_mtim.tv_sec < RACY_SECONDS)
        return NQ_OK;
    kept_file *kept = &cache->files[cache->file_next];
    cache->file_next = (cache->file_next + 1) % FILES_KEPT;
    if (cache->file_count < FILES_KEPT)
        cache->file_count++;
    kept->st = *st;
    memcpy(kept->text, text, NQ_SHA256_TEXT);
    return NQ_OK;
}

nq_status nq_inputs_hash_file(nq_input_cache *cache, const nq_place *place,
                              char text[NQ_SHA256_TEXT], int64_t *bytes, nq_error *err)
{
    int fd;
    struct stat st;
    nq_status status = nq_file_open_beneath(place->root, place->path, O_RDONLY, &fd, err);
    if (status != NQ_OK)
        return status;
    pthread_mutex_lock(&cache->file_mutex);
    if (fstat(fd, &st) != 0)
        status = nq_fail_errno(err, errno, "cannot read %s", place->path);
    else
        status = hash_open_file(cache, fd, place->path, &st, text, err);
    pthread_mutex_unlock(&cache->file_mutex);
    close(fd);
    if (status == NQ_OK && bytes)
        *bytes = st.st_size;
    return status;
}

static nq_status read_place(const nq_place *place, uint8_t **data, size_t *size, nq_error *err)
{
    *data = NULL;
    *size = 0;
    if (!place->root)
        return NQ_OK;
    return nq_file_read_beneath(place->root, place->path, LABELS_LIMIT, data, size, err);
}

nq_status nq_inputs_list(const nq_inputs *in, nq_dataset *dataset, nq_error *err)
{
    uint8_t *labels = NULL, *wnids = NULL;
    size_t labels_size = 0, wnids_size = 0;
    *dataset = (nq_dataset){0};
    nq_status status = read_place(&in->labels, &labels, &labels_size, err);
    if (status == NQ_OK)
        status = read_place(&in->wnids, &wnids, &wnids_size, err);
    if (status == NQ_OK)
        status = nq_dataset_list(in->dataset.root, in->dataset.path, (const char *)labels,
                                 labels_size, (const char *)wnids, wnids_size, dataset, err);
    free(labels);
    free(wnids);
    return status;
}

static bool is_wnid(const char *name)
{
    return name[0] == 'n' && strlen(name) == 9 && strspn(name + 1, "0123456789") == 8;
}

static nq_status list_facts(const nq_inputs *in, nq_dataset_facts *facts, nq_error *err)
{
    nq_dataset dataset;
    nq_status status = nq_inputs_list(in, &dataset, err);
    if (status == NQ_OK) {
        *facts = (nq_dataset_facts){.images = (int64_t)dataset.count,
                                    .classes = (int64_t)dataset.class_count,
                                    .label_end = dataset.label_end,
                                    .folders_are_wnids = !in->labels.root,
                                    .unused_labels = (int64_t)dataset.unused_labels};
        nq_hash_text(dataset.fingerprint, facts->fingerprint);
        nq_hash_text(dataset.stamp, facts->stamp);
        for (size_t i = 0; i < dataset.class_count; i++)
            facts->folders_are_wnids &= is_wnid(dataset.classes[i].name);
    }
    nq_dataset_free(&dataset);
    return status;
}

static time_t steady_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Under the mutex: whoever wants the same listing waits for it. */
static nq_status facts_of(nq_input_cache *cache, const char *key, const nq_inputs *in,
                          nq_dataset_facts *facts, nq_error *err)
{
    kept_dataset *slot = NULL;
    for (size_t i = 0; i < DATASETS_KEPT && !slot; i++)
        if (cache->datasets[i].key && strcmp(cache->datasets[i].key, key) == 0)
            slot = &cache->datasets[i];
    if (slot && steady_seconds() - slot->when < LISTING_SECONDS) {
        *facts = slot->facts;
        return NQ_OK;
    }
    nq_status status = list_facts(in, facts, err);
    if (status != NQ_OK)
        return status;
    if (!slot) {
        char *copy = strdup(key);
        if (!copy)
            return nq_fail_nomem(err, key, strlen(key));
        slot = &cache->datasets[cache->dataset_next];
        cache->dataset_next = (cache->dataset_next + 1) % DATASETS_KEPT;
        free(slot->key);
        slot->key = copy;
    }
    slot->facts = *facts;
    slot->when = steady_seconds();
    return NQ_OK;
}

nq_status nq_inputs_facts(nq_input_cache *cache, const nq_inputs *in, nq_dataset_facts *facts,
                          nq_error *err)
{
    char *key;
    if (asprintf(&key, "%s\n%s\n%s/%s\n%s/%s", in->dataset.root, in->dataset.path,
                 in->labels.root ? in->labels.root : "", in->labels.root ? in->labels.path : "",
                 in->wnids.root ? in->wnids.root : "", in->wnids.root ? in->wnids.path : "") < 0)
        return nq_fail_nomem(err, "a cache", 0);
    pthread_mutex_lock(&cache->dataset_mutex);
    nq_status status = facts_of(cache, key, in, facts, err);
    pthread_mutex_unlock(&cache->dataset_mutex);
    free(key);
    return status;
}

static nq_status copy_spec(const nq_spec *spec, nq_job *job, nq_error *err)
{
    json_t *object = nq_spec_to_json(spec);
    job->spec = object ? json_dumps(object, JSON_COMPACT | NQ_SPEC_DIGITS) : NULL;
    json_decref(object);
    if (!job->spec)
        return nq_fail_nomem(err, "a job's spec", 0);
    bool quantizes = spec->kind == NQ_JOB_QUANTIZE;
    snprintf(job->model, sizeof job->model, "%s", spec->model);
    snprintf(job->preset, sizeof job->preset, "%s", spec->preset);
    snprintf(job->dataset, sizeof job->dataset, "%s",
             *spec->dataset_path ? spec->dataset_path : spec->dataset);
    job->kind = spec->kind;
    int weights = spec->weights.bits ? spec->weights.bits : NQ_BITS_AUTO;
    job->weights_bits = quantizes ? weights : 0;
    job->activations_bits = quantizes ? spec->activations.bits : 0;
    job->limit = spec->limit;
    return NQ_OK;
}

/* A file's hash is worth remembering: 1,000 samples are 600 MB. */
static nq_status hash_calibration(nq_input_cache *cache, const nq_place *place,
                                  char text[NQ_SHA256_TEXT], nq_error *err)
{
    nq_error folder = {0};
    nq_status status = nq_inputs_hash_file(cache, place, text, NULL, &folder);
    return status == NQ_ERR_INPUT ? nq_content_hash(place->root, place->path, text, err)
           : status == NQ_OK      ? NQ_OK
                                  : nq_fail(err, status, "%s", folder.text);
}

nq_status nq_inputs_freeze(nq_input_cache *cache, const nq_spec *spec, const nq_inputs *in,
                           nq_job *job, nq_error *err)
{
    nq_dataset_facts facts;
    nq_status status = copy_spec(spec, job, err);
    snprintf(job->arch, sizeof job->arch, "%s", in->arch);
    if (status == NQ_OK)
        status = nq_inputs_hash_file(cache, &in->checkpoint, job->checkpoint_sha256,
                                     &job->checkpoint_bytes, err);
    if (status == NQ_OK && in->quantized.root)
        status = nq_inputs_hash_file(cache, &in->quantized, job->quantized_sha256, NULL, err);
    if (status == NQ_OK && in->calibration.root)
        status = hash_calibration(cache, &in->calibration, job->calibration_sha256, err);
    if (status == NQ_OK)
        status = nq_inputs_facts(cache, in, &facts, err);
    if (status != NQ_OK)
        return status;
    memcpy(job->dataset_fingerprint, facts.fingerprint, sizeof facts.fingerprint);
    memcpy(job->dataset_stamp, facts.stamp, sizeof facts.stamp);
    job->dataset_images = facts.images;
    job->partial = job->limit > 0 && job->limit < facts.images;
    return nq_job_fingerprint(job, job->fingerprint, err);
}
