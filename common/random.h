/*
 * Random numbers, the same on every machine. Two generators:
 *  - MT19937, only for the sampler's permutation (NUMERICS: torch.randperm);
 *  - Philox4x32-10 (Salmon et al., SC'11), counter-based, keyed by (seed, stream): sample i of a
 * job is the same for any number of threads and after a resume. Normals come from the inverse CDF
 * (Wichura, AS 241, PPND16) with a logarithm of our own, built from additions, multiplications,
 * divisions and square roots, which IEEE 754 rounds alike everywhere.
 */
#ifndef NQ_COMMON_RANDOM_H
#define NQ_COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t state[624];
    int next;
} nq_mt19937;

void nq_mt19937_seed(nq_mt19937 *mt, uint32_t seed); /* init_genrand */
uint32_t nq_mt19937_next(nq_mt19937 *mt);

/* order[0..n-1] = torch.randperm(n, generator=torch.Generator().manual_seed(seed)); n < 2^32. */
void nq_random_permutation(uint32_t seed, uint32_t n, uint32_t *order);

typedef struct {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    int used;
} nq_random;

/* The generator of stream `stream` under `seed`; streams never overlap (2^64 blocks each). */
void nq_random_init(nq_random *r, uint64_t seed, uint64_t stream);
uint32_t nq_random_u32(nq_random *r);
/* Uniform in (0,1), 53 bits, never 0 or 1: (u + 0.5) / 2^53. */
double nq_random_uniform(nq_random *r);
/* Standard normal. One uniform each. */
double nq_random_normal(nq_random *r);
/* n of them, to out[0], out[stride], ...: the same as n calls, several times as fast. */
void nq_random_normals(nq_random *r, size_t n, float *out, size_t stride);
/* The inverse of the standard normal CDF at p in (0,1). */
double nq_normal_quantile(double p);
/* Natural logarithm of a positive finite x, identical bits on every machine; error below 2 ulp. */
double nq_portable_log(double x);

#endif
