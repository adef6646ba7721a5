/* The kernels without weights, by instruction set: what the tables of kernels are made of. Each is
 * what the function of the same name in nq_kernels says. */
#ifndef NQ_INTEGER_ELEMENTWISE_H
#define NQ_INTEGER_ELEMENTWISE_H

#include "worker/integer/kernels.h"

#define NQ_ELEMENTWISE_DECLARE(isa)                                                                \
    void nq_add_##isa(const nq_add *op, const uint8_t *a, size_t a_pitch, const uint8_t *b,        \
                      size_t b_pitch, uint8_t *out, size_t out_pitch, size_t pixels,               \
                      int channels);                                                               \
    void nq_shuffle_##isa(const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,      \
                          size_t pixels, int channels, int groups);                                \
    void nq_max_pool_##isa(const nq_window *window, nq_rows rows, const uint8_t *in,               \
                           size_t in_pitch, uint8_t *out, size_t out_pitch);                       \
    void nq_avg_pool_##isa(const uint8_t *in, size_t in_pitch, size_t pixels, int channels,        \
                           int32_t zero, uint8_t *out);

#define NQ_LOOKUP_DECLARE(isa)                                                                     \
    void nq_lookup_##isa(const uint8_t table[256], const uint8_t *in, size_t in_pitch,             \
                         uint8_t *out, size_t out_pitch, size_t pixels, int channels);             \
    void nq_interleave_##isa(const uint8_t tables[2][256], const uint8_t *a, size_t a_pitch,       \
                             const uint8_t *b, size_t b_pitch, uint8_t *out, size_t out_pitch,     \
                             size_t pixels, int channels);                                         \
    void nq_input_##isa(const uint8_t table[3][256], const uint8_t *crop, uint8_t *out,            \
                        size_t pixels);

NQ_ELEMENTWISE_DECLARE(avx2)
NQ_ELEMENTWISE_DECLARE(avx512)
NQ_LOOKUP_DECLARE(avx2)
NQ_LOOKUP_DECLARE(avx512) /* one of the two below, whichever the CPU has */
NQ_LOOKUP_DECLARE(avx512bw)
NQ_LOOKUP_DECLARE(avx512vbmi)

#endif
