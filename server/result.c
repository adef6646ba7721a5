#include "server/result.h"

#include "common/json.h"
#include "common/version.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_COUNT ((long long)1 << 40)

bool nq_artifact_name_valid(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n < NQ_ARTIFACT_NAME && !name[n] && name[0] != '.';
}

static nq_status count_of(const json_t *object, const char *key, int64_t *value, nq_error *err)
{
    long long number = 0;
    nq_status status = nq_json_require(object, key, err);
    if (status == NQ_OK)
        status = nq_json_get_int(object, key, 0, LARGEST_COUNT, &number, err);
    *value = number;
    return status;
}

static nq_status hash_of(const json_t *object, const char *key, char out[NQ_SHA256_TEXT],
                         nq_error *err)
{
    const char *text = "";
    nq_status status = nq_json_get_string(object, key, &text, err);
    if (status == NQ_OK && (strlen(text) != NQ_SHA256_TEXT - 1 ||
                            strspn(text, "0123456789abcdef") != NQ_SHA256_TEXT - 1))
        return nq_fail(err, NQ_ERR_INPUT, "%s: is not a SHA-256 in hex", key);
    if (status == NQ_OK)
        memcpy(out, text, NQ_SHA256_TEXT);
    return status;
}

static nq_status take_artifact(const json_t *value, nq_ending *ending, nq_error *err)
{
    nq_artifact *a = &ending->artifacts[ending->artifact_count];
    const char *name = "";
    if (!json_is_object(value))
        return nq_fail(err, NQ_ERR_INPUT, "artifacts: an entry is not an object");
    nq_status status = nq_json_get_string(value, "name", &name, err);
    if (status == NQ_OK && !nq_artifact_name_valid(name))
        return nq_fail(err, NQ_ERR_INPUT, "artifacts: \"%.80s\" is not a name of an artifact",
                       name);
    for (size_t i = 0; i < ending->artifact_count && status == NQ_OK; i++)
        if (strcmp(ending->artifacts[i].name, name) == 0)
            return nq_fail(err, NQ_ERR_INPUT, "artifacts: %s is listed twice", name);
    if (status == NQ_OK)
        status = count_of(value, "bytes", &a->bytes, err);
    if (status == NQ_OK)
        status = hash_of(value, "sha256", a->sha256, err);
    if (status != NQ_OK)
        return nq_error_prefix(err, "artifacts");
    strcpy(a->name, name);
    ending->artifact_count++;
    return NQ_OK;
}

static nq_status take_artifacts(const json_t *object, nq_ending *ending, nq_error *err)
{
    json_t *array = NULL;
    nq_status status = nq_json_require(object, "artifacts", err);
    if (status == NQ_OK)
        status = nq_json_get_array(object, "artifacts", &array, err);
    if (status != NQ_OK)
        return status;
    size_t count = json_array_size(array);
    if (count > NQ_ARTIFACTS_MOST)
        return nq_fail(err, NQ_ERR_INPUT, "artifacts: %zu are listed, at most %d are taken", count,
                       NQ_ARTIFACTS_MOST);
    ending->artifacts = calloc(count ? count : 1, sizeof *ending->artifacts);
    if (!ending->artifacts)
        return nq_fail_nomem(err, "artifacts", count * sizeof *ending->artifacts);
    for (size_t i = 0; i < count && status == NQ_OK; i++)
        status = take_artifact(json_array_get(array, i), ending, err);
    return status;
}

static nq_status take_summary(const json_t *object, nq_job_summary *s, nq_error *err)
{
    json_t *summary = NULL;
    nq_status status = nq_json_require(object, "summary", err);
    if (status == NQ_OK)
        status = nq_json_get_object(object, "summary", &summary, err);
    const struct {
        const char *key;
        int64_t *value;
    } counts[] = {{"images", &s->images},
                  {"top1_right", &s->top1_right},
                  {"top5_right", &s->top5_right},
                  {"unreadable", &s->unreadable},
                  {"original_model_size", &s->original_model_size},
                  {"new_model_size", &s->new_model_size},
                  {"agreement_images", &s->agreement_images}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && status == NQ_OK; i++)
        status = count_of(summary, counts[i].key, counts[i].value, err);
    s->agreement_same = -1;
    if (status == NQ_OK && !json_is_null(json_object_get(summary, "agreement_same")))
        status = count_of(summary, "agreement_same", &s->agreement_same, err);
    if (status == NQ_OK)
        status = nq_json_require(summary, "seconds", err);
    if (status == NQ_OK)
        status = nq_json_get_real(summary, "seconds", &s->seconds, err);
    if (status != NQ_OK)
        return nq_error_prefix(err, "summary");
    if (s->top1_right > s->top5_right || s->top5_right > s->images || s->unreadable > s->images ||
        s->agreement_same > s->agreement_images || s->agreement_images > s->images ||
        !isfinite(s->seconds) || s->seconds < 0)
        return nq_fail(err, NQ_ERR_INPUT, "summary: the counts contradict each other");
    return NQ_OK;
}

static nq_status take_failure(const json_t *object, nq_ending *ending, nq_error *err)
{
    const char *reason = "";
    nq_status status = nq_json_get_string(object, "reason", &reason, err);
    if (status != NQ_OK)
        return status;
    if (!*reason)
        return nq_fail(err, NQ_ERR_INPUT, "reason: a failed job must say why");
    nq_error printable; /* cut to size, control characters gone */
    nq_fail(&printable, NQ_ERR_INPUT, "%s", reason);
    memcpy(ending->reason, printable.text, sizeof ending->reason);
    return NQ_OK;
}

static nq_status take_result(const json_t *object, int64_t job, const char *fingerprint,
                             nq_ending *ending, nq_error *err)
{
    long long format = 0, number = 0;
    const char *print = "", *state = "";
    nq_status status = nq_json_get_int(object, "format", 0, 1 << 30, &format, err);
    if (status == NQ_OK && format != NQ_JOB_FORMAT)
        return nq_fail(err, NQ_ERR_INPUT, "format: %lld is not %d", format, NQ_JOB_FORMAT);
    if (status == NQ_OK)
        status = nq_json_get_int(object, "job", 0, INT64_MAX, &number, err);
    if (status == NQ_OK && number != job)
        return nq_fail(err, NQ_ERR_INPUT, "job: %lld is not %lld", number, (long long)job);
    if (status == NQ_OK)
        status = nq_json_get_string(object, "fingerprint", &print, err);
    if (status == NQ_OK && strcmp(print, fingerprint) != 0)
        return nq_fail(err, NQ_ERR_INPUT, "fingerprint: is not the job's");
    if (status == NQ_OK)
        status = nq_json_get_string(object, "state", &state, err);
    if (status != NQ_OK)
        return status;
    ending->attempts = 1;
    if (strcmp(state, "failed") == 0) {
        ending->state = NQ_STATE_FAILED;
        return take_failure(object, ending, err);
    }
    if (strcmp(state, "done") != 0)
        return nq_fail(err, NQ_ERR_INPUT, "state: \"%.40s\" is neither done nor failed", state);
    ending->state = NQ_STATE_DONE;
    status = take_summary(object, &ending->summary, err);
    return status == NQ_OK ? take_artifacts(object, ending, err) : status;
}

nq_status nq_result_parse(const char *text, size_t size, int64_t job, const char *fingerprint,
                          nq_ending *ending, nq_error *err)
{
    json_t *object;
    *ending = (nq_ending){.state = NQ_STATE_QUEUED};
    nq_status status = nq_json_parse(text, size, NQ_RESULT_BYTES, "result.json", &object, err);
    if (status != NQ_OK)
        return status;
    status = take_result(object, job, fingerprint, ending, err);
    json_decref(object);
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "result.json");
}
