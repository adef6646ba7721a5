/*
 * Depthwise convolution by blocks of channels: what all instruction sets share (which channels,
 * which rows, what pads). An instruction set gives one or two widths of vector, see
 * depthwise_template.h.
 */
#ifndef NQ_INTEGER_DEPTHWISE_H
#define NQ_INTEGER_DEPTHWISE_H

#include "worker/integer/kernels.h"

/* A row from its column 0 on, at a block's first channel. Column x is at data + (x * pitch & mask):
 * `mask` is 0 where there is no such row, and then `data` a few bytes that stand for all its
 * columns, of padding to read or of nothing to write. */
typedef struct {
    uint8_t *data;
    size_t mask;
} nq_depthwise_row;

/*
 * Some rows of output of one block of channels. A width folds its vectors: `folds` parts of a
 * vector do as many rows of output at once, or pairs of rows where the convolution is 3x3 with
 * stride 1 and there are enough of them (`pairs`); part f of a vector does rows f * (pairs ? 2 : 1)
 * and so on.
 */
typedef struct {
    const nq_conv *op;
    const void *packed; /* the block's */
    int channels; /* fewer than the width's only if the tensor has no more, and only `parts` */
    bool pairs;
    const nq_depthwise_row *in;  /* under the windows of all these rows */
    const nq_depthwise_row *out; /* folds * (pairs ? 2 : 1) */
    size_t in_pitch, out_pitch;
} nq_depthwise_call;

/* Kernels for blocks of `channels` channels. */
typedef struct {
    int channels, folds;
    bool parts;                         /* of its channels can be done: the narrowest always can */
    size_t (*bytes)(const nq_conv *op); /* packed, of one block */
    void (*pack)(const nq_conv *op, const int8_t *weight, int first, int channels,
                 int width_channels, void *packed);
    void (*run)(const nq_depthwise_call *call);
} nq_depthwise_width;

enum { NQ_DEPTHWISE_FOLDS = 4 }; /* at most */

/* As in nq_conv_kernel. widths: from the widest to the narrowest, then NULL. */
void nq_depthwise_size(const nq_depthwise_width *const *widths, const nq_conv *op, size_t *packed,
                       size_t *scratch);
void nq_depthwise_pack(const nq_depthwise_width *const *widths, const nq_conv *op,
                       const int8_t *weight, void *packed);
void nq_depthwise_run(const nq_depthwise_width *const *widths, const nq_conv *op,
                      const void *packed, nq_rows rows, const uint8_t *in, size_t in_pitch,
                      uint8_t *out, size_t out_pitch, void *scratch);

/* 3x3 with stride 1 or 2; anything else takes a more general way. */
static inline bool nq_depthwise_is_3x3(const nq_window *w)
{
    return w->kernel_h == 3 && w->kernel_w == 3 && w->stride <= 2;
}

/* What a table of kernels takes. */
#define NQ_DEPTHWISE_DECLARE(isa)                                                                  \
    void nq_depthwise_size_##isa(const nq_conv *op, size_t *packed, size_t *scratch);              \
    void nq_depthwise_pack_##isa(const nq_conv *op, const int8_t *weight, void *packed);           \
    void nq_depthwise_run_##isa(const nq_conv *op, const void *packed, nq_rows rows,               \
                                const uint8_t *in, size_t in_pitch, uint8_t *out,                  \
                                size_t out_pitch, void *scratch);
NQ_DEPTHWISE_DECLARE(avx2)
NQ_DEPTHWISE_DECLARE(avxvnni)
NQ_DEPTHWISE_DECLARE(avx512vnni)

/* The dots are its widths. */
#define NQ_DEPTHWISE_DEFINE(isa, ...)                                                              \
    static const nq_depthwise_width *const widths_##isa[] = {__VA_ARGS__, NULL};                   \
    void nq_depthwise_size_##isa(const nq_conv *op, size_t *packed, size_t *scratch)               \
    {                                                                                              \
        nq_depthwise_size(widths_##isa, op, packed, scratch);                                      \
    }                                                                                              \
    void nq_depthwise_pack_##isa(const nq_conv *op, const int8_t *weight, void *packed)            \
    {                                                                                              \
        nq_depthwise_pack(widths_##isa, op, weight, packed);                                       \
    }                                                                                              \
    void nq_depthwise_run_##isa(const nq_conv *op, const void *packed, nq_rows rows,               \
                                const uint8_t *in, size_t in_pitch, uint8_t *out,                  \
                                size_t out_pitch, void *scratch)                                   \
    {                                                                                              \
        nq_depthwise_run(widths_##isa, op, packed, rows, in, in_pitch, out, out_pitch, scratch);   \
    }

#endif
