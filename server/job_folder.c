/* JOBDIR/job.json: all that a worker is told (docs/job-directory.md). */
#include "server/slot.h"

#include "common/file.h"
#include "common/json.h"
#include "common/version.h"
#include "server/startup.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_KEPT (4 << 20) /* a longer worker.log of earlier attempts begins anew */

static json_t *place_json(const nq_place *place)
{
    return place->root ? json_pack("{s:s, s:s}", "root", place->root, "path", place->path)
                       : json_null();
}

static json_t *hash_json(const char *sha256)
{
    return *sha256 ? json_pack("{s:s}", "sha256", sha256) : json_null();
}

/* An artifact of the float job that the job is compared with; null where there is none. */
static json_t *float_artifact_json(const nq_slot *slot, const char *name, nq_error *err)
{
    if (!slot->float_job)
        return json_null();
    char *folder = nq_daemon_job_folder(slot->daemon->config, slot->float_job);
    char *out = folder ? nq_path_join(folder, "out") : NULL;
    json_t *value = NULL;
    int fd;
    if (out && nq_file_open_beneath(out, name, O_RDONLY, &fd, err) == NQ_OK) {
        close(fd);
        value = json_pack("{s:s, s:s}", "root", out, "path", name);
    } else {
        value = out ? json_null() : NULL;
    }
    free(out);
    free(folder);
    return value;
}

static json_t *cache_json(const nq_config *config)
{
    return config->cache_limit_mb > 0
               ? json_pack("{s:s, s:I, s:I}", "directory", config->cache_directory, "limit",
                           (json_int_t)config->cache_limit_mb * 1000000, "keep_free",
                           (json_int_t)config->cache_keep_free_mb * 1000000)
               : json_null();
}

static json_t *run_json(const nq_slot *slot, const nq_inputs *in, nq_error *err)
{
    const nq_config *config = slot->daemon->config;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:s, s:s}, s:s, s:i, s:i, s:i}",
        "checkpoint", place_json(&in->checkpoint), "dataset", place_json(&in->dataset), "labels",
        place_json(&in->labels), "wnids", place_json(&in->wnids), "calibration",
        place_json(&in->calibration), "quantized", place_json(&in->quantized), "float_output",
        float_artifact_json(slot, "output.txt", err), "float_logits",
        float_artifact_json(slot, "logits.npy", err), "cache", cache_json(config), "shared_images",
        "root", config->state, "path", NQ_SHARED_IMAGES, "dataset_stamp", slot->job.dataset_stamp,
        "threads", config->threads, "memory_mb", config->memory_mb, "daemon_pid", (int)getpid());
}

static json_t *job_json(const nq_slot *slot, const nq_inputs *in, json_t *spec, nq_error *err)
{
    const nq_job *job = &slot->job;
    return json_pack("{s:i, s:I, s:O, s:s, s:{s:s, s:I, s:s}, s:{s:s, s:s, s:I}, s:o, s:o, s:o}",
                     "format", NQ_JOB_FORMAT, "job", (json_int_t)job->id, "spec", spec,
                     "fingerprint", job->fingerprint, "checkpoint", "sha256",
                     job->checkpoint_sha256, "bytes", (json_int_t)job->checkpoint_bytes, "arch",
                     job->arch, "dataset", "name", job->dataset, "fingerprint",
                     job->dataset_fingerprint, "images", (json_int_t)job->dataset_images,
                     "calibration", hash_json(job->calibration_sha256), "quantized",
                     hash_json(job->quantized_sha256), "run", run_json(slot, in, err));
}

/* job.json; takes over `job`, which is NULL where memory was short. */
static nq_status write_json(const nq_slot *slot, json_t *job, nq_error *err)
{
    char *path = nq_path_join(slot->folder, "job.json");
    char *dump = job ? json_dumps(job, JSON_COMPACT) : NULL;
    nq_status status = dump && path ? nq_file_write_atomic(path, dump, strlen(dump), err)
                                    : nq_fail_nomem(err, "job.json", 0);
    free(dump);
    free(path);
    json_decref(job);
    return status;
}

static nq_status write_job(const nq_slot *slot, nq_error *err)
{
    nq_spec spec;
    nq_inputs inputs = {0};
    json_t *written = NULL;
    nq_error ignored = {0};
    const char *text = slot->job.spec;
    nq_status status = nq_json_parse(text, strlen(text), strlen(text), "spec", &written, err);
    if (status == NQ_OK)
        status = nq_spec_resolve(written, &spec, err);
    if (status == NQ_OK)
        status = nq_inputs_find(slot->daemon->config, &spec, &inputs, err);
    if (status == NQ_OK && strcmp(inputs.arch, slot->job.arch) != 0)
        status = nq_fail(err, NQ_ERR_INPUT,
                         "model %s was a %s when the job was submitted and is a %s now",
                         slot->job.model, slot->job.arch, inputs.arch);
    if (status == NQ_OK)
        status = write_json(slot, job_json(slot, &inputs, written, &ignored), err);
    json_decref(written);
    nq_inputs_free(&inputs);
    return status;
}

/* Both streams of the worker; a line says where each attempt begins. */
static nq_status open_log(nq_slot *slot, nq_error *err)
{
    char line[96], when[32];
    struct stat st;
    struct tm parts;
    time_t now = time(NULL);
    char *path = nq_path_join(slot->folder, "worker.log");
    if (!path)
        return nq_fail_nomem(err, "a path", strlen(slot->folder));
    slot->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    nq_status status = slot->log_fd < 0 ? nq_fail_errno(err, errno, "cannot open %s", path) : NQ_OK;
    if (status == NQ_OK && fstat(slot->log_fd, &st) == 0 && st.st_size > LOG_KEPT &&
        ftruncate(slot->log_fd, 0) != 0)
        status = nq_fail_errno(err, errno, "cannot begin %s anew", path);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    int n = snprintf(line, sizeof line, "-- %s job %lld, attempt %d\n", when,
                     (long long)slot->job.id, slot->job.attempts + 1);
    if (status == NQ_OK)
        status = nq_file_write_all(slot->log_fd, line, (size_t)n, path, err);
    free(path);
    return status;
}

nq_status nq_slot_prepare(nq_slot *slot, nq_error *err)
{
    nq_status status = nq_dir_make(slot->folder, 0700, err);
    if (status == NQ_OK)
        status = write_job(slot, err);
    return status == NQ_OK ? open_log(slot, err) : status;
}

nq_status nq_slot_prepare_cache(nq_slot *slot, const nq_config_dataset *dataset, nq_error *err)
{
    const nq_config *config = slot->daemon->config;
    nq_inputs in = {0};
    nq_status status = nq_dir_remove(slot->folder, err);
    if (status == NQ_OK)
        status = nq_dir_make(slot->folder, 0700, err);
    if (status == NQ_OK)
        status = nq_inputs_dataset(dataset, &in, err);
    if (status == NQ_OK)
        status = write_json(
            slot,
            json_pack("{s:i, s:i, s:s, s:{s:s}, s:{s:o, s:o, s:o, s:o, s:i, s:i, s:i}}", "format",
                      NQ_JOB_FORMAT, "job", 0, "task", "cache", "dataset", "name", dataset->name,
                      "run", "dataset", place_json(&in.dataset), "labels", place_json(&in.labels),
                      "wnids", place_json(&in.wnids), "cache", cache_json(config), "threads",
                      config->threads, "memory_mb", config->memory_mb, "daemon_pid", (int)getpid()),
            err);
    nq_inputs_free(&in);
    return status == NQ_OK ? open_log(slot, err) : status;
}
