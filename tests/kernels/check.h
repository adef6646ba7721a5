/* What the checks of checkkernels share: random shapes, tensors between guards, the formulas' end.
 */
#ifndef NQ_TESTS_CHECK_H
#define NQ_TESTS_CHECK_H

#include "common/random.h"
#include "worker/integer/kernels.h"

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

extern nq_random check_rng; /* of the case that is being checked */

int between(int low, int high);
void *allocate(size_t bytes); /* aligned to NQ_ALIGN; ends the program where there is no memory */

/* Pixels of `channels` bytes that are the kernel's; the rest of the pitch is not. */
typedef struct {
    uint8_t *base, *data;
    size_t pixels, pitch, bytes;
    int channels;
} tensor;

tensor tensor_new(size_t pixels, int channels); /* an output, between guards */
/* An input: nothing lies after its last byte, so that a sanitizer sees a read past it. */
tensor tensor_random(size_t pixels, int channels);
/* The kernel's bytes equal `expected` ([pixels][channels]); all others are as they were. */
int tensor_check(const tensor *t, const uint8_t *expected);

uint8_t expected_output(float r, const nq_output *out);
nq_output random_output(void);
nq_window random_window(int max_c);
nq_rows random_rows(const nq_window *w); /* everything, or some of the output's rows */
/* A copy of the input rows that a call may read, at the same pitch; a read right before it, or
 * right after it, ends the program. Valid until the next call. */
const uint8_t *copy_rows(const tensor *in, const nq_window *w, nq_rows rows);

/* One random case each, from check_rng; 0 where the kernel's bytes are not the formula's. */
int check_dense(const nq_kernels *k);
int check_depthwise(const nq_kernels *k);
int check_add(const nq_kernels *k);
int check_lookup(const nq_kernels *k);
int check_shuffle(const nq_kernels *k);
int check_interleave(const nq_kernels *k);
int check_max_pool(const nq_kernels *k);
int check_avg_pool(const nq_kernels *k);
int check_input(const nq_kernels *k);

#endif
