/*
 * Pictures of shapes that hide one another, "dead leaves": nothing was photographed, and yet they
 * have edges, flat regions and a few colours each, as photographs do (Lee, Mumford and Huang, IJCV
 * 2001; Baradad et al., Learning to See by Looking at Noise, NeurIPS 2021).
 */
#ifndef NQ_CALIBRATE_DEAD_LEAVES_H
#define NQ_CALIBRATE_DEAD_LEAVES_H

#include "common/error.h"
#include "common/random.h"

/*
 * Fills image f32 [224][224][3], 0 black and 1 white, from `random`: up to some hundred ellipses,
 * rectangles and triangles, whose sizes go as 1/r^2 between limits of the picture's own, in colours
 * around one of the picture's own, shaded and textured; then blurred and grained. The same bytes on
 * every machine.
 */
nq_status nq_dead_leaves_draw(nq_random *random, float *image, nq_error *err);

#endif
