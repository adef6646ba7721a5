/* Smooth noise, the stuff that start images are made of. */
#ifndef NQ_CALIBRATE_OCTAVES_H
#define NQ_CALIBRATE_OCTAVES_H

#include "common/random.h"

#define NQ_OCTAVES_SIDE 224 /* pixels a side of a plane */
#define NQ_OCTAVES_COARSEST                                                                        \
    7 /* points a side of the first octave; each later one has twice as many */
#define NQ_OCTAVES_COUNT 5

/*
 * Adds a grid of normal noise of deviation `size`, points x points (a divisor of 224),
 * interpolated between its points, to plane f32 [224][224]. The grid goes around the edges. grid:
 * room for points^2 values.
 */
void nq_octave_add(nq_random *random, int points, float size, float *grid, float *plane);

#endif
