#include "server/estimate.h"

#include "common/arch.h"
#include <string.h>

#define BYTES_A_CHANNEL_FLOAT 16    /* four BN values of a channel in the checkpoint */
#define BYTES_A_CHANNEL       8     /* scale and bias in model.safetensors */
#define FIXED_BYTES           16384 /* header, activation parameters */
/* One thread of a machine of 2020, for guesses. */
#define FLOAT_RATE     20e9 /* multiply-accumulates a second */
#define INTEGER_RATE   10e9
#define DECODE_SECONDS 0.01 /* an image: reading, decoding, resizing */
#define START_SECONDS  0.3

#define BYTES_A_PREDICTION 64   /* a record of the journal, and its line of output.txt */
#define BYTES_OF_LOGITS    4000 /* an image's row in a float job's logits.npy */

int64_t nq_estimate_model_size(const nq_spec *spec, const char *arch, int64_t checkpoint_bytes,
                               int64_t quantized_bytes)
{
    const nq_arch *a = nq_arch_find(arch);
    if (spec->kind == NQ_JOB_QUANTIZED_FILE)
        return quantized_bytes;
    if (spec->kind == NQ_JOB_FLOAT || !a)
        return checkpoint_bytes;
    int64_t weights = (checkpoint_bytes - BYTES_A_CHANNEL_FLOAT * (int64_t)a->channels) / 4;
    if (weights > (int64_t)a->weights)
        weights = (int64_t)a->weights;
    if (weights < 0)
        weights = 0;
    int64_t fewer = ((int64_t)a->weights - weights) / (int64_t)a->weights_a_class;
    int64_t last = (1000 - (fewer < 1000 ? fewer : 1000)) * (int64_t)a->weights_a_class;
    bool automatic = spec->weights.bits == 0; /* the budget, and no more than 8 bits */
    int each = automatic ? 8 : spec->weights.bits;
    int64_t bits = weights * each;
    for (size_t i = 0; i < spec->keep_count; i++)
        if (strcmp(spec->keep_8bit[i], "last") == 0)
            bits += last * (8 - each);
    int64_t size = bits / 8 + BYTES_A_CHANNEL * (int64_t)a->channels + FIXED_BYTES;
    int64_t budget = (int64_t)spec->weights.size_budget;
    return automatic && budget < size ? budget : size;
}

/* Seconds of one thread. */
static double work_of(nq_job_kind kind, double macs, double samples, double images)
{
    double rate = kind == NQ_JOB_FLOAT ? FLOAT_RATE : INTEGER_RATE;
    double calibrate = kind == NQ_JOB_QUANTIZE ? samples * macs / FLOAT_RATE : 0;
    return START_SECONDS + calibrate + images * (macs / rate + DECODE_SECONDS);
}

double nq_estimate_seconds(nq_job_kind kind, const char *arch, int64_t samples, int64_t images,
                           int threads, const nq_past_run *past)
{
    const nq_arch *a = nq_arch_find(arch);
    double macs = a ? (double)a->macs : 0;
    double work = work_of(kind, macs, (double)samples, (double)images);
    if (past->seconds > 0)
        return past->seconds * work /
               work_of(kind, macs, (double)past->samples, (double)past->images);
    return work / (threads > 0 ? threads : 1);
}

int64_t nq_estimate_disk(const nq_job *job, int64_t model_size)
{
    int64_t images = job->partial ? job->limit : job->dataset_images;
    if (job->kind == NQ_JOB_FLOAT)
        return images * (BYTES_A_PREDICTION + BYTES_OF_LOGITS) + FIXED_BYTES;
    return model_size + images * BYTES_A_PREDICTION + FIXED_BYTES;
}
