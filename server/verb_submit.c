/* submit: specs are resolved and their inputs frozen on the pool, then inserted in one transaction.
 */
#include "server/verbs.h"

#include "common/log.h"
#include "server/estimate.h"
#include "server/scheduler.h"
#include "server/watch.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    nq_job *jobs;
    size_t count;
    nq_id_list ids;
    int64_t group;
    bool duplicate;
    /* Of a dry run. */
    int64_t *sizes;
    nq_past_run *past; /* jobs alike, to take the time from */
} submission;

static void free_submission(void *state)
{
    submission *s = state;
    for (size_t i = 0; i < s->count; i++)
        nq_job_clear(&s->jobs[i]);
    free(s->jobs);
    free(s->sizes);
    free(s->past);
    nq_id_list_free(&s->ids);
    free(s);
}

static nq_status resolve(const nq_call *call, const json_t *written, nq_spec *spec, nq_error *err)
{
    const nq_config *config = call->daemon->config;
    if (!json_is_object(written))
        return nq_fail(err, NQ_ERR_INPUT, "a spec must be an object");
    json_t *copy = json_copy((json_t *)written);
    int bad = !copy;
    if (config->unreadable == NQ_UNREADABLE_WRONG && !json_object_get(copy, "unreadable"))
        bad |= json_object_set_new(copy, "unreadable", json_string("wrong"));
    nq_status status = bad ? nq_fail_nomem(err, "a spec", 0) : nq_spec_resolve(copy, spec, err);
    json_decref(copy);
    return status;
}

static int64_t file_bytes(const nq_call *call, const nq_place *place)
{
    char ignored[NQ_SHA256_TEXT];
    int64_t bytes = 0;
    nq_error err;
    if (place->root)
        nq_inputs_hash_file(call->daemon->inputs, place, ignored, &bytes, &err);
    return bytes;
}

static nq_status freeze_one(nq_call *call, size_t i, const json_t *written, nq_error *err)
{
    submission *s = call->state;
    nq_spec spec;
    nq_inputs in = {0};
    nq_job *job = &s->jobs[i];
    nq_status status = resolve(call, written, &spec, err);
    if (status == NQ_ERR_INPUT)
        call->code = "bad_spec";
    if (status == NQ_OK)
        status = nq_inputs_find(call->daemon->config, &spec, &in, err);
    if (status == NQ_OK)
        status = nq_inputs_freeze(call->daemon->inputs, &spec, &in, job, err);
    if (status == NQ_OK) {
        s->sizes[i] = nq_estimate_model_size(&spec, job->arch, job->checkpoint_bytes,
                                             file_bytes(call, &in.quantized));
        job->uid = call->uid;
        job->priority = (int)nq_request_int(&call->request, "priority", 0);
        job->state = nq_request_flag(&call->request, "hold") ? NQ_STATE_HELD : NQ_STATE_QUEUED;
        snprintf(job->reason, sizeof job->reason, "%s",
                 job->state == NQ_STATE_HELD ? "held by its owner" : "");
        snprintf(job->token, sizeof job->token, "%s", nq_request_text(&call->request, "token", ""));
        job->submitted = nq_time_now();
    }
    nq_inputs_free(&in);
    return status;
}

/* On the pool. */
static nq_status freeze(nq_call *call, nq_error *err)
{
    submission *s = call->state;
    json_t *one = json_object_get(call->request.object, "spec");
    json_t *many = json_object_get(call->request.object, "specs");
    size_t count = one ? 1 : json_array_size(many);
    s->jobs = calloc(count, sizeof *s->jobs);
    s->sizes = calloc(count, sizeof *s->sizes);
    s->past = calloc(count, sizeof *s->past);
    if (!s->jobs || !s->sizes || !s->past)
        return nq_fail_nomem(err, "jobs", count * sizeof *s->jobs);
    s->count = count;
    for (size_t i = 0; i < count; i++) {
        nq_status status = freeze_one(call, i, one ? one : json_array_get(many, i), err);
        if (status != NQ_OK)
            return one ? status : nq_error_prefix(err, "specs[%zu]", i);
    }
    return NQ_OK;
}

/* ---- for good ---- */

static nq_status insert(nq_call *call, nq_store *store, nq_error *err)
{
    submission *s = call->state;
    bool group = json_object_get(call->request.object, "specs") != NULL;
    nq_status status =
        nq_store_submit(store, s->jobs, s->count, group, call->daemon->config->queued_jobs, &s->ids,
                        &s->group, &s->duplicate, err);
    if (status == NQ_ERR_STATE)
        call->code = "busy";
    return status;
}

static void inserted(nq_call *call)
{
    submission *s = call->state;
    nq_daemon *d = call->daemon;
    json_t *reply = nq_ids_json("jobs", &s->ids);
    json_t *group = s->group ? json_integer(s->group) : json_null();
    int bad = json_object_set_new(reply, "group", group);
    if (s->duplicate)
        bad |= json_object_set_new(reply, "duplicate", json_true());
    if (bad) {
        json_decref(reply);
        reply = NULL;
    }
    for (size_t i = 0; i < s->ids.count && !s->duplicate; i++)
        nq_watch_changed(d, s->ids.ids[i], s->group);
    nq_log(NQ_LOG_INFO, "submit", "jobs", "%zu", s->ids.count, "first", "%lld",
           (long long)s->ids.ids[0], "uid", "%u", call->uid, "duplicate", "%d", (int)s->duplicate,
           NULL);
    nq_call_reply(call, reply);
    nq_scheduler_wake(d);
}

/* ---- dry run ---- */

static nq_status find_past(nq_call *call, nq_store *store, nq_error *err)
{
    submission *s = call->state;
    nq_status status = NQ_OK;
    for (size_t i = 0; i < s->count && status == NQ_OK; i++)
        status = nq_store_past_run(store, s->jobs[i].model, s->jobs[i].kind, &s->past[i], err);
    return status;
}

static json_t *plan_json(const submission *s, size_t i, int threads)
{
    const nq_job *job = &s->jobs[i];
    json_error_t ignored;
    json_t *spec = json_loads(job->spec, 0, &ignored);
    const json_t *samples = json_object_get(json_object_get(spec, "calibrate"), "samples");
    int64_t images = job->partial ? job->limit : job->dataset_images;
    double seconds = nq_estimate_seconds(job->kind, job->arch, json_integer_value(samples), images,
                                         threads, &s->past[i]);
    return json_pack("{s:o, s:I, s:I, s:f, s:b, s:I, s:I}", "spec", spec, "new_model_size",
                     (json_int_t)s->sizes[i], "original_model_size",
                     (json_int_t)job->checkpoint_bytes, "seconds", seconds, "measured",
                     s->past[i].seconds > 0, "disk_bytes",
                     (json_int_t)nq_estimate_disk(job, s->sizes[i]), "images", (json_int_t)images);
}

static void planned(nq_call *call)
{
    const submission *s = call->state;
    json_t *plans = json_array();
    int bad = !plans;
    for (size_t i = 0; i < s->count && !bad; i++)
        bad |= json_array_append_new(plans, plan_json(s, i, call->daemon->config->threads));
    json_t *reply = bad ? NULL : json_pack("{s:O}", "plans", plans);
    json_decref(plans);
    nq_call_reply(call, reply);
}

static void frozen(nq_call *call)
{
    if (nq_request_flag(&call->request, "dry_run"))
        nq_call_on_store(call, false, find_past, planned);
    else
        nq_call_on_store(call, true, insert, inserted);
}

void nq_verb_submit(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(submission), free_submission))
        nq_call_on_pool(call, freeze, frozen);
}
