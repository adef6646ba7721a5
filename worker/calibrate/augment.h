/* More views of a calibration sample: few images go further where each is seen several ways. */
#ifndef NQ_CALIBRATE_AUGMENT_H
#define NQ_CALIBRATE_AUGMENT_H

#include <stddef.h>
#include <stdint.h>

#define NQ_AUGMENT_SHIFT 24 /* pixels either way */

/*
 * View `view` > 0 of sample `sample`: image f32 [224][224][3] moved by up to NQ_AUGMENT_SHIFT
 * pixels down and right, what comes in mirrored at the border, and every other view turned left to
 * right. Drawn from one stream a sample and view. out f32 [224][224][3], not image itself.
 */
void nq_augment_view(uint64_t seed, size_t sample, size_t view, const float *image, float *out);

#endif
