/* netqctl submit: from flags and a spec file to one job or a group. */
#include "client/client.h"
#include "client/job.h"
#include "client/quantized.h"
#include "client/specfile.h"
#include "client/submission.h"
#include "client/submit_options.h"
#include "client/table.h"
#include "client/verbs.h"
#include "client/waiting.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- the request ---- */

static nq_status written_spec(const nq_submit_input *input, json_t **spec, nq_error *err)
{
    const char *file = input->base.count > 0 ? input->base.arguments[0] : input->options.file;
    nq_status status = NQ_OK;
    *spec = NULL;
    if (file)
        status = nq_specfile_load(file, spec, err);
    else
        *spec = json_object();
    if (status == NQ_OK && (!*spec || nq_specfile_overlay(*spec, input->flags) != 0))
        status = nq_fail_nomem(err, "the spec", 0);
    if (status == NQ_OK)
        status = nq_specfile_make_absolute(*spec, err);
    if (status == NQ_OK && json_array_size(input->models) > 1 &&
        (json_object_get(*spec, "checkpoint") || json_object_get(*spec, "quantized")))
        status = nq_fail(err, NQ_ERR_INPUT,
                         "checkpoint and quantized are one model's: they cannot go with several "
                         "models");
    return status;
}

/* A token of our own makes it safe to send a request again after a broken connection. */
static json_t *token_of(const nq_submit_input *input)
{
    unsigned char random[16];
    char text[2 * sizeof random + 1];
    if (input->token)
        return json_string(input->token);
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return NULL;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return json_string(text);
}

static json_t *specs_of(const nq_submit_input *input, const json_t *spec)
{
    json_t *specs = json_array();
    for (size_t i = 0; specs && i < json_array_size(input->models); i++) {
        json_t *copy = json_deep_copy(spec);
        json_object_set(copy, "model", json_array_get(input->models, i));
        json_array_append_new(specs, copy);
    }
    return specs;
}

static nq_status build_request(nq_client *client, const nq_submit_input *input, json_t **request,
                               nq_error *err)
{
    json_t *spec = NULL;
    *request = NULL;
    nq_status status = written_spec(input, &spec, err);
    if (status == NQ_OK && json_array_size(input->models) == 0)
        status = nq_quantized_choose_model(client, spec, err);
    if (status == NQ_OK)
        *request = nq_request("submit");
    if (*request) {
        if (json_array_size(input->models) > 1)
            json_object_set_new(*request, "specs", specs_of(input, spec));
        else {
            if (json_array_size(input->models) == 1)
                json_object_set(spec, "model", json_array_get(input->models, 0));
            json_object_set(*request, "spec", spec);
        }
        if (input->priority)
            json_object_set_new(*request, "priority", json_integer(input->priority));
        if (input->hold)
            json_object_set_new(*request, "hold", json_true());
        if (input->dry_run)
            json_object_set_new(*request, "dry_run", json_true());
        else
            json_object_set_new(*request, "token", token_of(input));
    }
    json_decref(spec);
    return status;
}

static nq_status send_submit(nq_client *client, const nq_submit_input *input, json_t **reply,
                             nq_error *err)
{
    json_t *request = NULL;
    nq_status status = build_request(client, input, &request, err);
    if (status == NQ_OK)
        return nq_submission_send(client, request, reply, err);
    json_decref(request);
    return status;
}

/* ---- what comes back ---- */

static void print_plan(const nq_client *client, const json_t *plan)
{
    char before[NQ_TEXT], after[NQ_TEXT], seconds[NQ_TEXT], disk[NQ_TEXT];
    char *spec = json_dumps(json_object_get(plan, "spec"), JSON_REAL_PRECISION(15));
    nq_format_bytes(nq_view_int(plan, "original_model_size", -1), before);
    nq_format_bytes(nq_view_int(plan, "new_model_size", -1), after);
    nq_format_bytes(nq_view_int(plan, "disk_bytes", -1), disk);
    nq_format_duration(nq_view_real(plan, "seconds"), seconds);
    fprintf(client->out, "%s\n", spec ? spec : "");
    fprintf(client->out, "  model file   about %s, was %s\n", after, before);
    fprintf(client->out, "  images       %lld\n", nq_view_int(plan, "images", -1));
    fprintf(client->out, "  time         about %s%s\n", seconds,
            json_is_true(json_object_get(plan, "measured"))
                ? ""
                : " (a guess from the network's size: no such job has run here)");
    fprintf(client->out, "  disk space   %s\n", disk);
    free(spec);
}

static nq_status print_plans(nq_client *client, json_t *reply, nq_error *err)
{
    const json_t *plans = json_object_get(reply, "plans");
    if (!json_is_array(plans))
        return nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply to submit has no plans");
    size_t i;
    json_t *plan;
    if (client->json)
        nq_client_print_json(client, reply, true);
    else
        json_array_foreach(plans, i, plan)
        {
            print_plan(client, plan);
        }
    return NQ_OK;
}

static void print_submitted(nq_client *client, const nq_submit_input *input, json_t *reply,
                            const char *name)
{
    const json_t *jobs = json_object_get(reply, "jobs");
    bool known = json_is_true(json_object_get(reply, "duplicate"));
    if (input->parsable)
        fprintf(client->out, "%s\n", name);
    else if (client->json && !input->wait)
        nq_client_print_json(client, reply, true);
    else if (!client->json) {
        fprintf(client->out, "%s %s %s", known ? "already submitted:" : "submitted",
                json_is_integer(json_object_get(reply, "group")) ? "group" : "job", name);
        for (size_t i = 0; i < json_array_size(jobs) && *name == 'g'; i++)
            fprintf(client->out, "%s %lld", i ? "," : ": jobs",
                    json_integer_value(json_array_get(jobs, i)));
        fputc('\n', client->out);
    }
    fflush(client->out);
}

static int wait_for(nq_client *client, nq_target target, const char *name)
{
    nq_error err = {0};
    json_t *ended = json_array();
    nq_status status = nq_submission_wait(client, target, name, ended, &err);
    return nq_wait_finish(client, status, ended, &err);
}

static int submit(nq_client *client, const nq_submit_input *input)
{
    nq_error err = {0};
    json_t *reply = NULL;
    nq_target target = {0};
    char name[NQ_TEXT] = "";
    nq_status status = send_submit(client, input, &reply, &err);
    if (status == NQ_OK && input->dry_run)
        status = print_plans(client, reply, &err);
    else if (status == NQ_OK)
        status = nq_submission_target(reply, &target, name, &err);
    if (status == NQ_OK && !input->dry_run)
        print_submitted(client, input, reply, name);
    json_decref(reply);
    if (status == NQ_OK && input->wait)
        return wait_for(client, target, name);
    return nq_client_finish(client, status, &err);
}

int nq_verb_submit(nq_client *client, int argc, char **argv)
{
    nq_submit_input input = {.base = {.client = client}};
    nq_error err = {0};
    nq_status status = nq_submit_parse(argc, argv, &input, &err);
    int code = status == NQ_OK ? submit(client, &input) : nq_client_finish(client, status, &err);
    nq_submit_free(&input);
    return code;
}
