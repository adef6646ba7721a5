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

#endif
