/* Which model a quantized file is of, for `netqctl submit --quantized FILE` without --model. */
#ifndef NQ_CLIENT_QUANTIZED_H
#define NQ_CLIENT_QUANTIZED_H

#include "client/client.h"
#include <stdint.h>

#define NQ_QUANTIZED_HEADER (1u << 20) /* longest header of a model.safetensors */

/*
 * The architecture that the first `size` bytes of a model.safetensors name (docs/model-file.md);
 * they must hold the whole header. *arch is malloc'd. `name` is for the sentence.
 */
nq_status nq_quantized_arch(const uint8_t *data, size_t size, const char *name, char **arch,
                            nq_error *err);

/*
 * Sets `model` in a spec that has `quantized` and no `model`: the daemon's model of the file's
 * architecture, the one with its name where there are several. Other specs are left alone.
 */
nq_status nq_quantized_choose_model(nq_client *client, json_t *spec, nq_error *err);

#endif
