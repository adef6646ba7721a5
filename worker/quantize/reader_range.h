/*
 * Ranges by what they do to the layer that reads them: the range of a tensor is the one with which
 * the reader's output, behind its ReLU, comes closest to the float network's.
 */
#ifndef NQ_QUANTIZE_READER_RANGE_H
#define NQ_QUANTIZE_READER_RANGE_H

#include "worker/quantize/layer_runner.h"
#include "worker/quantize/ranges.h"

#define NQ_READER_IMAGES 16 /* that a range is tried on */

/* A tensor on the first `images` <= NQ_READER_IMAGES samples. */
typedef struct {
    size_t images, each;    /* floats of an image */
    const float *real;      /* f32 [images][each], the float network's */
    const float *quantized; /* likewise, what the quantized network has before this quantization */
} nq_range_sample;

/*
 * The range for `bits` < 8. reader: the only layer that reads the tensor, or -1 where there is none
 * or several; then the tensor's own squared error counts. The error of a reader's channel is its
 * mean squared error behind the ReLU (without one: its variance, since a bias can be corrected),
 * at most 4 variances of the float output; channels are added as error / (variance + 0.05 of the
 * mean variance). Candidates are 17 fractions, 1 to 0.05, of the min-max range, then each end by
 * itself in steps of 20, 10 and 5 % within min-max. Runs of the reader are the runner's.
 */
nq_status nq_reader_range(nq_layer_runner *runner, const nq_graph *graph, int reader,
                          const nq_range_sample *sample, int bits, nq_pool *pool, nq_range *range,
                          nq_error *err);

#endif
