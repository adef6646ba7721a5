#include "server/job.h"

#include "server/text.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const state_names[NQ_STATE_COUNT] = {"queued", "held",   "running",
                                                        "done",   "failed", "cancelled"};

void nq_job_clear(nq_job *job)
{
    free(job->spec);
    job->spec = NULL;
}

const char *nq_job_state_name(nq_job_state state)
{
    return state_names[state];
}

bool nq_job_state_find(const char *name, nq_job_state *state)
{
    for (int i = 0; i < NQ_STATE_COUNT; i++) {
        if (strcmp(state_names[i], name) != 0)
            continue;
        *state = (nq_job_state)i;
        return true;
    }
    return false;
}

bool nq_job_state_is_end(nq_job_state state)
{
    return state >= NQ_STATE_DONE;
}

int64_t nq_time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

double nq_per_cent(int64_t right, int64_t images)
{
    return images > 0 ? 100.0 * (double)right / (double)images : 0.0;
}

double nq_compression_ratio(int64_t original, int64_t new_size)
{
    return original > 0 ? 100.0 * (double)(original - new_size) / (double)original : 0.0;
}

int64_t nq_tenths(int64_t right, int64_t images)
{
    return (2000 * right + images) / (2 * images);
}

static json_t *time_value(int64_t microseconds)
{
    return microseconds ? json_real((double)microseconds / 1e6) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return *text ? nq_text_json(text) : json_null();
}

json_t *nq_job_waiting_reason(int64_t before, int64_t running)
{
    if (before > 0)
        return json_sprintf("%lld job%s before it", (long long)before, before == 1 ? "" : "s");
    return running > 0 ? json_sprintf("next; %lld running", (long long)running)
                       : json_string("starts now");
}

static json_t *reason_value(const nq_job *job, int64_t before, int64_t running)
{
    if (*job->reason)
        return nq_text_json(job->reason);
    switch (job->state) {
    case NQ_STATE_QUEUED:
        return nq_job_waiting_reason(before, running);
    case NQ_STATE_HELD:
        return json_string("held");
    case NQ_STATE_RUNNING:
        return job->attempts ? json_sprintf("running, attempt %d", job->attempts + 1)
                             : json_string("running");
    case NQ_STATE_DONE:
        return json_null();
    case NQ_STATE_FAILED:
    case NQ_STATE_CANCELLED:
        break;
    }
    return json_string("no reason was recorded");
}

static json_t *artifacts_value(const nq_artifact *artifacts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        json_t *one = json_pack("{s:s, s:I, s:s}", "name", artifacts[i].name, "bytes",
                                (json_int_t)artifacts[i].bytes, "sha256", artifacts[i].sha256);
        if (json_array_append_new(array, one) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *result_value(const nq_job *job)
{
    const nq_job_summary *s = &job->summary;
    if (!job->has_summary)
        return json_null();
    json_t *agreement = s->agreement_same < 0 || s->agreement_images <= 0
                            ? json_null()
                            : json_real((double)s->agreement_same / (double)s->agreement_images);
    return json_pack(
        "{s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:f, s:o, s:f}", "images", (json_int_t)s->images,
        "top1_right", (json_int_t)s->top1_right, "top5_right", (json_int_t)s->top5_right, "top1",
        nq_per_cent(s->top1_right, s->images), "top5", nq_per_cent(s->top5_right, s->images),
        "unreadable", (json_int_t)s->unreadable, "original_model_size",
        (json_int_t)s->original_model_size, "new_model_size", (json_int_t)s->new_model_size,
        "compression_ratio", nq_compression_ratio(s->original_model_size, s->new_model_size),
        "agreement", agreement, "seconds", s->seconds);
}

json_t *nq_job_to_json(const nq_job *job, const nq_artifact *artifacts, size_t artifact_count,
                       int64_t before, int64_t running, bool with_spec)
{
    json_t *object = json_object();
    if (!object)
        return NULL;
    json_error_t ignored;
    int bad = 0;
    bad |= json_object_set_new(object, "job", json_integer(job->id));
    bad |=
        json_object_set_new(object, "group", job->group ? json_integer(job->group) : json_null());
    bad |= json_object_set_new(object, "state", json_string(nq_job_state_name(job->state)));
    bad |= json_object_set_new(object, "reason", reason_value(job, before, running));
    bad |= json_object_set_new(object, "model", nq_text_json(job->model));
    bad |= json_object_set_new(object, "preset", nq_text_json(job->preset));
    bad |= json_object_set_new(object, "dataset", nq_text_json(job->dataset));
    if (with_spec)
        bad |= json_object_set_new(object, "spec",
                                   json_loads(job->spec ? job->spec : "", 0, &ignored));
    bad |= json_object_set_new(object, "fingerprint", text_or_null(job->fingerprint));
    bad |= json_object_set_new(object, "uid", json_integer(job->uid));
    bad |= json_object_set_new(object, "priority", json_integer(job->priority));
    bad |= json_object_set_new(object, "attempts",
                               json_integer(job->attempts + (job->state == NQ_STATE_RUNNING)));
    bad |= json_object_set_new(object, "submitted", time_value(job->submitted));
    bad |= json_object_set_new(object, "started", time_value(job->started));
    bad |= json_object_set_new(object, "ended", time_value(job->ended));
    bad |= json_object_set_new(object, "progress", json_null());
    bad |= json_object_set_new(object, "partial", json_boolean(job->partial));
    bad |= json_object_set_new(object, "artifacts", artifacts_value(artifacts, artifact_count));
    bad |= json_object_set_new(object, "result", result_value(job));
    if (bad) {
        json_decref(object);
        return NULL;
    }
    return object;
}

nq_status nq_job_fingerprint(const nq_job *job, char text[NQ_SHA256_TEXT], nq_error *err)
{
    const char *parts[] = {job->spec, job->checkpoint_sha256, job->dataset_fingerprint,
                           job->calibration_sha256, job->quantized_sha256};
    uint8_t digest[NQ_SHA256_BYTES];
    nq_hash *h = nq_hash_new();
    if (!h)
        return nq_fail_nomem(err, "a fingerprint", 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        nq_hash_add(h, parts[i], strlen(parts[i]));
        nq_hash_add(h, "\n", 1);
    }
    nq_hash_end(h, digest);
    nq_hash_text(digest, text);
    return NQ_OK;
}
