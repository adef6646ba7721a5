/* Which tensor is stored in how many bits, and how wide each layer reads and weighs. */
#ifndef NQ_QUANTIZE_WIDTHS_H
#define NQ_QUANTIZE_WIDTHS_H

#include "common/spec.h"
#include "worker/model/graph.h"

typedef struct {
    int stored;  /* bits of the node's output */
    int read;    /* CONV, LINEAR: bits at which it reads its input; 0 elsewhere */
    int weights; /* CONV, LINEAR: bits of its weights; 0 elsewhere */
    bool kept;   /* a layer of keep_8bit */
} nq_width;

/*
 * Fills widths[graph->count] from activations.bits (A), activations.shortcut_bits (S), weights.bits
 * and keep_8bit:
 *
 *  - A layer in keep_8bit has 8-bit weights and reads 8 bit. Every other layer has
 *    weight_bits[node], or weights.bits where weight_bits is NULL, and reads A, but for one that
 * reads the images: it reads 8 bit.
 *  - The images and the logits are stored at 8 bit; so is whatever a layer of keep_8bit reads,
 * directly or through tensors that pass their parameters on (slice, shuffle, pools).
 *  - A layer's output whose only reader is a layer is stored at the bits that layer reads.
 *  - All else is stored at S: whatever an addition, a concatenation or a pool reads or writes.
 *  - Slices, shuffles and pools are stored as their input is.
 *
 * A layer with read < stored of its input goes through a table. An entry of keep_8bit that is not
 * "first" (the first convolution), "last" (the last layer) or the name of a layer is NQ_ERR_INPUT.
 */
nq_status nq_widths_decide(const nq_graph *graph, const nq_spec *spec, const int *weight_bits,
                           nq_width *widths, nq_error *err);

/* The node whose quantization parameters `node` has: itself where observed, else up its input. */
int nq_widths_source(const nq_graph *graph, int node);

#endif
