/* The numbers that the gptq keys of a spec stand for, layer by layer. */
#ifndef NQ_QUANTIZE_GPTQ_KNOBS_H
#define NQ_QUANTIZE_GPTQ_KNOBS_H

#include "common/spec.h"
#include "worker/model/graph.h"

typedef struct {
    double damping, target, ridge, shrinkage;
    double gain_exponent; /* 1 - target / 2, of repair.correct_stats: see nq_match_deviations() */
} nq_gptq_knobs;

/*
 * For a node that reads so many channels of so many samples (views included). A linear layer has
 * target 0. Auto holds the samples' noise down: moments of `channels` channels come from n places
 * of the output on all samples, and those of one map are alike. The ridge is 64 channels / n, the
 * shrinkage 2 channels / (2 channels + n). n counts a sample once, however many views of it there
 * are. The taps of a kernel count as one: what they see differs little.
 */
nq_gptq_knobs nq_gptq_knobs_of(const nq_spec *spec, const nq_node *node, int channels,
                               size_t samples);

#endif
