/*
 * One image file's way to a crop: decode (libjpeg-turbo, ISLOW, fancy upsampling), to RGB as
 * Pillow's convert("RGB") does, Resize(256) with Pillow's antialiased bilinear filter,
 * CenterCrop(224). Bytes equal Pillow + torchvision's (NUMERICS: preprocessing).
 */
#ifndef NQ_IMAGENET_CROP_H
#define NQ_IMAGENET_CROP_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

#define NQ_CROP       224
#define NQ_CROP_BYTES (NQ_CROP * NQ_CROP * 3)

typedef struct nq_decoder nq_decoder; /* one thread's decoder and scratch memory, reused */

nq_status nq_decoder_create(nq_decoder **decoder, nq_error *err);
void nq_decoder_free(nq_decoder *decoder);

/*
 * data, size: the whole file. crop: u8 [224][224][3] RGB. `name` is for the sentence. A file that
 * Pillow refuses (corrupt, truncated, empty, 12-bit, above 178956970 pixels: its
 * DecompressionBombError) is NQ_ERR_INPUT and names the file and the reason. Damage that libjpeg
 * repairs with a warning is no failure, as in Pillow; EXIF is ignored, the orientation too. A PNG
 * under a JPEG name is decoded as Pillow does; any other format is refused by its real name. So is
 * a progressive JPEG of more than 500 scans, which Pillow would take: it may hold a thread for
 * hours.
 *
 * Memory: rows are resized as they are decoded; beyond them a progressive JPEG needs 2 bytes a
 * sample (libjpeg's coefficients) and an interlaced PNG its rows, for the duration of the call.
 */
nq_status nq_decoder_crop(nq_decoder *decoder, const uint8_t *data, size_t size, const char *name,
                          uint8_t *crop, nq_error *err);

/*
 * Resize + crop alone: rgb u8 [h][w][3] -> crop. Any w, h >= 1 that Pillow can resize (see
 * resize.h). Needs the decoder's scratch memory.
 */
nq_status nq_decoder_resize(nq_decoder *decoder, const uint8_t *rgb, int w, int h, uint8_t *crop,
                            nq_error *err);

/* table[c][p] = (p / 255 - mean[c]) / std[c] in float32, as torchvision's ToTensor + Normalize
 * compute it. */
void nq_pixel_table(float table[3][256]);
/* Its two ends: where black and white of each colour lie. */
void nq_pixel_limits(float low[3], float high[3]);

#endif
