/* Images back from the sheet that a distilling job leaves (worker/output/calibration_file.h). */
#ifndef NQ_CALIBRATE_SHEET_H
#define NQ_CALIBRATE_SHEET_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_SHEET_IMAGES_MAX 1024 /* as many as a job distils */

/* u8 [rows * 226 - 2][stride], RGB: images of 224x224 with 2 pixels between two. */
typedef struct {
    uint8_t *pixels;
    size_t stride, columns, count;
} nq_sheet;

/* Whether these first bytes of a file are those of a PNG. */
#define NQ_PNG_SIGNATURE 8
bool nq_sheet_is_png(const uint8_t head[NQ_PNG_SIGNATURE]);

/*
 * Decodes a sheet; free it with nq_sheet_free(). Places of the last row that are white all over
 * hold no image. NQ_ERR_INPUT, naming the file, for what is no PNG, whose size is no such grid, or
 * which has more than NQ_SHEET_IMAGES_MAX places.
 */
nq_status nq_sheet_decode(const uint8_t *data, size_t size, const char *name, nq_sheet *sheet,
                          nq_error *err);
void nq_sheet_free(nq_sheet *sheet);

/* Corner of image i < count: rows of 224 RGB pixels, sheet->stride bytes apart. */
const uint8_t *nq_sheet_image(const nq_sheet *sheet, size_t i);

#endif
