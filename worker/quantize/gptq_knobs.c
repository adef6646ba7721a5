#include "worker/quantize/gptq_knobs.h"

static double chosen_or(const char *key, int index, double automatic)
{
    return index > 0 ? nq_spec_choice(key, index) : automatic;
}

nq_gptq_knobs nq_gptq_knobs_of(const nq_spec *spec, const nq_node *node, int channels,
                               size_t samples)
{
    int views = spec->calibrate.views > 1 ? spec->calibrate.views : 1;
    double n = (double)samples / views * node->height * node->width;
    return (nq_gptq_knobs){
        .damping = nq_spec_choice("gptq.damping", spec->gptq.damping),
        .target = node->op == NQ_OP_LINEAR ? 0 : nq_spec_choice("gptq.target", spec->gptq.target),
        .ridge = chosen_or("gptq.ridge", spec->gptq.ridge, 64.0 * channels / n),
        .shrinkage = chosen_or("gptq.shrinkage", spec->gptq.shrinkage,
                               2.0 * channels / (2.0 * channels + n))};
}
