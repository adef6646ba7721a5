/*
 * Second moments of a layer's inputs: all that rounding its weights well needs to know of the
 * samples. A patch is what one output position sees: x f32 [d], d = kernel_h * kernel_w * channels
 * in the order of the weights, 0 where padding is. x is the float network's, y the quantized one's.
 *
 *     H = E[(y - Ey)(y - Ey)']        G = E[(x - Ex)(y - Ey)']
 *
 * Both are centred because a shift of the output is the bias's to correct. E weights a patch by
 * min(1, 3 median |x|^2 / |x|^2), the median over NQ_GRAM_CHUNK images: a few positions whose
 * values are many times the usual ones (MobileNetV2's last blocks have them in the corners) would
 * otherwise be all that counts. On maps of NQ_GRAM_LARGE and more every second row and column is
 * used.
 */
#ifndef NQ_QUANTIZE_GRAM_H
#define NQ_QUANTIZE_GRAM_H

#include "worker/model/graph.h"
#include "worker/quantize/layer_input.h"

#define NQ_GRAM_CHUNK 32
#define NQ_GRAM_LARGE 28

typedef struct {
    int d;
    float *h;      /* f32 [d][d], symmetric */
    float *cross;  /* G, f32 [d][d], rows x, columns y; NULL unless asked for */
    double weight; /* of all patches */
} nq_gram;

/* Of a convolution of one group, or a linear layer. The same for any number of threads. The caller
 * frees it; on failure it is empty. */
nq_status nq_gram_collect(const nq_node *node, const nq_layer_input *in, bool cross, nq_pool *pool,
                          nq_gram *gram, nq_error *err);
/* H towards its diagonal: everything else times 1 - share. */
void nq_gram_shrink(nq_gram *gram, double share);
void nq_gram_free(nq_gram *gram);

/* Of a depthwise convolution, taps = kernel_h * kernel_w: H f32 [channels][taps][taps], centred,
 * every patch weighing the same. Allocated here, freed by the caller. */
nq_status nq_gram_collect_depthwise(const nq_node *node, const nq_layer_input *in, nq_pool *pool,
                                    float **h, nq_error *err);

/* 1, or 2 where only every second row and column of the output is used. */
int nq_gram_step(const nq_node *node, const nq_layer_input *in);

/* w f32 [n] of positions whose squared norms are norm[n]: min(1, 3 median / norm); room f32 [n]. */
void nq_position_weights(const float *norm, size_t n, float *room, float *weight);

#endif
