/* The whole pipeline on one page: load, fold, calibrate, quantize, score, write. */
#include "worker/job.h"

#include "common/dataset.h"
#include "common/file.h"
#include "common/log.h"
#include "worker/compare_float.h"
#include "worker/job_dataset.h"
#include "worker/make_model.h"
#include "worker/model/graph.h"
#include "worker/output/labels.h"
#include "worker/output/logits_file.h"
#include "worker/output/metrics.h"
#include "worker/output/mixed_precision.h"
#include "worker/score/score.h"
#include "worker/synthesize.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_LIMIT ((size_t)2 << 30)
#define LOG_LIMIT        ((size_t)1 << 30)
#define TEXT_LIMIT       ((size_t)64 << 20)

/* Everything a job holds on its way; each stage fills its part. */
typedef struct {
    const char *dir;
    const nq_job_file *job;
    nq_progress_report *report;
    nq_pool *pool;
    nq_checkpoint checkpoint;
    uint64_t checkpoint_bytes;
    nq_graph graph;     /* float, folded */
    nq_made_model made; /* empty for a float job */
    nq_dataset dataset;
    uint32_t *order;
    uint32_t count; /* positions scored */
    nq_verdict *verdicts;
    nq_journal *journal; /* of the scored positions */
    nq_summary summary;
    const nq_kernels *kernels;
    nq_crop_counts crops;
    bool has_cache;
    int classes;
} job_run;

/* The checkpoint, checked against what was submitted, as a folded graph. */
static nq_status load_graph(job_run *r, nq_error *err)
{
    const nq_job_file *job = r->job;
    uint8_t *data = NULL;
    size_t size = 0;
    nq_status status = nq_place_read(&job->checkpoint, CHECKPOINT_LIMIT, &data, &size, err);
    if (status == NQ_OK)
        status = nq_check_frozen("the checkpoint", job->checkpoint.path, data, size,
                                 job->checkpoint_sha256, err);
    r->checkpoint_bytes = size;
    if (status == NQ_OK && job->spec.kind != NQ_JOB_QUANTIZED_FILE) {
        status = nq_checkpoint_parse(data, size, job->checkpoint.path, &r->checkpoint, err);
        if (status == NQ_OK)
            status = nq_graph_load(job->arch, &r->checkpoint, &r->graph, err);
        if (status == NQ_OK)
            status = nq_graph_fold(&r->graph, err);
        if (status != NQ_OK && r->checkpoint.tensors)
            nq_error_prefix(err, "%s", job->checkpoint.path);
        nq_checkpoint_free(&r->checkpoint);
        r->classes = r->graph.classes;
    }
    free(data);
    return status;
}

/* The images in output.txt's order, and how many of them are scored. */
static nq_status load_images(job_run *r, nq_error *err)
{
    const nq_job_file *job = r->job;
    nq_status status = nq_job_load_dataset(job, &r->dataset, &r->order, err);
    if (status != NQ_OK)
        return status;
    r->count = (uint32_t)r->dataset.count;
    if (job->spec.limit > 0 && job->spec.limit < r->count)
        r->count = job->spec.limit;
    r->verdicts = calloc(r->count ? r->count : 1, sizeof *r->verdicts);
    return r->verdicts ? NQ_OK : nq_fail_nomem(err, "verdicts", r->count);
}

static nq_status check_classes(const job_run *r, nq_error *err)
{
    if (r->dataset.label_end > r->classes)
        return nq_fail(err, NQ_ERR_INPUT,
                       "dataset %s has labels up to %d, but %s has %d classes: give the dataset "
                       "the model's class "
                       "list (wnids), or another model",
                       r->job->spec.dataset, r->dataset.label_end - 1, r->job->spec.model,
                       r->classes);
    return NQ_OK;
}

/* model.safetensors in memory and decoded. */
static nq_status obtain_model(job_run *r, nq_error *err)
{
    if (r->job->spec.kind == NQ_JOB_QUANTIZE)
        return nq_made_model_make(r->dir, r->job, &r->graph, r->pool, r->report, &r->made, err);
    nq_status status = nq_made_model_read(r->job, &r->made, err);
    r->classes = status == NQ_OK ? r->made.model.graph.classes : 0;
    return status;
}

/* Scoring runs for hours beside other jobs: what calibration took goes back to the system. */
static void drop_float(job_run *r)
{
    nq_graph_free(&r->graph);
    malloc_trim(0);
}

/* What the journal's predictions depend on: network, images, how many. */
static nq_status score_subject(const job_run *r, uint8_t subject[NQ_SHA256_BYTES], nq_error *err)
{
    nq_hash *h = nq_hash_new();
    if (!h)
        return nq_fail_nomem(err, "a hash", 0);
    if (r->made.bytes)
        nq_hash_add(h, r->made.bytes, r->made.size);
    else
        nq_hash_add(h, r->job->checkpoint_sha256, NQ_SHA256_TEXT);
    nq_hash_add(h, r->dataset.stamp, NQ_SHA256_BYTES);
    nq_hash_add(h, &r->count, sizeof r->count);
    nq_hash_add(h, &r->job->spec.unreadable, sizeof r->job->spec.unreadable);
    nq_hash_end(h, subject);
    return NQ_OK;
}

/* Hashes of all logits and images in output.txt's order. */
static nq_status hash_predictions(job_run *r, size_t row_bytes, nq_error *err)
{
    nq_hash *logits = nq_hash_new(), *images = nq_hash_new();
    void *row = malloc(row_bytes);
    nq_status status = NQ_OK;
    if (!logits || !images || !row)
        status = nq_fail_nomem(err, "hashes", row_bytes);
    for (uint32_t i = 0; i < r->count && status == NQ_OK; i++) {
        status = nq_journal_row(r->journal, i, row, err);
        nq_hash_add(logits, row, row_bytes);
        nq_hash_add(images, r->verdicts[i].image, NQ_DIGEST);
    }
    if (status == NQ_OK) {
        nq_hash_end(logits, r->summary.logits);
        nq_hash_end(images, r->summary.images_sha);
        r->summary.has_logits = r->made.bytes != NULL;
    } else {
        nq_hash_free(logits);
        nq_hash_free(images);
    }
    free(row);
    return status;
}

/* The job does without a cache that cannot be used. */
static nq_crop_cache *open_cache(const job_run *r)
{
    nq_error why = {0};
    nq_crop_cache *cache = NULL;
    const nq_job_file *job = r->job;
    if (job->cache.directory && nq_crop_cache_open(&job->cache, &r->dataset, job->dataset_name,
                                                   r->count, &cache, &why) != NQ_OK)
        nq_log(NQ_LOG_WARN, "cache_unused", "why", "%s", why.text, NULL);
    return cache;
}

static void close_cache(job_run *r, nq_crop_cache *cache)
{
    if (!cache)
        return;
    r->crops = nq_crop_cache_counts(cache);
    r->has_cache = true;
    nq_crop_counts_log(&r->crops);
    nq_crop_cache_close(cache);
}

static nq_status score(job_run *r, nq_error *err)
{
    nq_plan *plan = NULL;
    nq_float_net *net = NULL;
    nq_scorer scorer = {0};
    uint8_t subject[NQ_SHA256_BYTES];
    nq_progress_stage(r->report, "score");
    nq_status status = score_subject(r, subject, err);
    int threads = nq_pool_threads(r->pool);
    if (status == NQ_OK && r->made.bytes) {
        status = nq_kernels_select(&r->kernels, err);
        if (status == NQ_OK)
            status = nq_plan_create(&r->made.model, r->kernels, &plan, err);
        if (status == NQ_OK)
            status = nq_scorer_integer(plan, threads, &scorer, err);
    } else if (status == NQ_OK) {
        status = nq_float_net_create(&r->graph, NQ_FLOAT_SLICE, &net, err);
        if (status == NQ_OK)
            status = nq_scorer_float(net, r->classes, threads, &scorer, err);
    }
    char *state = nq_path_join(r->dir, "state");
    if (status == NQ_OK && !state)
        status = nq_fail_nomem(err, "a path", strlen(r->dir));
    if (status == NQ_OK)
        status = nq_journal_open(state, subject, r->count, scorer.row_bytes, r->verdicts,
                                 &r->journal, err);
    nq_score_job job = {.dataset = &r->dataset,
                        .order = r->order,
                        .count = r->count,
                        .scorer = &scorer,
                        .journal = r->journal,
                        .unreadable = r->job->spec.unreadable,
                        .cache = status == NQ_OK ? open_cache(r) : NULL};
    if (status == NQ_OK)
        status = nq_score_run(&job, r->pool, nq_progress_tell, r->report, r->verdicts, err);
    if (status == NQ_OK)
        status = hash_predictions(r, scorer.row_bytes, err);
    close_cache(r, job.cache);
    if (scorer.free)
        scorer.free(&scorer);
    nq_plan_free(plan);
    nq_float_net_free(net);
    free(state);
    return status;
}

/* With what a float job has left, where the job names one. */
static nq_status compare_with_float(job_run *r, nq_error *err)
{
    const nq_qmodel *model = &r->made.model;
    if (!r->made.bytes)
        return NQ_OK;
    const nq_float_comparison comparison = {
        .job = r->job,
        .journal = r->journal,
        .verdicts = r->verdicts,
        .count = r->count,
        .classes = r->classes,
        .scale = (double)model->nodes[model->graph.count - 1].out.scale};
    return nq_compare_with_float(&comparison, &r->summary, err);
}

static void summarise(job_run *r)
{
    nq_summary *s = &r->summary;
    s->images = r->count;
    s->original_model_size = r->checkpoint_bytes;
    s->new_model_size = r->made.bytes ? r->made.size : r->checkpoint_bytes;
    for (uint32_t i = 0; i < r->count; i++) {
        const nq_verdict *v = &r->verdicts[i];
        s->top1_right += !v->unreadable && v->label == r->dataset.images[r->order[i]].label;
        s->top5_right += v->top5;
        s->unreadable += v->unreadable;
    }
}

/* The job's log so far becomes an artifact like the others. */
static nq_status copy_log(const job_run *r, const char *to, nq_error *err)
{
    uint8_t *data;
    size_t size;
    char *from = nq_path_join(r->dir, "state/log.txt");
    if (!from)
        return nq_fail_nomem(err, "a path", strlen(r->dir));
    nq_status status = nq_file_read(from, LOG_LIMIT, &data, &size, err);
    free(from);
    if (status != NQ_OK)
        return status;
    status = nq_file_write_atomic(to, data, size, err);
    free(data);
    return status;
}

static nq_status write_artifact(job_run *r, const char *name, const nq_metrics *metrics,
                                nq_error *err)
{
    char *path;
    if (asprintf(&path, "%s/out/%s", r->dir, name) < 0)
        return nq_fail_nomem(err, name, strlen(r->dir));
    nq_status status = NQ_OK;
    if (strcmp(name, "output.txt") == 0)
        status = nq_labels_write(path, r->summary.new_model_size, r->verdicts, r->count, err);
    else if (strcmp(name, "model.safetensors") == 0)
        status = nq_file_write_atomic(path, r->made.bytes, r->made.size, err);
    else if (strcmp(name, "logits.npy") == 0)
        status = nq_logits_write(path, r->journal, r->count, r->classes, err);
    else if (strcmp(name, "metrics.json") == 0)
        status = nq_metrics_write(path, metrics, err);
    else if (strcmp(name, NQ_FRONTIER_SVG) == 0)
        status = nq_frontier_write(path, r->made.mixed, r->job->spec.model, err);
    else if (strcmp(name, "log.txt") == 0)
        status = copy_log(r, path, err);
    free(path);
    return status;
}

#define MOST_ARTIFACTS 8

/* What a job of its kind leaves, NULL-terminated; the calibration images lie there since they were
 * made. */
static void list_artifacts(const job_run *r, const char *names[MOST_ARTIFACTS])
{
    size_t n = 0;
    names[n++] = "output.txt";
    names[n++] = r->made.bytes ? "model.safetensors" : "logits.npy";
    names[n++] = "metrics.json";
    names[n++] = "log.txt";
    if (r->made.bytes && r->job->spec.calibrate.source == NQ_CALIBRATE_DISTILL) {
        names[n++] = NQ_CALIBRATION_NPY;
        names[n++] = NQ_CALIBRATION_PNG;
    }
    if (r->made.mixed)
        names[n++] = NQ_FRONTIER_SVG;
    names[n] = NULL;
}

static nq_status write_artifacts(job_run *r, double begun, nq_error *err)
{
    nq_progress_stage(r->report, "write");
    nq_progress_close(r->report);
    double seconds = nq_now() - begun;
    nq_metrics metrics = {.job = r->job,
                          .dataset = &r->dataset,
                          .order = r->order,
                          .verdicts = r->verdicts,
                          .summary = &r->summary,
                          .classes = r->classes,
                          .layers = r->made.layers,
                          .mixed = r->made.mixed,
                          .kernels = r->kernels ? nq_kernels_name(r->kernels) : NULL,
                          .crops = r->has_cache ? &r->crops : NULL,
                          .report = r->report,
                          .seconds = seconds};
    nq_log(NQ_LOG_INFO, "job_done", "images", "%u", r->summary.images, "top1_right", "%u",
           r->summary.top1_right, "seconds", "%g", seconds, NULL);
    const char *names[MOST_ARTIFACTS];
    list_artifacts(r, names);
    nq_status status = NQ_OK;
    for (size_t i = 0; names[i] && status == NQ_OK; i++)
        status = write_artifact(r, names[i], &metrics, err);
    if (status == NQ_OK)
        status = nq_result_write(r->dir, r->job, names, &r->summary, seconds, NULL, err);
    return status;
}

static nq_status make_folder(const char *dir, const char *name, nq_error *err)
{
    char *path = nq_path_join(dir, name);
    if (!path)
        return nq_fail_nomem(err, name, strlen(dir));
    nq_status status = nq_dir_make(path, 0755, err);
    free(path);
    return status;
}

/* The journal has served its purpose once the result stands; failing to remove it harms nobody. */
static void remove_state(const char *dir)
{
    nq_error ignored = {0};
    char *path = nq_path_join(dir, "state");
    if (path)
        nq_dir_remove(path, &ignored);
    free(path);
}

static void free_run(job_run *r)
{
    nq_pool_free(r->pool);
    nq_journal_close(r->journal);
    nq_graph_free(&r->graph);
    nq_made_model_free(&r->made);
    nq_dataset_free(&r->dataset);
    free(r->order);
    free(r->verdicts);
}

static nq_status run_stages(job_run *r, nq_error *err)
{
    double begun = nq_now();
    nq_progress_stage(r->report, "load");
    nq_status status = nq_pool_create(r->job->threads, &r->pool, err);
    if (status == NQ_OK)
        status = load_images(r, err);
    if (status == NQ_OK)
        status = load_graph(r, err);
    if (status == NQ_OK && r->job->spec.kind != NQ_JOB_FLOAT)
        status = obtain_model(r, err);
    if (status == NQ_OK)
        status = check_classes(r, err);
    if (r->made.bytes)
        drop_float(r);
    if (status == NQ_OK)
        status = score(r, err);
    if (status == NQ_OK)
        status = compare_with_float(r, err);
    if (status != NQ_OK)
        return status;
    summarise(r);
    return write_artifacts(r, begun, err);
}

bool nq_job_failure_is_final(nq_status status)
{
    return status != NQ_ERR_IO && status != NQ_ERR_NOMEM;
}

nq_status nq_job_run(const char *dir, const nq_job_file *job, nq_progress_report *report,
                     nq_error *err)
{
    job_run r = {.dir = dir, .job = job, .report = report};
    nq_status status = make_folder(dir, "out", err);
    nq_log(NQ_LOG_INFO, "job_begin", "job", "%d", job->id, "model", "%s", job->spec.model, "preset",
           "%s", job->spec.preset, "threads", "%d", job->threads, NULL);
    if (status == NQ_OK)
        status = run_stages(&r, err);
    free_run(&r);
    if (status == NQ_OK) {
        remove_state(dir);
        return NQ_OK;
    }
    nq_log(NQ_LOG_ERROR, "job_failed", "job", "%d", job->id, "reason", "%s", err->text, NULL);
    if (nq_job_failure_is_final(status)) {
        nq_error second = {0};
        nq_error failure = *err;
        failure.status = status;
        if (nq_result_write(dir, job, NULL, NULL, 0, &failure, &second) != NQ_OK) {
            *err = second;
            return NQ_ERR_IO;
        }
    }
    return status;
}
