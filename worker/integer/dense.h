/* Dense convolution, one group: the functions of each instruction set, as in nq_conv_kernel. */
#ifndef NQ_INTEGER_DENSE_H
#define NQ_INTEGER_DENSE_H

#include "worker/integer/kernels.h"

#define NQ_DENSE_DECLARE(isa)                                                                      \
    void nq_dense_size_##isa(const nq_conv *op, size_t *packed, size_t *scratch);                  \
    void nq_dense_pack_##isa(const nq_conv *op, const int8_t *weight, void *packed);               \
    void nq_dense_run_##isa(const nq_conv *op, const void *packed, nq_rows rows,                   \
                            const uint8_t *in, size_t in_pitch, uint8_t *out, size_t out_pitch,    \
                            void *scratch);
NQ_DENSE_DECLARE(avx2)
NQ_DENSE_DECLARE(avxvnni)
NQ_DENSE_DECLARE(avx512vnni)
NQ_DENSE_DECLARE(amx)

#endif
