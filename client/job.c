#include "client/job.h"

#include "client/table.h"
#include "common/json.h"
#include "common/text.h"
#include <math.h>
#include <string.h>

bool nq_job_ended(const json_t *job)
{
    const char *state = nq_view_text(job, "state");
    return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

int nq_job_exit(const json_t *job)
{
    const char *state = nq_view_text(job, "state");
    if (strcmp(state, "done") == 0)
        return NQ_EXIT_DONE;
    return strcmp(state, "cancelled") == 0 ? NQ_EXIT_CANCELLED : NQ_EXIT_FAILED;
}

/* ---- progress ---- */

void nq_job_count(const json_t *job, char text[NQ_TEXT])
{
    const json_t *progress = json_object_get(job, "progress");
    double done = nq_view_real(progress, "done"), total = nq_view_real(progress, "total");
    *text = 0;
    if (total > 0 && done >= 0)
        snprintf(text, NQ_TEXT, "%.0f/%.0f", done, total);
    else if (done > 0)
        snprintf(text, NQ_TEXT, "%.0f", done);
}

void nq_job_left(const json_t *job, char text[NQ_TEXT])
{
    double left = nq_view_real(json_object_get(job, "progress"), "eta_s");
    *text = 0;
    if (left >= 0)
        nq_format_duration(left, text);
}

void nq_job_progress(const json_t *job, char text[NQ_LONG_TEXT])
{
    const json_t *progress = json_object_get(job, "progress");
    const char *stage = nq_view_text(progress, "stage");
    double done = nq_view_real(progress, "done"), total = nq_view_real(progress, "total");
    double rate = nq_view_real(progress, "rate");
    double loss = nq_view_real(progress, "loss");
    char count[NQ_TEXT], left[NQ_TEXT], share[NQ_TEXT] = "", speed[NQ_TEXT] = "",
                                        down[NQ_TEXT] = "";
    nq_job_count(job, count);
    nq_job_left(job, left);
    if (total > 0 && done >= 0)
        snprintf(share, sizeof share, " (%.0f %%)", floor(100 * fmin(done / total, 1)));
    if (rate > 0)
        snprintf(speed, sizeof speed, ", %.1f/s", rate);
    if (isfinite(loss))
        snprintf(down, sizeof down, ", loss %.3g", loss);
    snprintf(text, NQ_LONG_TEXT, "%.60s%s%s%s%s%s%s%s%s", stage, *count ? " " : "", count, share,
             speed, down, *left ? ", " : "", left, *left ? " left" : "");
}

/* ---- results ---- */

static void append(char *text, size_t size, const char *name, double value, int digits,
                   const char *unit)
{
    size_t at = strlen(text);
    if (isfinite(value))
        snprintf(text + at, size - at, "%s%s%s%.*f%s", at ? ", " : "", name, *name ? " " : "",
                 digits, value, unit);
}

void nq_job_outcome(const json_t *job, char text[NQ_LONG_TEXT])
{
    const json_t *result = json_object_get(job, "result");
    const char *state = nq_view_text(job, "state");
    *text = 0;
    if (strcmp(state, "running") == 0)
        return;
    if (strcmp(state, "done") != 0) {
        snprintf(text, NQ_LONG_TEXT, "%s", nq_view_text(job, "reason"));
        return;
    }
    append(text, NQ_LONG_TEXT, "top-1", nq_view_real(result, "top1"), 2, " %");
    append(text, NQ_LONG_TEXT, "top-5", nq_view_real(result, "top5"), 2, " %");
    append(text, NQ_LONG_TEXT, "ratio", nq_view_real(result, "compression_ratio"), 2, " %");
    append(text, NQ_LONG_TEXT, "", nq_view_real(result, "seconds"), 1, " s");
}

/* ---- one job in detail ---- */

static void line(FILE *out, const char *name, const char *text)
{
    char clean[2048];
    nq_text_clean(text, clean, sizeof clean);
    if (*clean)
        fprintf(out, "  %-12s %s\n", name, clean);
}

static void print_result(const json_t *job, FILE *out)
{
    const json_t *result = json_object_get(job, "result");
    char text[NQ_LONG_TEXT], before[NQ_TEXT], after[NQ_TEXT];
    if (!json_is_object(result))
        return;
    snprintf(text, sizeof text, "%.2f %% (%lld of %lld images)", nq_view_real(result, "top1"),
             nq_view_int(result, "top1_right", -1), nq_view_int(result, "images", -1));
    line(out, "top-1", text);
    snprintf(text, sizeof text, "%.2f %% (%lld)", nq_view_real(result, "top5"),
             nq_view_int(result, "top5_right", -1));
    line(out, "top-5", text);
    if (nq_view_int(result, "unreadable", 0) > 0) {
        snprintf(text, sizeof text, "%lld images, counted as wrong",
                 nq_view_int(result, "unreadable", 0));
        line(out, "unreadable", text);
    }
    nq_format_bytes(nq_view_int(result, "original_model_size", -1), before);
    nq_format_bytes(nq_view_int(result, "new_model_size", -1), after);
    snprintf(text, sizeof text, "%s, was %s (ratio %.2f %%)", after, before,
             nq_view_real(result, "compression_ratio"));
    line(out, "model file", text);
    double agreement = nq_view_real(result, "agreement");
    snprintf(text, sizeof text, "%.2f %% of labels as the float network's", 100 * agreement);
    line(out, "agreement", isfinite(agreement) ? text : "");
    snprintf(text, sizeof text, "%.1f s", nq_view_real(result, "seconds"));
    line(out, "took", text);
}

static void print_times(const json_t *job, FILE *out)
{
    char text[NQ_LONG_TEXT], when[NQ_TEXT];
    nq_format_time(nq_view_real(job, "submitted"), when);
    snprintf(text, sizeof text, "%s by uid %lld, priority %lld", when, nq_view_int(job, "uid", -1),
             nq_view_int(job, "priority", 0));
    line(out, "submitted", text);
    if (isfinite(nq_view_real(job, "started"))) {
        nq_format_time(nq_view_real(job, "started"), when);
        snprintf(text, sizeof text, "%s, attempt %lld", when, nq_view_int(job, "attempts", 0));
        line(out, "started", text);
    }
    if (isfinite(nq_view_real(job, "ended"))) {
        nq_format_time(nq_view_real(job, "ended"), when);
        line(out, "ended", when);
    }
}

static void print_artifacts(const json_t *job, FILE *out)
{
    size_t i;
    json_t *artifact;
    json_array_foreach(json_object_get(job, "artifacts"), i, artifact)
    {
        char text[NQ_LONG_TEXT];
        snprintf(text, sizeof text, "%-20.60s %12lld bytes  sha256 %.16s",
                 nq_view_text(artifact, "name"), nq_view_int(artifact, "bytes", -1),
                 nq_view_text(artifact, "sha256"));
        line(out, i ? "" : "artifacts", text);
    }
}

void nq_job_print(const json_t *job, FILE *out)
{
    bool colour = nq_stream_has_colour(out);
    const char *state = nq_view_text(job, "state");
    char clean[NQ_TEXT], text[NQ_LONG_TEXT];
    nq_text_clean(state, clean, sizeof clean);
    fprintf(out, "job %lld", nq_view_int(job, "job", -1));
    if (nq_view_int(job, "group", -1) >= 0)
        fprintf(out, " (group g%lld)", nq_view_int(job, "group", -1));
    fprintf(out, ": %s%s%s\n", nq_colour_on(nq_colour_of_state(state), colour), clean,
            nq_colour_off(nq_colour_of_state(state), colour));
    if (strcmp(state, "running") != 0)
        line(out, "reason", nq_view_text(job, "reason"));
    nq_job_progress(job, text);
    line(out, "progress", text);
    line(out, "model", nq_view_text(job, "model"));
    line(out, "preset", nq_view_text(job, "preset"));
    line(out, "dataset", nq_view_text(job, "dataset"));
    if (json_is_true(json_object_get(job, "partial")))
        line(out, "partial", "scores only the first images; it never ranks");
    print_times(job, out);
    print_result(job, out);
    print_artifacts(job, out);
    char *spec = json_dumps(json_object_get(job, "spec"), JSON_REAL_PRECISION(15));
    line(out, "spec", spec ? spec : "");
    free(spec);
}

/* ---- fetching ---- */

static nq_status list_page(nq_client *client, const json_t *filter, long long after, long long most,
                           json_t **reply, nq_error *err)
{
    json_t *request = nq_request("list");
    if (request && json_object_update(request, (json_t *)filter) != 0)
        return json_decref(request), nq_fail_nomem(err, "the request", 0);
    if (after >= 0)
        json_object_set_new(request, "after", json_integer(after));
    json_object_set_new(request, "limit", json_integer(most));
    nq_status status = nq_client_ask(client, request, reply, err);
    if (status == NQ_OK && !json_is_array(json_object_get(*reply, "jobs"))) {
        json_decref(*reply);
        *reply = NULL;
        status = nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to list has no jobs");
    }
    return status;
}

nq_status nq_jobs_list(nq_client *client, const json_t *filter, long long most, json_t **jobs,
                       json_t **counts, nq_error *err)
{
    const long long page = 1000;
    long long after = -1;
    nq_status status = NQ_OK;
    *jobs = json_array();
    if (counts)
        *counts = NULL;
    for (bool more = true; more && status == NQ_OK;) {
        json_t *reply = NULL;
        long long left = most - (long long)json_array_size(*jobs);
        status = list_page(client, filter, after, left < page ? left : page, &reply, err);
        json_t *found = json_object_get(reply, "jobs");
        size_t n = json_array_size(found);
        long long last = nq_view_int(json_array_get(found, n ? n - 1 : 0), "job", -1);
        if (status == NQ_OK && json_array_extend(*jobs, found) != 0)
            status = nq_fail_nomem(err, "the list", 0);
        if (counts && !*counts)
            *counts = json_incref(json_object_get(reply, "counts"));
        /* A page that leads nowhere ends the list, whatever it promises. */
        more = json_is_true(json_object_get(reply, "more")) && last > after &&
               (long long)json_array_size(*jobs) < most;
        after = last;
        json_decref(reply);
    }
    if (status == NQ_OK)
        return NQ_OK;
    json_decref(*jobs);
    *jobs = NULL;
    if (counts) {
        json_decref(*counts);
        *counts = NULL;
    }
    return status;
}

void nq_jobs_print_json(nq_client *client, json_t *jobs, json_t *counts)
{
    json_t *all = json_pack("{s:O, s:O*}", "jobs", jobs, "counts", counts);
    nq_client_print_json(client, all, false);
    json_decref(all);
}

nq_status nq_job_fetch(nq_client *client, long long id, json_t **job, nq_error *err)
{
    json_t *reply = NULL, *request = nq_request("status");
    *job = NULL;
    json_object_set_new(request, "job", json_integer(id));
    nq_status status = nq_client_ask(client, request, &reply, err);
    if (status == NQ_OK) {
        json_t *object = json_object_get(reply, "job");
        if (json_is_object(object))
            *job = json_incref(object);
        else
            status = nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to status has no job");
    }
    json_decref(reply);
    return status;
}
