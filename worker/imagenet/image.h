/* An image of a dataset as a crop: out of the crop cache, else read, decoded and put there. */
#ifndef NQ_IMAGENET_IMAGE_H
#define NQ_IMAGENET_IMAGE_H

#include "common/crop_cache.h"
#include "worker/imagenet/crop.h"

/*
 * dataset->images[image] -> crop u8 [224][224][3] and digest, the first bytes of the file's
 * SHA-256 (set whenever the file could be read). cache, record: where the crop is looked for and
 * kept; cache may be NULL. An image that cannot be decoded is NQ_ERR_INPUT as in
 * nq_decoder_crop(), and is not kept.
 */
nq_status nq_image_read(nq_decoder *decoder, const nq_dataset *dataset, uint32_t image,
                        nq_crop_cache *cache, uint32_t record, uint8_t *crop,
                        uint8_t digest[NQ_CACHED_DIGEST], nq_error *err);

#endif
