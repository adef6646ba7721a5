/* Between common/random.c and the versions of its loop for many normals. */
#ifndef NQ_COMMON_RANDOM_NORMALS_H
#define NQ_COMMON_RANDOM_NORMALS_H

#include "common/random.h"

#define NQ_NORMALS_BLOCKS 64 /* of four words */
#define NQ_NORMALS_CHUNK  128

/* Numerators and denominators of AS 241: for |p - 0.5| <= 0.425, and for the tails beyond as far as
 * sqrt(-log p) <= 5. */
extern const double nq_normals_centre[2][8], nq_normals_middle[2][8];

/* The next NQ_NORMALS_CHUNK normals of a generator that stands at the beginning of a block; the
 * generator stays where it is. */
typedef void nq_normals_chunk(const nq_random *r, double value[NQ_NORMALS_CHUNK]);
nq_normals_chunk nq_normals_plain, nq_normals_avx512;

#endif
