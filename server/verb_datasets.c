/* datasets: what is in them, and whether float accuracies say that labels and preprocessing are
 * right. */
#include "server/verbs.h"

#include "server/known.h"
#include "server/text.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const nq_config_dataset *config;
    nq_dataset_facts facts;
    nq_error problem; /* why it could not be listed */
    json_t *scores;   /* the float jobs on it */
} description;

typedef struct {
    description *list;
    size_t count;
    const nq_config *daemon_config;
} catalogue;

static void free_catalogue(void *state)
{
    catalogue *c = state;
    for (size_t i = 0; i < c->count; i++)
        json_decref(c->list[i].scores);
    free(c->list);
    free(c);
}

/* ---- on the pool: listing ---- */

static void describe(nq_call *call, description *d)
{
    nq_inputs in = {0};
    nq_status status = nq_inputs_dataset(d->config, &in, &d->problem);
    if (status == NQ_OK)
        nq_inputs_facts(call->daemon->inputs, &in, &d->facts, &d->problem);
    nq_inputs_free(&in);
}

static nq_status list_datasets(nq_call *call, nq_error *err)
{
    catalogue *c = call->state;
    const nq_config *config = call->daemon->config;
    const char *name = nq_request_text(&call->request, "name", NULL);
    c->daemon_config = config;
    c->list = calloc(config->dataset_count + 1, sizeof *c->list);
    if (!c->list)
        return nq_fail_nomem(err, "datasets", config->dataset_count * sizeof *c->list);
    for (size_t i = 0; i < config->dataset_count; i++)
        if (!name || strcmp(config->datasets[i].name, name) == 0)
            c->list[c->count++].config = &config->datasets[i];
    if (name && c->count == 0)
        return nq_fail(err, NQ_ERR_MISSING, "the daemon's configuration names no dataset %s", name);
    for (size_t i = 0; i < c->count; i++)
        describe(call, &c->list[i]);
    return NQ_OK;
}

/* ---- on the store's thread: float jobs ---- */

typedef struct {
    const nq_config *config;
    json_t *array;
} score_list;

/* A job that named a checkpoint of its own says nothing about the model of the configuration. */
static bool has_own_checkpoint(const nq_job *job)
{
    json_error_t ignored;
    json_t *spec = json_loads(job->spec, 0, &ignored);
    bool has = json_object_get(spec, "checkpoint") != NULL;
    json_decref(spec);
    return has;
}

static nq_status add_score(void *context, const nq_job *job, nq_error *err)
{
    score_list *list = context;
    const nq_job_summary *s = &job->summary;
    double expected = 0, top1 = nq_per_cent(s->top1_right, s->images);
    const char *model = has_own_checkpoint(job) ? "" : job->model;
    json_t *verdict;
    bool known = nq_known_top1(list->config, model, job->checkpoint_sha256, &expected);
    double standard = 0;
    if (!known && nq_known_hopeless(job->arch, s->top1_right, s->images, &standard))
        verdict = json_sprintf("your labels or preprocessing are wrong: float %s has top-1 %.2f %% "
                               "here, %.2f %% is known of another %s checkpoint",
                               job->model, top1, standard, job->arch);
    else if (!known)
        verdict = json_string("unknown checkpoint");
    else if (nq_known_plausible(s->top1_right, s->images, expected))
        verdict = json_string("ok");
    else
        verdict = json_sprintf("your labels or preprocessing are wrong: float %s has top-1 %.2f %% "
                               "here, %.2f %% is known of its checkpoint",
                               job->model, top1, expected);
    json_t *score = json_pack("{s:s, s:I, s:f, s:o, s:o}", "model", job->model, "job",
                              (json_int_t)job->id, "top1", top1, "expected",
                              known ? json_real(expected) : json_null(), "verdict", verdict);
    return json_array_append_new(list->array, score) == 0 ? NQ_OK
                                                          : nq_fail_nomem(err, "a verdict", 0);
}

static nq_status find_scores(nq_call *call, nq_store *store, nq_error *err)
{
    catalogue *c = call->state;
    nq_status status = NQ_OK;
    for (size_t i = 0; i < c->count && status == NQ_OK; i++) {
        c->list[i].scores = json_array();
        score_list list = {c->daemon_config, c->list[i].scores};
        if (*c->list[i].facts.fingerprint)
            status =
                nq_store_float_jobs(store, c->list[i].facts.fingerprint, add_score, &list, err);
    }
    return status;
}

/* ---- the reply ---- */

static json_t *warnings_json(const description *d)
{
    const nq_dataset_facts *f = &d->facts;
    json_t *warnings = json_array();
    if (*d->problem.text)
        json_array_append_new(warnings, nq_text_json(d->problem.text));
    else if (f->folders_are_wnids && !d->config->wnids && f->classes != 1000)
        json_array_append_new(
            warnings,
            json_sprintf("its %lld folders are named by wnid, but no class list is given (wnids = "
                         "FILE): they are numbered 0..%lld in the order of their names, which are "
                         "not the 1,000 classes of ImageNet",
                         (long long)f->classes, (long long)f->label_end - 1));
    else if (f->unused_labels > 0)
        json_array_append_new(
            warnings, json_sprintf("%lld lines of the label file name images that are not there: "
                                   "it is a part of the set that the label file is for",
                                   (long long)f->unused_labels));
    return warnings;
}

static json_t *describe_json(const description *d)
{
    const nq_dataset_facts *f = &d->facts;
    bool listed = *f->fingerprint != 0;
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:O}", "name", d->config->name, "path",
                     nq_text_json(d->config->path), "images",
                     listed ? json_integer(f->images) : json_null(), "classes",
                     listed ? json_integer(f->classes) : json_null(), "labels",
                     d->config->labels ? "file" : "folders", "fingerprint",
                     listed ? json_string(f->fingerprint) : json_null(), "warnings",
                     warnings_json(d), "float", d->scores);
}

static void described(nq_call *call)
{
    const catalogue *c = call->state;
    json_t *array = json_array();
    int bad = !array;
    for (size_t i = 0; i < c->count && !bad; i++)
        bad |= json_array_append_new(array, describe_json(&c->list[i]));
    json_t *reply = bad ? NULL : json_pack("{s:O}", "datasets", array);
    json_decref(array);
    nq_call_reply(call, reply);
}

static void listed(nq_call *call)
{
    nq_call_on_store(call, false, find_scores, described);
}

void nq_verb_datasets(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(catalogue), free_catalogue))
        nq_call_on_pool(call, list_datasets, listed);
}
