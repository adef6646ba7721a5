/*
 * Resize(256) and CenterCrop(224) of torchvision on a Pillow image, row by row: the decoder hands
 * over one row after the other and never holds the whole picture. Only the rows and columns that
 * the crop keeps are computed.
 */
#ifndef NQ_IMAGENET_RESIZE_H
#define NQ_IMAGENET_RESIZE_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>

#define NQ_RESIZE_SLACK 16 /* bytes that must be readable behind a row's last pixel */

/* One axis: output i is the sum of weights[i*stride + t] * input[first[i] + t], t < count[i], in
 * fixed point with 22 fractional bits. */
typedef struct {
    int in;     /* pixels of the axis before */
    double out; /* and after, before the crop */
    int first[224];
    int count[224];
    int stride;
    int32_t *weights; /* [224][stride] */
    size_t room;      /* of weights, in elements */
} nq_taps;

/* The same as a kernel wants it: groups of neighbouring taps, missing ones with weight 0. */
typedef struct {
    int first[224];  /* the first tap of each output, zeros in front included */
    int groups[224]; /* of each output; of a row's block: at the block's first output */
    int start[224];  /* the number of the first of these groups */
    void *weights;   /* aligned to 64 bytes */
    size_t room;     /* of weights, in bytes */
} nq_packed_taps;

typedef struct nq_resize_kernels nq_resize_kernels;

/* Zero-initialise; memory is kept from picture to picture. */
typedef struct {
    const nq_resize_kernels *kernels; /* NULL: chosen at the first picture */
    int width, height;
    int first_row, end_row; /* the rows of the picture that the crop depends on */
    int first_column, end_column;
    nq_taps x, y;
    nq_packed_taps packed_x, packed_y;
    uint8_t *rows; /* after the horizontal pass: from first_row on */
    size_t room;
} nq_resizer;

/*
 * Begins a picture of width x height >= 1 pixels. Pictures so long and thin that Pillow cannot
 * resize them are NQ_ERR_INPUT (the sentence lacks the file's name).
 */
nq_status nq_resizer_begin(nq_resizer *r, int width, int height, nq_error *err);

/* Row y as u8 [width][3] and NQ_RESIZE_SLACK bytes of any value; columns outside
 * first_column..end_column-1 may have any value, too. Rows outside first_row..end_row-1 need not be
 * given and are ignored. */
void nq_resizer_row(nq_resizer *r, int y, const uint8_t *rgb);

/* After the last row: crop u8 [224][224][3]. */
void nq_resizer_end(nq_resizer *r, uint8_t *crop);

void nq_resizer_free(nq_resizer *r);

#endif
