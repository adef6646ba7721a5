#include "worker/quantize/gptq_knobs.h"

nq_gptq_knobs nq_gptq_knobs_of(const nq_spec *spec, const nq_node *node, int channels,
                               size_t samples)
{
    int views = spec->calibrate.views > 1 ? spec->calibrate.views : 1;
    double n = (double)samples / views * node->height * node->width;
    double target = node->op == NQ_OP_LINEAR ? 0 : nq_spec_choice("gptq.target", spec->gptq.target);
    return (nq_gptq_knobs){
        .damping = nq_spec_choice("gptq.damping", spec->gptq.damping),
        .target = target,
        .ridge = nq_spec_choice_or("gptq.ridge", spec->gptq.ridge, 64.0 * channels / n),
        .shrinkage = nq_spec_choice_or("gptq.shrinkage", spec->gptq.shrinkage,
                                       2.0 * channels / (2.0 * channels + n)),
        .gain_exponent = 1 - target / 2};
}
