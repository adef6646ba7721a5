#include "worker/job_file.h"

#include "common/file.h"
#include "common/version.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define JOB_FILE_LIMIT ((size_t)1 << 20)

static nq_status take_place(const json_t *run, const char *key, nq_place *place, nq_error *err)
{
    const json_t *value = json_object_get(run, key);
    if (!value || json_is_null(value))
        return NQ_OK;
    const char *root = json_string_value(json_object_get(value, "root"));
    const char *path = json_string_value(json_object_get(value, "path"));
    if (!root || !path)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run.%s needs the strings root and path", key);
    place->root = strdup(root);
    place->path = strdup(path);
    return place->root && place->path ? NQ_OK : nq_fail_nomem(err, key, strlen(root));
}

static nq_status take_hash(const json_t *object, const char *owner, const char *key,
                           char text[NQ_SHA256_TEXT], nq_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return NQ_OK;
    const char *hex = json_string_value(value);
    if (!hex || strlen(hex) != NQ_SHA256_TEXT - 1 ||
        strspn(hex, "0123456789abcdef") != NQ_SHA256_TEXT - 1)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: %s.%s is not a SHA-256 in hex", owner, key);
    memcpy(text, hex, NQ_SHA256_TEXT);
    return NQ_OK;
}

static nq_status take_int(const json_t *object, const char *key, long long low, long long high,
                          long long *value, nq_error *err)
{
    const json_t *v = json_object_get(object, key);
    if (!v)
        return NQ_OK;
    if (!json_is_integer(v) || json_integer_value(v) < low || json_integer_value(v) > high)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: %s is not an integer in %lld..%lld", key, low,
                       high);
    *value = json_integer_value(v);
    return NQ_OK;
}

/* What the worker shall do: score (absent), or fill the crop cache. */
static nq_status take_task(const json_t *root, nq_job_file *job, nq_error *err)
{
    const json_t *task = json_object_get(root, "task");
    const char *name = json_string_value(task);
    job->fill_cache = name && strcmp(name, "cache") == 0;
    if (task && !job->fill_cache)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: task is not \"cache\"");
    return job->fill_cache ? NQ_OK
                           : nq_spec_resolve(json_object_get(root, "spec"), &job->spec, err);
}

static nq_status take_frozen(const json_t *root, nq_job_file *job, nq_error *err)
{
    const json_t *checkpoint = json_object_get(root, "checkpoint");
    const json_t *dataset = json_object_get(root, "dataset");
    const char *arch = json_string_value(json_object_get(checkpoint, "arch"));
    const char *name = json_string_value(json_object_get(dataset, "name"));
    if (!job->fill_cache && (!arch || strlen(arch) >= sizeof job->arch))
        return nq_fail(err, NQ_ERR_INPUT, "job.json: checkpoint.arch is missing");
    snprintf(job->arch, sizeof job->arch, "%s", arch ? arch : "");
    snprintf(job->dataset_name, sizeof job->dataset_name, "%s", name ? name : "");
    long long bytes = 0, images = 0;
    nq_status status = take_hash(checkpoint, "checkpoint", "sha256", job->checkpoint_sha256, err);
    if (status == NQ_OK)
        status = take_int(checkpoint, "bytes", 0, 1ll << 40, &bytes, err);
    if (status == NQ_OK)
        status = take_hash(dataset, "dataset", "fingerprint", job->dataset_fingerprint, err);
    if (status == NQ_OK)
        status = take_int(dataset, "images", 0, 1ll << 31, &images, err);
    if (status == NQ_OK)
        status = take_hash(json_object_get(root, "calibration"), "calibration", "sha256",
                           job->calibration_sha256, err);
    if (status == NQ_OK)
        status = take_hash(json_object_get(root, "quantized"), "quantized", "sha256",
                           job->quantized_sha256, err);
    job->checkpoint_bytes = (uint64_t)bytes;
    job->dataset_images = (uint64_t)images;
    return status;
}

/* {"directory", "limit", "keep_free"}: where crops are kept; null or absent: nowhere. */
static nq_status take_cache(const json_t *run, nq_crop_place *cache, nq_error *err)
{
    const json_t *value = json_object_get(run, "cache");
    if (!value || json_is_null(value))
        return NQ_OK;
    const char *directory = json_string_value(json_object_get(value, "directory"));
    long long limit = 0, keep_free = 0;
    if (!directory)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run.cache needs the string directory");
    nq_status status = take_int(value, "limit", 0, 1ll << 50, &limit, err);
    if (status == NQ_OK)
        status = take_int(value, "keep_free", 0, 1ll << 50, &keep_free, err);
    cache->limit = (uint64_t)limit;
    cache->keep_free = (uint64_t)keep_free;
    cache->directory = status == NQ_OK ? strdup(directory) : NULL;
    return status == NQ_OK && !cache->directory ? nq_fail_nomem(err, directory, strlen(directory))
                                                : status;
}

static nq_status take_run(const json_t *run, nq_job_file *job, nq_error *err)
{
    if (!json_is_object(run))
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run is missing");
    struct {
        const char *key;
        nq_place *place;
    } places[] = {{"checkpoint", &job->checkpoint},
                  {"dataset", &job->dataset},
                  {"labels", &job->labels},
                  {"wnids", &job->wnids},
                  {"calibration", &job->calibration},
                  {"quantized", &job->quantized},
                  {"float_output", &job->float_output},
                  {"float_logits", &job->float_logits},
                  {"shared_images", &job->shared_images}};
    nq_status status = NQ_OK;
    for (size_t i = 0; i < sizeof places / sizeof places[0] && status == NQ_OK; i++)
        status = take_place(run, places[i].key, places[i].place, err);
    if (status == NQ_OK)
        status = take_cache(run, &job->cache, err);
    long long threads = 1, memory = 0, pid = 0;
    if (status == NQ_OK)
        status = take_hash(run, "run", "dataset_stamp", job->dataset_stamp, err);
    if (status == NQ_OK)
        status = take_int(run, "threads", 1, 256, &threads, err);
    if (status == NQ_OK)
        status = take_int(run, "memory_mb", 0, 1 << 24, &memory, err);
    if (status == NQ_OK)
        status = take_int(run, "daemon_pid", 0, 1 << 30, &pid, err);
    job->threads = (int)threads;
    job->memory_mb = (int)memory;
    job->daemon_pid = (long)pid;
    if (status == NQ_OK && !job->fill_cache && !job->checkpoint.root)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run.checkpoint is missing");
    if (status == NQ_OK && !job->dataset.root)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run.dataset is missing");
    return status;
}

nq_status nq_job_file_read(const char *dir, nq_job_file *job, nq_error *err)
{
    *job = (nq_job_file){0};
    uint8_t *data = NULL;
    size_t size;
    json_t *root = NULL;
    char *path = nq_path_join(dir, "job.json");
    if (!path)
        return nq_fail_nomem(err, "a path", strlen(dir));
    nq_status status = nq_file_read(path, JOB_FILE_LIMIT, &data, &size, err);
    if (status != NQ_OK)
        goto cleanup;
    json_error_t where;
    root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(root)) {
        status = nq_fail(err, NQ_ERR_INPUT, "%s is not a JSON object (byte %d: %s)", path,
                         where.position, where.text);
        goto cleanup;
    }
    long long format = 0, id = 0;
    status = take_int(root, "format", 0, 1 << 30, &format, err);
    if (status == NQ_OK && format != NQ_JOB_FORMAT)
        status = nq_fail(err, NQ_ERR_INPUT, "%s has format %lld, this worker reads %d", path,
                         format, NQ_JOB_FORMAT);
    if (status == NQ_OK)
        status = take_int(root, "job", 0, 1 << 30, &id, err);
    job->id = (int)id;
    if (status == NQ_OK)
        status = take_task(root, job, err);
    if (status == NQ_OK)
        status = take_hash(root, "job", "fingerprint", job->fingerprint, err);
    if (status == NQ_OK)
        status = take_frozen(root, job, err);
    if (status == NQ_OK)
        status = take_run(json_object_get(root, "run"), job, err);
cleanup:
    json_decref(root);
    free(data);
    free(path);
    return status;
}

void nq_job_file_free(nq_job_file *job)
{
    nq_place *places[] = {&job->checkpoint,   &job->dataset,      &job->labels,
                          &job->wnids,        &job->calibration,  &job->quantized,
                          &job->float_output, &job->float_logits, &job->shared_images};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        free(places[i]->root);
        free(places[i]->path);
        *places[i] = (nq_place){NULL, NULL};
    }
    free(job->cache.directory);
    job->cache.directory = NULL;
}

nq_status nq_place_read(const nq_place *place, size_t limit, uint8_t **data, size_t *size,
                        nq_error *err)
{
    return nq_file_read_beneath(place->root, place->path, limit, data, size, err);
}
