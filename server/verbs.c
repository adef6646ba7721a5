#include "server/verbs.h"

#include "common/log.h"
#include "common/version.h"
#include "server/scheduler.h"
#include "server/watch.h"
#include <stdlib.h>
#include <unistd.h>

static void verb_hello(nq_call *call)
{
    nq_call_reply(call, json_pack("{s:s, s:i, s:i, s:I, s:f}", "version", NQ_VERSION, "protocol",
                                  NQ_PROTOCOL_VERSION, "pid", (int)getpid(), "uid",
                                  (json_int_t)call->uid, "now", (double)nq_time_now() / 1e6));
}

static void (*const verbs[NQ_OP_COUNT])(nq_call *call) = {
    [NQ_OP_HELLO] = verb_hello,
    [NQ_OP_SUBMIT] = nq_verb_submit,
    [NQ_OP_STATUS] = nq_verb_status,
    [NQ_OP_LIST] = nq_verb_list,
    [NQ_OP_WATCH] = nq_watch_begin,
    [NQ_OP_CANCEL] = nq_verb_change,
    [NQ_OP_HOLD] = nq_verb_change,
    [NQ_OP_RELEASE] = nq_verb_change,
    [NQ_OP_GET] = nq_verb_get,
    [NQ_OP_LOGS] = nq_verb_logs,
    [NQ_OP_MODELS] = nq_verb_models,
    [NQ_OP_DATASETS] = nq_verb_datasets,
    [NQ_OP_LEADERBOARD] = nq_verb_leaderboard,
    [NQ_OP_DIFF] = nq_verb_diff,
    [NQ_OP_CACHE] = nq_verb_cache,
    [NQ_OP_CACHE_BUILD] = nq_verb_cache_build,
    [NQ_OP_CACHE_DROP] = nq_verb_cache_drop,
};

void nq_verb_run(nq_call *call)
{
    nq_log(NQ_LOG_DEBUG, "request", "op", "%s", nq_op_name(call->request.op), "uid", "%u",
           call->uid, NULL);
    verbs[call->request.op](call);
}

void *nq_call_make_state(nq_call *call, size_t size, void (*free_state)(void *state))
{
    call->state = calloc(1, size);
    call->free_state = free_state ? free_state : free;
    if (!call->state) {
        call->free_state = NULL;
        nq_fail_nomem(&call->err, "a request", size);
        nq_call_fail(call);
    }
    return call->state;
}

nq_selection nq_call_selection(const nq_call *call)
{
    return (nq_selection){.job = nq_request_int(&call->request, "job", 0),
                          .group = nq_request_int(&call->request, "group", 0)};
}

json_t *nq_ids_json(const char *key, const nq_id_list *ids)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < ids->count; i++)
        if (json_array_append_new(array, json_integer(ids->ids[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array ? json_pack("{s:o}", key, array) : NULL;
}

/* ---- cancel, hold, release ---- */

static void free_ids(void *state)
{
    nq_id_list_free(state);
    free(state);
}

static nq_change change_of(const nq_call *call)
{
    return call->request.op == NQ_OP_CANCEL ? NQ_CHANGE_CANCEL
           : call->request.op == NQ_OP_HOLD ? NQ_CHANGE_HOLD
                                            : NQ_CHANGE_RELEASE;
}

static nq_status change_jobs(nq_call *call, nq_store *store, nq_error *err)
{
    return nq_store_change(store, change_of(call), nq_call_selection(call), call->uid,
                           nq_call_is_trusted(call), nq_time_now(), call->state, err);
}

static void jobs_changed(nq_call *call)
{
    nq_daemon *d = call->daemon;
    const nq_id_list *ids = call->state;
    nq_change change = change_of(call);
    int64_t group = nq_call_selection(call).group;
    for (size_t i = 0; i < ids->count; i++) {
        if (change == NQ_CHANGE_CANCEL)
            nq_scheduler_cancel(d, ids->ids[i]);
        nq_watch_changed(d, ids->ids[i], group);
    }
    nq_log(NQ_LOG_INFO, nq_op_name(call->request.op), "jobs", "%zu", ids->count, "first", "%lld",
           ids->count ? (long long)ids->ids[0] : 0, "uid", "%u", call->uid, NULL);
    nq_call_reply(call, nq_ids_json(change == NQ_CHANGE_CANCEL ? "cancelled" : "jobs", ids));
    nq_scheduler_wake(d);
}

void nq_verb_change(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(nq_id_list), free_ids))
        nq_call_on_store(call, true, change_jobs, jobs_changed);
}
