#include "worker/output/metrics.h"

#include "common/file.h"
#include "common/version.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define UNREADABLE_NAMED 100

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static json_t *hash_json(const uint8_t digest[NQ_SHA256_BYTES])
{
    char text[NQ_SHA256_TEXT];
    nq_hash_text(digest, text);
    return json_string(text);
}

static json_t *unreadable_json(const nq_metrics *m)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < m->summary->images && json_array_size(names) < UNREADABLE_NAMED; i++)
        if (m->verdicts[i].unreadable)
            json_array_append_new(names, json_string(m->dataset->images[m->order[i]].path));
    return names;
}

/* A function of the spec, the checkpoint's and the images' bytes: nothing of the run may enter. */
static json_t *result_json(const nq_metrics *m)
{
    const nq_summary *s = m->summary;
    json_t *agreement =
        s->has_agreement ? json_pack("{s:I, s:I, s:f}", "images", (json_int_t)s->agreement_images,
                                     "same", (json_int_t)s->agreement_same, "percent",
                                     percent(s->agreement_same, s->agreement_images))
                         : json_null();
    json_t *kl =
        s->has_kl ? json_pack("{s:I, s:f}", "images", (json_int_t)s->kl_images, "mean", s->kl_mean)
                  : json_null();
    double ratio = s->original_model_size
                       ? 100.0 * ((double)s->original_model_size - (double)s->new_model_size) /
                             (double)s->original_model_size
                       : 0;
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:I, s:o, s:I, s:I, s:f, s:o, s:o, s:o, s:o}",
                     "images", (json_int_t)s->images, "top1_right", (json_int_t)s->top1_right,
                     "top5_right", (json_int_t)s->top5_right, "top1",
                     percent(s->top1_right, s->images), "top5", percent(s->top5_right, s->images),
                     "unreadable", (json_int_t)s->unreadable, "unreadable_images",
                     unreadable_json(m), "original_model_size", (json_int_t)s->original_model_size,
                     "new_model_size", (json_int_t)s->new_model_size, "compression_ratio", ratio,
                     "agreement_with_float", agreement, "kl_from_float", kl, "logits_sha256",
                     s->has_logits ? hash_json(s->logits) : json_null(), "images_sha256",
                     hash_json(s->images_sha));
}

static void cpu_name(char *text, size_t size)
{
    snprintf(text, size, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            line[strcspn(line, "\n")] = 0;
            snprintf(text, size, "%s", strchr(line, ':') + 2);
            break;
        }
    if (f)
        fclose(f);
}

static json_t *cache_json(const nq_crop_counts *c)
{
    return c ? json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "read", (json_int_t)c->read, "absent",
                         (json_int_t)c->absent, "stale", (json_int_t)c->stale, "damaged",
                         (json_int_t)c->damaged, "stored", (json_int_t)c->stored, "full",
                         (int)c->full)
             : json_null();
}

static json_t *run_json(const nq_metrics *m)
{
    char cpu[256];
    cpu_name(cpu, sizeof cpu);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    json_t *stages = json_array();
    double scoring = 0;
    for (int i = 0; i < m->report->stages; i++) {
        const nq_stage_time *stage = &m->report->stage[i];
        json_array_append_new(
            stages, json_pack("{s:s, s:f}", "stage", stage->name, "seconds", stage->seconds));
        if (strcmp(stage->name, "score") == 0)
            scoring = stage->seconds;
    }
    return json_pack("{s:s, s:s, s:s?, s:i, s:f, s:o, s:f, s:I, s:o}", "netq", NQ_VERSION, "cpu",
                     cpu, "kernels", m->kernels, "threads", m->job->threads, "seconds", m->seconds,
                     "stages", stages, "images_per_second",
                     scoring > 0 ? m->summary->images / scoring : 0.0, "peak_memory_bytes",
                     (json_int_t)usage.ru_maxrss * 1024, "cache", cache_json(m->crops));
}

static nq_status write_json(const char *path, json_t *root, nq_error *err)
{
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text)
        return nq_fail_nomem(err, path, 0);
    nq_status status = nq_file_write_atomic(path, text, strlen(text), err);
    free(text);
    return status;
}

nq_status nq_metrics_write(const char *path, const nq_metrics *m, nq_error *err)
{
    const nq_job_file *job = m->job;
    json_t *root =
        json_pack("{s:i, s:i, s:s, s:o, s:o, s:{s:s, s:s, s:I, s:i}, s:{s:s, s:o, s:I}, s:o}",
                  "format", NQ_JOB_FORMAT, "job", job->id, "fingerprint", job->fingerprint,
                  "result", result_json(m), "spec", nq_spec_to_json(&job->spec), "checkpoint",
                  "arch", job->arch, "sha256", job->checkpoint_sha256, "bytes",
                  (json_int_t)m->summary->original_model_size, "classes", m->classes, "dataset",
                  "name", job->spec.dataset, "fingerprint", hash_json(m->dataset->fingerprint),
                  "images", (json_int_t)m->dataset->count, "run", run_json(m));
    json_object_set(root, "mixed_precision", m->mixed ? m->mixed : json_null());
    json_object_set(root, "layers", m->layers ? m->layers : json_null());
    return write_json(path, root, err);
}

static nq_status artifact_json(const char *dir, const char *name, json_t *list, nq_error *err)
{
    uint8_t digest[NQ_SHA256_BYTES];
    uint64_t bytes;
    char *path;
    if (asprintf(&path, "%s/out/%s", dir, name) < 0)
        return nq_fail_nomem(err, name, strlen(dir));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    nq_status status = fd < 0 ? nq_fail_errno(err, errno, "cannot open %s", path)
                              : nq_hash_fd(fd, path, digest, &bytes, err);
    if (fd >= 0)
        close(fd);
    if (status == NQ_OK &&
        json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "name", name, "bytes",
                                              (json_int_t)bytes, "sha256", hash_json(digest))) != 0)
        status = nq_fail_nomem(err, name, 0);
    free(path);
    return status;
}

nq_status nq_result_write(const char *dir, const nq_job_file *job, const char *const *artifacts,
                          const nq_summary *s, double seconds, const nq_error *failure,
                          nq_error *err)
{
    json_t *list = json_array(), *summary = NULL;
    for (size_t i = 0; artifacts && artifacts[i]; i++) {
        nq_status status = artifact_json(dir, artifacts[i], list, err);
        if (status != NQ_OK) {
            json_decref(list);
            return status;
        }
    }
    if (s)
        summary = json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:f}", "images", (json_int_t)s->images,
            "top1_right", (json_int_t)s->top1_right, "top5_right", (json_int_t)s->top5_right,
            "unreadable", (json_int_t)s->unreadable, "original_model_size",
            (json_int_t)s->original_model_size, "new_model_size", (json_int_t)s->new_model_size,
            "agreement_same", s->has_agreement ? json_integer(s->agreement_same) : json_null(),
            "agreement_images", (json_int_t)s->agreement_images, "seconds", seconds);
    json_t *root = json_pack("{s:i, s:i, s:s, s:s?, s:s?, s:s, s:o, s:o}", "format", NQ_JOB_FORMAT,
                             "job", job->id, "state", failure ? "failed" : "done", "code",
                             failure ? nq_status_name(failure->status) : NULL, "reason",
                             failure ? failure->text : NULL, "fingerprint", job->fingerprint,
                             "artifacts", list, "summary", summary ? summary : json_null());
    char *path = nq_path_join(dir, "result.json");
    if (!path) {
        json_decref(root);
        return nq_fail_nomem(err, "a path", strlen(dir));
    }
    nq_status status = write_json(path, root, err);
    free(path);
    return status;
}
