/* The decoders behind nq_decoder_crop(): each reads one format and hands its rows to a resizer. */
#ifndef NQ_IMAGENET_DECODE_H
#define NQ_IMAGENET_DECODE_H

#include "common/error.h"
#include "worker/imagenet/resize.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pillow's decompression bomb limit: twice its MAX_IMAGE_PIXELS. */
#define NQ_MAX_PIXELS 178956970

/* Two rows of one thread's decoder: as the file has them, and as RGB, each with NQ_RESIZE_SLACK
 * bytes behind it. Kept from file to file. */
typedef struct {
    uint8_t *raw, *rgb;
    size_t raw_room, rgb_room;
} nq_row_buffers;

nq_status nq_row_buffers_reserve(nq_row_buffers *b, size_t raw, size_t rgb, nq_error *err);
void nq_row_buffers_free(nq_row_buffers *b);

/* NQ_ERR_INPUT for an empty picture or one above NQ_MAX_PIXELS. */
nq_status nq_check_pixels(const char *name, uint64_t width, uint64_t height, nq_error *err);

/* `data` has the format's signature. On NQ_OK the resizer has seen every row that it wants and
 * nq_resizer_end() may be called. */
nq_status nq_decode_jpeg(const uint8_t *data, size_t size, const char *name, nq_row_buffers *rows,
                         nq_resizer *resizer, nq_error *err);
nq_status nq_decode_png(const uint8_t *data, size_t size, const char *name, nq_row_buffers *rows,
                        nq_resizer *resizer, nq_error *err);

#endif
