/* status, list, models. */
#include "server/verbs.h"

#include "common/log.h"
#include "server/known.h"
#include "server/scheduler.h"
#include "server/text.h"
#include <stdlib.h>

typedef struct {
    json_t *array; /* jobs, models; or one object */
    json_t *counts;
    bool more;
} look;

static void free_look(void *state)
{
    look *l = state;
    json_decref(l->array);
    json_decref(l->counts);
    free(l);
}

/* ---- status ---- */

static nq_status load_status(nq_call *call, nq_store *store, nq_error *err)
{
    look *l = call->state;
    return nq_store_object(store, nq_request_int(&call->request, "job", 0), true, &l->array, err);
}

static void status_loaded(nq_call *call)
{
    look *l = call->state;
    nq_scheduler_add_progress(call->daemon, l->array);
    nq_call_reply(call, json_pack("{s:O}", "job", l->array));
}

void nq_verb_status(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(look), free_look))
        nq_call_on_store(call, false, load_status, status_loaded);
}

/* ---- list ---- */

static unsigned states_of(const nq_call *call)
{
    const json_t *value = json_object_get(call->request.object, "state");
    unsigned states = 0;
    nq_job_state one;
    size_t i;
    json_t *name;
    if (json_is_string(value) && nq_job_state_find(json_string_value(value), &one))
        return 1u << one;
    json_array_foreach((json_t *)value, i, name)
    {
        if (nq_job_state_find(json_string_value(name), &one))
            states |= 1u << one;
    }
    return states;
}

static nq_status load_list(nq_call *call, nq_store *store, nq_error *err)
{
    look *l = call->state;
    const nq_request *r = &call->request;
    double since = json_number_value(json_object_get(r->object, "since"));
    nq_store_filter filter = {.states = states_of(call),
                              .model = nq_request_text(r, "model", NULL),
                              .preset = nq_request_text(r, "preset", NULL),
                              .dataset = nq_request_text(r, "dataset", NULL),
                              .group = nq_request_int(r, "group", 0),
                              .uid = nq_request_flag(r, "mine") ? (int64_t)call->uid
                                                                : nq_request_int(r, "uid", -1),
                              .since = (int64_t)(since * 1e6),
                              .after = nq_request_int(r, "after", 0),
                              .most = nq_request_int(r, "limit", 1000)};
    nq_status status = nq_store_list(store, &filter, &l->array, &l->more, err);
    return status == NQ_OK ? nq_store_counts(store, &l->counts, err) : status;
}

static void list_loaded(nq_call *call)
{
    look *l = call->state;
    size_t i;
    json_t *job;
    json_array_foreach(l->array, i, job)
    {
        nq_scheduler_add_progress(call->daemon, job);
    }
    nq_call_reply(call, json_pack("{s:O, s:b, s:O}", "jobs", l->array, "more", (int)l->more,
                                  "counts", l->counts));
}

void nq_verb_list(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(look), free_look))
        nq_call_on_store(call, false, load_list, list_loaded);
}

/* ---- models ---- */

static json_t *describe_model(nq_call *call, const nq_config_model *model)
{
    nq_inputs in = {0};
    nq_error problem = {0};
    char sha256[NQ_SHA256_TEXT] = "";
    int64_t bytes = 0;
    double top1;
    nq_status status = nq_inputs_model(model, &in, &problem);
    if (status == NQ_OK)
        status =
            nq_inputs_hash_file(call->daemon->inputs, &in.checkpoint, sha256, &bytes, &problem);
    nq_inputs_free(&in);
    if (status != NQ_OK)
        nq_log(NQ_LOG_WARN, "model_unreadable", "model", "%s", model->name, "why", "%s",
               problem.text, NULL);
    json_t *expected = nq_known_top1(call->daemon->config, model->name, sha256, &top1)
                           ? json_real(top1)
                           : json_null();
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", model->name, "arch", model->arch,
                     "checkpoint", nq_text_json(model->checkpoint), "bytes",
                     status == NQ_OK ? json_integer(bytes) : json_null(), "sha256",
                     status == NQ_OK ? json_string(sha256) : json_null(), "float_top1", expected);
}

static nq_status find_models(nq_call *call, nq_error *err)
{
    look *l = call->state;
    const nq_config *config = call->daemon->config;
    l->array = json_array();
    for (size_t i = 0; i < config->model_count; i++)
        if (json_array_append_new(l->array, describe_model(call, &config->models[i])) != 0)
            return nq_fail_nomem(err, "models", 0);
    return NQ_OK;
}

static void models_found(nq_call *call)
{
    look *l = call->state;
    nq_call_reply(call, json_pack("{s:O}", "models", l->array));
}

void nq_verb_models(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(look), free_look))
        nq_call_on_pool(call, find_models, models_found);
}
