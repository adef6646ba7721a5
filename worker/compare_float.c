#include "worker/compare_float.h"

#include "worker/float/divergence.h"
#include "worker/output/labels.h"
#include "worker/output/logits_file.h"

#include <math.h>
#include <stdlib.h>

#define TEXT_LIMIT ((size_t)64 << 20)

static nq_status too_few(const nq_float_comparison *c, const char *name, uint32_t count,
                         nq_error *err)
{
    return nq_fail(err, NQ_ERR_INPUT, "%s has %u images, this job needs %u", name, count, c->count);
}

static nq_status compare_labels(const nq_float_comparison *c, nq_summary *s, nq_error *err)
{
    const nq_place *place = &c->job->float_output;
    uint8_t *text = NULL;
    size_t size;
    int32_t *labels = NULL;
    uint32_t count = 0;
    nq_status status = nq_place_read(place, TEXT_LIMIT, &text, &size, err);
    if (status == NQ_OK)
        status = nq_labels_parse((char *)text, size, place->path, &labels, &count, err);
    if (status == NQ_OK && count < c->count)
        status = too_few(c, place->path, count, err);
    if (status == NQ_OK) {
        s->has_agreement = true;
        s->agreement_images = c->count;
        for (uint32_t i = 0; i < c->count; i++)
            s->agreement_same += labels[i] == c->verdicts[i].label;
    }
    free(labels);
    free(text);
    return status;
}

static nq_status sum_divergence(const nq_float_comparison *c, const nq_logits_file *file,
                                float *reference, uint8_t *row, nq_summary *s, nq_error *err)
{
    double sum = 0;
    uint32_t images = 0;
    nq_status status = NQ_OK;
    for (uint32_t i = 0; i < c->count && status == NQ_OK; i++) {
        if (c->verdicts[i].unreadable)
            continue;
        status = nq_logits_row(file, i, reference, err);
        if (status == NQ_OK)
            status = nq_journal_row(c->journal, i, row, err);
        if (status == NQ_OK)
            sum += nq_kl_divergence(reference, row, c->scale, c->classes);
        images++;
    }
    s->has_kl = status == NQ_OK && images > 0 && isfinite(sum);
    if (s->has_kl) {
        s->kl_images = images;
        s->kl_mean = sum / images;
    }
    return status;
}

static nq_status compare_logits(const nq_float_comparison *c, nq_summary *s, nq_error *err)
{
    nq_logits_file file;
    size_t room = (size_t)c->classes * sizeof(float);
    float *reference = malloc(room);
    uint8_t *row = malloc(room);
    nq_status status = nq_logits_open(&c->job->float_logits, c->classes, &file, err);
    if (status == NQ_OK && (!reference || !row))
        status = nq_fail_nomem(err, "a row of logits", room);
    if (status == NQ_OK && file.count < c->count)
        status = too_few(c, file.name, file.count, err);
    if (status == NQ_OK)
        status = sum_divergence(c, &file, reference, row, s, err);
    nq_logits_close(&file);
    free(reference);
    free(row);
    return status;
}

nq_status nq_compare_with_float(const nq_float_comparison *c, nq_summary *summary, nq_error *err)
{
    nq_status status = NQ_OK;
    if (c->job->float_output.root)
        status = compare_labels(c, summary, err);
    if (status == NQ_OK && c->job->float_logits.root)
        status = compare_logits(c, summary, err);
    return status;
}
