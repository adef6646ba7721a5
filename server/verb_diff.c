/* diff: both output.txt and the dataset are read on the pool; the comparison is in diff.c. */
#include "server/verbs.h"

#include "common/file.h"
#include "common/random.h"
#include "server/diff.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_LIMIT ((size_t)64 << 20)
#define ORDER_SEED   1562 /* of the challenge's sampler */

typedef struct {
    nq_job jobs[2];
    int32_t *labels[2];
    size_t counts[2];
    nq_dataset dataset;
    uint32_t *order;
    json_t *reply;
} comparison;

static void free_comparison(void *state)
{
    comparison *c = state;
    for (int i = 0; i < 2; i++) {
        nq_job_clear(&c->jobs[i]);
        free(c->labels[i]);
    }
    nq_dataset_free(&c->dataset);
    free(c->order);
    json_decref(c->reply);
    free(c);
}

static nq_status load_jobs(nq_call *call, nq_store *store, nq_error *err)
{
    static const char *const keys[] = {"a", "b"};
    comparison *c = call->state;
    nq_status status = NQ_OK;
    for (int i = 0; i < 2 && status == NQ_OK; i++) {
        nq_job *job = &c->jobs[i];
        status = nq_store_load(store, nq_request_int(&call->request, keys[i], 0), job, err);
        if (status == NQ_OK && job->state != NQ_STATE_DONE)
            status = nq_fail(err, NQ_ERR_STATE, "job %lld is %s: only done jobs can be compared",
                             (long long)job->id, nq_job_state_name(job->state));
    }
    if (status == NQ_OK &&
        strcmp(c->jobs[0].dataset_fingerprint, c->jobs[1].dataset_fingerprint) != 0)
        status = nq_fail(err, NQ_ERR_STATE, "jobs %lld and %lld scored different images",
                         (long long)c->jobs[0].id, (long long)c->jobs[1].id);
    return status;
}

static nq_status read_labels(const nq_call *call, comparison *c, int i, nq_error *err)
{
    uint8_t *text = NULL;
    size_t size;
    int fd;
    char *folder = nq_daemon_job_folder(call->daemon->config, c->jobs[i].id);
    if (!folder)
        return nq_fail_nomem(err, "a path", 0);
    nq_status status = nq_file_open_beneath(folder, "out/output.txt", O_RDONLY, &fd, err);
    if (status == NQ_OK) {
        status = nq_file_read_fd(fd, "output.txt", OUTPUT_LIMIT, &text, &size, err);
        close(fd);
    }
    if (status == NQ_OK)
        status = nq_diff_parse((const char *)text, size, "output.txt", &c->labels[i], &c->counts[i],
                               err);
    free(text);
    free(folder);
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "job %lld", (long long)c->jobs[i].id);
}

/* The images as both jobs saw them. */
static nq_status list_images(const nq_call *call, comparison *c, nq_error *err)
{
    nq_spec spec;
    nq_inputs in = {0};
    json_error_t ignored;
    char fingerprint[NQ_SHA256_TEXT];
    json_t *written = json_loads(c->jobs[0].spec, 0, &ignored);
    nq_status status = written ? nq_spec_resolve(written, &spec, err)
                               : nq_fail(err, NQ_ERR_INTERNAL, "the job's spec cannot be read");
    json_decref(written);
    if (status == NQ_OK)
        status = nq_inputs_find(call->daemon->config, &spec, &in, err);
    if (status == NQ_OK)
        status = nq_inputs_list(&in, &c->dataset, err);
    nq_inputs_free(&in);
    if (status != NQ_OK)
        return status;
    nq_hash_text(c->dataset.fingerprint, fingerprint);
    if (strcmp(fingerprint, c->jobs[0].dataset_fingerprint) != 0)
        return nq_fail(err, NQ_ERR_STATE,
                       "dataset %s has changed since job %lld: its lines cannot be told apart",
                       c->jobs[0].dataset, (long long)c->jobs[0].id);
    c->order = calloc(c->dataset.count ? c->dataset.count : 1, sizeof *c->order);
    if (!c->order)
        return nq_fail_nomem(err, "an order", c->dataset.count * sizeof *c->order);
    nq_random_permutation(ORDER_SEED, (uint32_t)c->dataset.count, c->order);
    return NQ_OK;
}

static nq_status compare(nq_call *call, nq_error *err)
{
    comparison *c = call->state;
    nq_status status = read_labels(call, c, 0, err);
    if (status == NQ_OK)
        status = read_labels(call, c, 1, err);
    if (status == NQ_OK)
        status = list_images(call, c, err);
    if (status != NQ_OK)
        return status;
    size_t count = c->counts[0] < c->counts[1] ? c->counts[0] : c->counts[1];
    if (count > c->dataset.count)
        return nq_fail(err, NQ_ERR_INPUT, "both jobs have %zu labels, the dataset has %zu images",
                       count, c->dataset.count);
    c->reply = nq_diff_compare(&c->dataset, c->order, count, c->labels[0], c->labels[1]);
    return c->reply ? NQ_OK : nq_fail_nomem(err, "a comparison", 0);
}

static void compared(nq_call *call)
{
    comparison *c = call->state;
    json_t *reply = c->reply;
    c->reply = NULL;
    nq_call_reply(call, reply);
}

static void jobs_loaded(nq_call *call)
{
    nq_call_on_pool(call, compare, compared);
}

void nq_verb_diff(nq_call *call)
{
    if (nq_call_make_state(call, sizeof(comparison), free_comparison))
        nq_call_on_store(call, false, load_jobs, jobs_loaded);
}
