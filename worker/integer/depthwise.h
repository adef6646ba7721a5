/*
 * Depthwise convolution by blocks of channels: what all instruction sets share (which channels,
 * which rows, what pads). An instruction set gives one or two widths of vector, see
 * depthwise_template.h.
 */
#ifndef NQ_INTEGER_DEPTHWISE_H
#define NQ_INTEGER_DEPTHWISE_H

#include "worker/integer/kernels.h"

/* An input row from its column 0 on, at a block's first channel. A row that pads is a few bytes of
 * in_zero with step 0. */
typedef struct {
    const uint8_t *data;
    size_t step; /* bytes to the next column */
} nq_depthwise_row;

/* One or two rows of output of one block of channels. */
typedef struct {
    const nq_conv *op;
    const void *packed; /* the block's */
    int channels;       /* fewer than the vector's bytes only if the tensor has no more */
    int rows;           /* 2 only for 3x3 with stride 1 */
    const nq_depthwise_row *in;
    uint8_t *out; /* the first row, at the block's first channel */
    size_t out_pitch;
} nq_depthwise_call;

/* Kernels for vectors of `lanes` channels. */
typedef struct {
    int lanes;
    size_t (*bytes)(const nq_conv *op); /* packed, of one block */
    void (*pack)(const nq_conv *op, const int8_t *weight, int first, int channels, void *packed);
    void (*run)(const nq_depthwise_call *call);
} nq_depthwise_width;

/* As in nq_conv_kernel. wide: NULL, or twice as wide as narrow. */
void nq_depthwise_size(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                       const nq_conv *op, size_t *packed, size_t *scratch);
void nq_depthwise_pack(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                       const nq_conv *op, const int8_t *weight, void *packed);
void nq_depthwise_run(const nq_depthwise_width *wide, const nq_depthwise_width *narrow,
                      const nq_conv *op, const void *packed, nq_rows rows, const uint8_t *in,
                      size_t in_pitch, uint8_t *out, size_t out_pitch, void *scratch);

/* 3x3 with stride 1 or 2; anything else takes a more general way. */
static inline bool nq_depthwise_is_3x3(const nq_window *w)
{
    return w->kernel_h == 3 && w->kernel_w == 3 && w->stride <= 2;
}

/* What a table takes for its instruction set. */
#define NQ_DEPTHWISE_DECLARE(isa)                                                                  \
    void nq_depthwise_size_##isa(const nq_conv *op, size_t *packed, size_t *scratch);              \
    void nq_depthwise_pack_##isa(const nq_conv *op, const int8_t *weight, void *packed);           \
    void nq_depthwise_run_##isa(const nq_conv *op, const void *packed, nq_rows rows,               \
                                const uint8_t *in, size_t in_pitch, uint8_t *out,                  \
                                size_t out_pitch, void *scratch);
NQ_DEPTHWISE_DECLARE(avx2)
NQ_DEPTHWISE_DECLARE(avxvnni)
NQ_DEPTHWISE_DECLARE(avx512vnni)

#define NQ_DEPTHWISE_DEFINE(isa, wide, narrow)                                                     \
    void nq_depthwise_size_##isa(const nq_conv *op, size_t *packed, size_t *scratch)               \
    {                                                                                              \
        nq_depthwise_size(wide, narrow, op, packed, scratch);                                      \
    }                                                                                              \
    void nq_depthwise_pack_##isa(const nq_conv *op, const int8_t *weight, void *packed)            \
    {                                                                                              \
        nq_depthwise_pack(wide, narrow, op, weight, packed);                                       \
    }                                                                                              \
    void nq_depthwise_run_##isa(const nq_conv *op, const void *packed, nq_rows rows,               \
                                const uint8_t *in, size_t in_pitch, uint8_t *out,                  \
                                size_t out_pitch, void *scratch)                                   \
    {                                                                                              \
        nq_depthwise_run(wide, narrow, op, packed, rows, in, in_pitch, out, out_pitch, scratch);   \
    }

#endif
