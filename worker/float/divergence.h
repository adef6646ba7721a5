/* How far a quantized network's logits are from the float network's; needs no label. */
#ifndef NQ_FLOAT_DIVERGENCE_H
#define NQ_FLOAT_DIVERGENCE_H

#include <stdint.h>

/*
 * KL(softmax(reference) || softmax(scale * logits)) in nats, of one image: reference f32 [classes],
 * logits u8 [classes] (their zero point cancels). NaN where the reference is not finite.
 */
double nq_kl_divergence(const float *reference, const uint8_t *logits, double scale, int classes);

/* The same of float logits, f32 [classes]; not finite where they are not. */
double nq_kl_divergence_float(const float *reference, const float *logits, int classes);

#endif
