/*
 * What a layer reads on the calibration samples: the float network's values, and the integers that
 * the quantized network has in their place.
 */
#ifndef NQ_QUANTIZE_LAYER_INPUT_H
#define NQ_QUANTIZE_LAYER_INPUT_H

#include "common/pool.h"
#include "worker/integer/qmodel.h"

typedef struct {
    size_t images;
    int height, width, channels;
    const float *real;     /* f32 [images][H][W][C] */
    const uint8_t *stored; /* u8 [images][H][W][C] */
    float value[256];      /* what the layer reads where q is stored */
} nq_layer_input;

/* Fills value[] for integers stored with `stored` and read with `read`: through a table where the
 * two differ (nq_table_requantize). */
void nq_layer_input_set(nq_layer_input *in, nq_qparams stored, nq_qparams read);

static inline size_t nq_layer_input_elements(const nq_layer_input *in)
{
    return (size_t)in->height * (size_t)in->width * (size_t)in->channels;
}

#endif
