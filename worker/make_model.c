#include "worker/make_model.h"

#include "common/content.h"
#include "common/file.h"
#include "common/log.h"
#include "worker/calibrate/samples.h"
#include "worker/choose_widths.h"
#include "worker/imagenet/crop.h"
#include "worker/output/layers.h"
#include "worker/output/model_file.h"
#include "worker/quantize/absorb_bias.h"
#include "worker/quantize/bn_ranges.h"
#include "worker/quantize/correct_bias.h"
#include "worker/quantize/equalize.h"
#include "worker/quantize/equalize_activations.h"
#include "worker/quantize/equalize_bn.h"
#include "worker/quantize/layerwise.h"
#include "worker/quantize/quantize.h"
#include "worker/synthesize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_LIMIT  ((size_t)1 << 30)
#define LAYERS_LIMIT ((size_t)16 << 20)

/* What making a model holds on its way. */
typedef struct {
    const char *dir;
    const nq_job_file *job;
    const nq_spec *spec; /* of the job */
    nq_graph graph;      /* a copy of the job's: repairs change it */
    nq_pool *pool;
    nq_progress_report *report;
    nq_bn_moments moments; /* of the repaired graph; empty where nothing asks for them */
    nq_samples *samples;
    nq_float_net *net;
    nq_range *ranges;
    uint64_t *histograms;
    nq_layer_report *layers;
    int *bits; /* [graph.count] of weights; NULL: weights.bits for all */
} making;

nq_status nq_check_frozen(const char *what, const char *path, const void *data, size_t size,
                          const char *frozen, nq_error *err)
{
    uint8_t digest[NQ_SHA256_BYTES];
    char text[NQ_SHA256_TEXT];
    if (!*frozen)
        return NQ_OK;
    nq_hash_bytes(data, size, digest);
    nq_hash_text(digest, text);
    if (strcmp(text, frozen) == 0)
        return NQ_OK;
    return nq_fail(
        err, NQ_ERR_INPUT,
        "%s %s changed since the job was submitted (its sha256 was %.12s..., now %.12s...)", what,
        path, frozen, text);
}

void nq_made_model_free(nq_made_model *made)
{
    nq_qmodel_free(&made->model);
    free(made->bytes);
    json_decref(made->layers);
    json_decref(made->mixed);
    *made = (nq_made_model){0};
}

nq_status nq_made_model_read(const nq_job_file *job, nq_made_model *made, nq_error *err)
{
    const char *path = job->quantized.path;
    if (!path)
        return nq_fail(err, NQ_ERR_INPUT, "job.json: run.quantized is missing");
    nq_status status = nq_place_read(&job->quantized, MODEL_LIMIT, &made->bytes, &made->size, err);
    if (status == NQ_OK)
        status = nq_check_frozen("the quantized model", path, made->bytes, made->size,
                                 job->quantized_sha256, err);
    if (status == NQ_OK)
        status = nq_model_file_decode(made->bytes, made->size, path, &made->model, err);
    if (status == NQ_OK && strcmp(made->model.graph.arch, job->arch) != 0)
        status = nq_fail(err, NQ_ERR_INPUT, "%s holds a %s, but model %s is a %s", path,
                         made->model.graph.arch, job->spec.model, job->arch);
    return status;
}

char *nq_kept_path(const char *dir, const nq_job_file *job, const char *name, const char *extension)
{
    char *path;
    return asprintf(&path, "%s/state/%s-%.16s.%s", dir, name, job->fingerprint, extension) < 0
               ? NULL
               : path;
}

/* False where nothing whole was kept; then `made` is empty. */
static bool take_kept(const char *model_path, const char *layers_path, bool wants_mixed,
                      nq_made_model *made)
{
    nq_error ignored = {0};
    uint8_t *text = NULL;
    size_t size;
    json_t *kept = NULL;
    if (nq_file_read(layers_path, LAYERS_LIMIT, &text, &size, &ignored) == NQ_OK)
        kept = json_loadb((const char *)text, size, 0, NULL);
    free(text);
    made->layers = json_incref(json_object_get(kept, "layers"));
    made->mixed = json_incref(json_object_get(kept, "mixed_precision"));
    json_decref(kept);
    if (json_is_array(made->layers) && (json_is_object(made->mixed) || !wants_mixed) &&
        nq_file_read(model_path, MODEL_LIMIT, &made->bytes, &made->size, &ignored) == NQ_OK &&
        nq_model_file_decode(made->bytes, made->size, model_path, &made->model, &ignored) == NQ_OK)
        return true;
    nq_made_model_free(made);
    return false;
}

static nq_status keep(const char *model_path, const char *layers_path, const nq_made_model *made,
                      nq_error *err)
{
    json_t *report =
        json_pack("{s:O, s:O*}", "layers", made->layers, "mixed_precision", made->mixed);
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(report);
    if (!text)
        return nq_fail_nomem(err, "the per-layer report", 0);
    nq_status status = nq_file_write_atomic(layers_path, text, strlen(text), err);
    free(text);
    return status == NQ_OK ? nq_file_write_atomic(model_path, made->bytes, made->size, err)
                           : status;
}

static nq_status allocate(making *m, nq_error *err)
{
    size_t count = (size_t)m->graph.count;
    bool histograms =
        m->spec->activations.range != NQ_RANGE_MINMAX && !nq_layerwise_wanted(m->spec);
    m->ranges = calloc(count, sizeof *m->ranges);
    m->layers = calloc(count, sizeof *m->layers);
    if (histograms)
        m->histograms = calloc(count * NQ_HISTOGRAM_BINS, sizeof *m->histograms);
    if (!m->ranges || !m->layers || (histograms && !m->histograms))
        return nq_fail_nomem(err, "activation ranges",
                             count * NQ_HISTOGRAM_BINS * sizeof *m->histograms);
    return NQ_OK;
}

/* A folder or a large file: hashed where it lies, not read into memory. */
static nq_status check_calibration(const nq_job_file *job, nq_error *err)
{
    char text[NQ_SHA256_TEXT];
    if (!job->calibration.root || !*job->calibration_sha256)
        return NQ_OK;
    nq_status status = nq_content_hash(job->calibration.root, job->calibration.path, text, err);
    if (status == NQ_OK && strcmp(text, job->calibration_sha256) != 0)
        status = nq_fail(
            err, NQ_ERR_INPUT,
            "the calibration samples %s changed since the job was submitted: submit it again",
            job->calibration.path);
    return status;
}

/* One line a way; the order is the enum's of the spec. */
static nq_status equalize_by_weights(making *m, nq_error *err)
{
    return nq_equalize_weights(&m->graph, err);
}
static nq_status equalize_by_activations(making *m, nq_error *err)
{
    bool by_norms = m->spec->activations.source == NQ_SOURCE_BN;
    double automatic = m->spec->activations.bits < (by_norms ? 6 : 8) ? 0.5 : 0;
    double exponent =
        nq_spec_choice_or("repair.equalize_exponent", m->spec->repair.equalize_exponent, automatic);
    return by_norms ? nq_equalize_by_bn(&m->graph, exponent, err)
                    : nq_equalize_activations(&m->graph, m->samples, exponent, m->pool, err);
}
static nq_status (*const equalizers[])(making *m, nq_error *err) = {
    [NQ_EQUALIZE_WEIGHTS] = equalize_by_weights,
    [NQ_EQUALIZE_ACTIVATIONS] = equalize_by_activations,
};

/* Images that were made from a network's batch norms. */
static bool synthetic(const nq_spec *spec)
{
    return spec->calibrate.source == NQ_CALIBRATE_DISTILL ||
           (spec->calibrate.source == NQ_CALIBRATE_FILE && spec->calibrate.synthetic);
}

/* What changes float weights, and what batch norms say about the network afterwards. */
static nq_status repair(making *m, nq_error *err)
{
    nq_status status = NQ_OK;
    nq_progress_stage(m->report, "repair");
    if (m->spec->repair.equalize)
        status = equalizers[m->spec->repair.equalize_by](m, err);
    if (status == NQ_OK && m->spec->repair.absorb_bias)
        nq_absorb_bias(&m->graph);
    if (status == NQ_OK && (m->spec->activations.source == NQ_SOURCE_BN || synthetic(m->spec)))
        status = nq_bn_moments_derive(&m->graph, &m->moments, err);
    return status;
}

/* Where black and white lie after the normalisation, of all three colours. */
static nq_range pixel_range(void)
{
    float low[3], high[3];
    nq_range range = {.low = INFINITY, .high = -INFINITY};
    nq_pixel_limits(low, high);
    for (int c = 0; c < 3; c++) {
        range.low = fminf(range.low, low[c]);
        range.high = fmaxf(range.high, high[c]);
    }
    return range;
}

/* Images that the job made itself lie among its artifacts. */
static nq_status open_samples(making *m, nq_error *err)
{
    const nq_place *given = &m->job->calibration;
    nq_status status = check_calibration(m->job, err);
    if (status != NQ_OK)
        return status;
    if (m->spec->calibrate.source != NQ_CALIBRATE_DISTILL)
        return nq_samples_open(m->spec, given->root, given->path, &m->samples, err);
    char *out = nq_path_join(m->dir, "out");
    if (!out)
        return nq_fail_nomem(err, "a path", strlen(m->dir));
    status = nq_samples_open(m->spec, out, NQ_CALIBRATION_NPY, &m->samples, err);
    free(out);
    return status;
}

/* Every range but min-max takes a second pass over the samples. */
static nq_status calibrate(making *m, nq_error *err)
{
    nq_progress_stage(m->report, "calibrate");
    bool made = synthetic(m->spec);
    nq_status status = nq_ranges_observe(m->net, &m->graph, m->samples, m->pool, nq_progress_tell,
                                         m->report, m->ranges, err);
    if (status == NQ_OK && made)
        nq_bn_ranges_complete(&m->graph, &m->moments, pixel_range(), m->ranges, NULL);
    if (status != NQ_OK || !m->histograms)
        return status;
    nq_progress_stage(m->report, "histogram");
    status = nq_histograms_observe(m->net, &m->graph, m->samples, m->pool, nq_progress_tell,
                                   m->report, m->ranges, m->histograms, err);
    if (status == NQ_OK && made)
        nq_bn_ranges_complete(&m->graph, &m->moments, pixel_range(), m->ranges, m->histograms);
    return status;
}

static nq_status find_ranges(making *m, nq_error *err)
{
    if (m->spec->activations.source == NQ_SOURCE_DATA)
        return calibrate(m, err);
    return nq_bn_ranges(&m->graph, &m->moments, pixel_range(), m->ranges, m->histograms, err);
}

/* The layers' own order has seen the logits of made images alone: what no photograph reaches. */
static void complete_logits(making *m, nq_qmodel *model)
{
    int last = m->graph.count - 1;
    if (!synthetic(m->spec) || m->graph.nodes[last].op != NQ_OP_LINEAR)
        return;
    nq_bn_ranges_complete(&m->graph, &m->moments, pixel_range(), m->ranges, NULL);
    model->nodes[last].out =
        nq_affine_params(m->ranges[last].low, m->ranges[last].high, m->spec->activations.qmax, 255);
}

/* weights.bits auto: every layer's own. */
static nq_status choose_bits(making *m, nq_made_model *made, nq_error *err)
{
    size_t bytes = (size_t)m->graph.count * sizeof *m->bits;
    m->bits = calloc(1, bytes);
    if (!m->bits)
        return nq_fail_nomem(err, "layers' widths", bytes);
    return nq_choose_widths(&m->graph, m->net, m->samples, m->spec, m->pool, m->report, m->bits,
                            &made->mixed, err);
}

static nq_status encode(const making *m, nq_made_model *made, nq_error *err)
{
    nq_status status = nq_model_file_encode(&made->model, &made->bytes, &made->size, err);
    uint64_t budget = m->spec->weights.size_budget;
    if (status == NQ_OK && budget > 0 && made->size > budget)
        status = nq_fail(err, NQ_ERR_INTERNAL,
                         "the model has %zu bytes, more than the %llu of weights.size_budget_mb",
                         made->size, (unsigned long long)budget);
    return status;
}

/* Range, round, correct: of the whole network at once, or of one layer after the other. */
static nq_status quantize(making *m, nq_qmodel *model, nq_error *err)
{
    const nq_spec *spec = m->spec;
    nq_status status = NQ_OK;
    if (nq_layerwise_wanted(spec)) {
        nq_progress_stage(m->report, "quantize");
        status = nq_layerwise_quantize(&m->graph, m->samples, spec, m->bits, m->pool,
                                       nq_progress_tell, m->report, m->ranges, model, err);
        if (status == NQ_OK)
            complete_logits(m, model);
        return status;
    }
    status = find_ranges(m, err);
    nq_progress_stage(m->report, "quantize");
    const nq_bn_moments *moments = spec->activations.source == NQ_SOURCE_BN ? &m->moments : NULL;
    if (status == NQ_OK)
        status =
            nq_quantize(&m->graph, m->ranges, m->histograms, moments, spec, m->bits, model, err);
    if (status == NQ_OK && spec->repair.correct_bias)
        status = nq_correct_bias(&m->graph, &m->moments, model, err);
    return status;
}

static nq_status report_layers(making *m, nq_made_model *made, nq_error *err)
{
    nq_progress_stage(m->report, "report");
    nq_status status = nq_layers_report(&m->graph, m->net, m->ranges, m->samples, &made->model,
                                        m->pool, nq_progress_tell, m->report, m->layers, err);
    if (status != NQ_OK)
        return status;
    made->layers = nq_layers_to_json(&m->graph, &made->model, m->layers);
    return made->layers ? NQ_OK : nq_fail_nomem(err, "the per-layer report", 0);
}

/* The order of the steps is that of docs/methods.md. */
static nq_status make(making *m, const nq_graph *graph, nq_made_model *made, nq_error *err)
{
    nq_status status = nq_graph_copy(graph, &m->graph, err);
    if (status == NQ_OK)
        status = allocate(m, err);
    if (status == NQ_OK && m->spec->calibrate.source == NQ_CALIBRATE_DISTILL)
        status = nq_synthesize(m->dir, m->job, graph, m->pool, m->report, err);
    if (status == NQ_OK && m->spec->activations.source == NQ_SOURCE_DATA)
        status = open_samples(m, err);
    if (status == NQ_OK)
        status = repair(m, err);
    if (status == NQ_OK && m->samples)
        status = nq_float_net_create(&m->graph, NQ_FLOAT_SLICE, &m->net, err);
    if (status == NQ_OK && m->spec->weights.bits == 0)
        status = choose_bits(m, made, err);
    if (status == NQ_OK)
        status = quantize(m, &made->model, err);
    if (status == NQ_OK)
        status = encode(m, made, err);
    if (status == NQ_OK)
        status = report_layers(m, made, err);
    nq_float_net_free(m->net);
    nq_samples_free(m->samples);
    nq_bn_moments_free(&m->moments);
    nq_graph_free(&m->graph);
    free(m->ranges);
    free(m->histograms);
    free(m->layers);
    free(m->bits);
    return status;
}

nq_status nq_made_model_make(const char *dir, const nq_job_file *job, const nq_graph *graph,
                             nq_pool *pool, nq_progress_report *report, nq_made_model *made,
                             nq_error *err)
{
    nq_status status = NQ_OK;
    char *model_path = nq_kept_path(dir, job, "model", "safetensors");
    char *layers_path = nq_kept_path(dir, job, "layers", "json");
    if (!model_path || !layers_path) {
        status = nq_fail_nomem(err, "a path", strlen(dir));
    } else if (take_kept(model_path, layers_path, job->spec.weights.bits == 0, made)) {
        nq_log(NQ_LOG_INFO, "model_kept", "bytes", "%zu", made->size, NULL);
    } else {
        making m = {.dir = dir, .job = job, .spec = &job->spec, .pool = pool, .report = report};
        status = make(&m, graph, made, err);
        if (status == NQ_OK)
            status = keep(model_path, layers_path, made, err);
    }
    free(model_path);
    free(layers_path);
    return status;
}
