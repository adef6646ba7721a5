/* Published checkpoints, and what a float run of them must give. */
#ifndef NQ_SERVER_KNOWN_H
#define NQ_SERVER_KNOWN_H

#include "server/config.h"
#include <stdbool.h>
#include <stdint.h>

/*
 * The expected float top-1 in per cent of a checkpoint with this sha256 (hex; "" is unknown): what
 * the configuration says of `model`, else what is published of the file. False where nothing is
 * known.
 */
bool nq_known_top1(const nq_config *config, const char *model, const char *sha256, double *top1);

/*
 * Judges a float run: `right` of `images` right where `expected` per cent are. False where it is
 * below by more than five points and more than four standard errors: then the labels or the
 * preprocessing are wrong, not the luck.
 */
bool nq_known_plausible(int64_t right, int64_t images, double expected);

/*
 * Judges a float run of a checkpoint of which nothing is known: true where at least 50 images were
 * scored and not half as many are right as the published checkpoint of this architecture has right
 * (*top1, in per cent). A network that was trained at all does better, so it is the labels.
 */
bool nq_known_hopeless(const char *arch, int64_t right, int64_t images, double *top1);

#endif
