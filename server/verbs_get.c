/* get, logs: which files a download consists of. */
#include "server/verbs.h"

#include "common/arch.h"
#include "common/file.h"
#include "server/result.h"
#include "server/transfer.h"
#include <stdlib.h>
#include <string.h>

static char *folder_of(const nq_call *call, int64_t id, const char *below)
{
    char *job = nq_daemon_job_folder(call->daemon->config, id);
    char *folder = job ? nq_path_join(job, below) : NULL;
    free(job);
    return folder;
}

/* The call's state becomes a transfer of `parts`. */
static nq_status make_transfer(nq_call *call, size_t parts, nq_error *err)
{
    call->state = nq_transfer_new(parts);
    call->free_state = nq_transfer_free;
    return call->state ? NQ_OK : nq_fail_nomem(err, "a download", sizeof(nq_transfer));
}

static nq_status set_part(nq_call *call, size_t i, int64_t id, const char *below, const char *name,
                          nq_error *err)
{
    return nq_transfer_set(call->state, i, folder_of(call, id, below), name)
               ? NQ_OK
               : nq_fail_nomem(err, "a download", 0);
}

/* ---- one job's artifact ---- */

static nq_status no_such_artifact(const nq_job *job, const char *name, const nq_artifact *list,
                                  size_t count, nq_error *err)
{
    char names[512] = "";
    size_t used = 0;
    if (job->state != NQ_STATE_DONE)
        return nq_fail(err, NQ_ERR_STATE, "job %lld is %s: it has no artifacts%s",
                       (long long)job->id, nq_job_state_name(job->state),
                       nq_job_state_is_end(job->state) ? "" : " yet");
    for (size_t i = 0; i < count && used < sizeof names - 1; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 list[i].name);
    return nq_fail(err, NQ_ERR_MISSING, "job %lld has no artifact \"%.100s\"; it has %s",
                   (long long)job->id, name, *names ? names : "none");
}

static nq_status find_artifact(nq_call *call, nq_store *store, nq_error *err)
{
    const char *name = nq_request_text(&call->request, "file", "output.txt");
    int64_t id = nq_request_int(&call->request, "job", 0);
    nq_job job;
    nq_artifact *list = NULL;
    size_t count = 0, i = 0;
    nq_status status = nq_store_load(store, id, &job, err);
    if (status == NQ_OK)
        status = nq_store_artifacts(store, id, &list, &count, err);
    while (status == NQ_OK && i < count && strcmp(list[i].name, name) != 0)
        i++;
    if (status == NQ_OK && i == count)
        status = no_such_artifact(&job, name, list, count, err);
    if (status == NQ_OK)
        status = make_transfer(call, 1, err);
    if (status == NQ_OK)
        status = set_part(call, 0, id, "out", name, err);
    if (status == NQ_OK) {
        nq_transfer *t = call->state;
        t->bytes = list[i].bytes;
        memcpy(t->name, list[i].name, sizeof t->name);
        memcpy(t->sha256, list[i].sha256, sizeof t->sha256);
    }
    free(list);
    nq_job_clear(&job);
    return status;
}

/* ---- a group's output.txt ---- */

static int by_challenge(const void *a, const void *b)
{
    const nq_job *x = a, *y = b;
    const nq_arch *p = nq_arch_find(x->arch), *q = nq_arch_find(y->arch);
    if (p && q && p->challenge_order != q->challenge_order)
        return p->challenge_order - q->challenge_order;
    int order = strcmp(x->model, y->model);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* Sorted jobs must be done, on the same images, and each of another model; otherwise the sentence
 * lists them. */
static nq_status check_group(int64_t group, const nq_job *jobs, size_t count, nq_error *err)
{
    char candidates[512] = "";
    size_t used = 0;
    const char *problem = NULL;
    for (size_t i = 0; i < count; i++) {
        const nq_job *job = &jobs[i];
        if (used < sizeof candidates - 1)
            used += (size_t)snprintf(candidates + used, sizeof candidates - used,
                                     "%sjob %lld (%s, %s, %s)", i ? ", " : "", (long long)job->id,
                                     job->model, job->preset, nq_job_state_name(job->state));
        if (i > 0 && strcmp(job->model, jobs[i - 1].model) == 0)
            problem = "has a model more than once";
        if (!problem && job->state != NQ_STATE_DONE)
            problem = "is not complete";
        if (!problem && (strcmp(job->dataset_fingerprint, jobs[0].dataset_fingerprint) != 0 ||
                         job->summary.images != jobs[0].summary.images))
            problem = "mixes sets of images";
    }
    return problem ? nq_fail(err, NQ_ERR_STATE,
                             "group %lld %s, so it has no output.txt; get one job's: %s",
                             (long long)group, problem, candidates)
                   : NQ_OK;
}

static nq_status load_group(nq_store *store, int64_t group, nq_job **jobs, size_t *count,
                            nq_error *err)
{
    nq_id_list ids = {0};
    *jobs = NULL;
    *count = 0;
    nq_status status = nq_store_select(store, (nq_selection){.group = group}, &ids, err);
    if (status == NQ_OK && !(*jobs = calloc(ids.count, sizeof **jobs)))
        status = nq_fail_nomem(err, "a group", ids.count * sizeof **jobs);
    for (size_t i = 0; i < ids.count && status == NQ_OK; i++) {
        status = nq_store_load(store, ids.ids[i], &(*jobs)[i], err);
        *count += status == NQ_OK;
    }
    nq_id_list_free(&ids);
    return status;
}

static nq_status find_group(nq_call *call, nq_store *store, nq_error *err)
{
    const char *name = nq_request_text(&call->request, "file", "output.txt");
    int64_t group = nq_request_int(&call->request, "group", 0);
    nq_job *jobs = NULL;
    size_t count = 0;
    if (strcmp(name, "output.txt") != 0)
        return nq_fail(err, NQ_ERR_INPUT,
                       "file: a group has only output.txt; name a job for %.100s", name);
    nq_status status = load_group(store, group, &jobs, &count, err);
    if (status == NQ_OK) {
        qsort(jobs, count, sizeof *jobs, by_challenge);
        status = check_group(group, jobs, count, err);
    }
    if (status == NQ_OK)
        status = make_transfer(call, count, err);
    for (size_t i = 0; i < count && status == NQ_OK; i++)
        status = set_part(call, i, jobs[i].id, "out", "output.txt", err);
    if (status == NQ_OK) {
        nq_transfer *t = call->state;
        t->measure = true;
        snprintf(t->name, sizeof t->name, "output.txt");
    }
    for (size_t i = 0; i < count; i++)
        nq_job_clear(&jobs[i]);
    free(jobs);
    return status;
}

void nq_verb_get(nq_call *call)
{
    bool group = json_object_get(call->request.object, "group") != NULL;
    nq_call_on_store(call, false, group ? find_group : find_artifact, nq_transfer_begin);
}

/* ---- logs ---- */

/* worker.log: what all attempts wrote. It only grows, so that a client can follow it. */
static nq_status find_log(nq_call *call, nq_store *store, nq_error *err)
{
    int64_t id = nq_request_int(&call->request, "job", 0);
    nq_job job;
    nq_status status = nq_store_load(store, id, &job, err);
    bool ended = nq_job_state_is_end(job.state);
    if (status == NQ_OK && !job.started)
        status = nq_fail(err, NQ_ERR_MISSING, "job %lld is %s and has no log%s", (long long)id,
                         nq_job_state_name(job.state), ended ? "" : " yet");
    nq_job_clear(&job);
    if (status == NQ_OK)
        status = make_transfer(call, 1, err);
    if (status == NQ_OK)
        status = set_part(call, 0, id, "", "worker.log", err);
    if (status == NQ_OK) {
        nq_transfer *t = call->state;
        t->bytes = -1;
        t->measure = ended;
        snprintf(t->name, sizeof t->name, "log.txt");
    }
    return status;
}

void nq_verb_logs(nq_call *call)
{
    nq_call_on_store(call, false, find_log, nq_transfer_begin);
}
