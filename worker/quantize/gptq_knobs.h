/* The numbers that the gptq keys of a spec stand for, layer by layer. */
#ifndef NQ_QUANTIZE_GPTQ_KNOBS_H
#define NQ_QUANTIZE_GPTQ_KNOBS_H

#include "common/spec.h"
#include "worker/model/graph.h"

typedef struct {
    double damping, target, ridge, shrinkage;
} nq_gptq_knobs;

/*
 * For a node whose output channels have d weights each, on so many samples (views included). A
 * linear layer has target 0. Auto holds the samples' noise down: moments are d x d and come from n
 * places of the output on all samples, which are alike where they are of one map. The ridge is
 * 64 d / n, the shrinkage 2 d / (2 d + n); n counts a sample once, however many views of it there
 * are.
 */
nq_gptq_knobs nq_gptq_knobs_of(const nq_spec *spec, const nq_node *node, int d, size_t samples);

#endif
