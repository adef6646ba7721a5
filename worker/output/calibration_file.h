/* Synthesized calibration samples as artifacts: for numpy, for another job, for the eye. */
#ifndef NQ_OUTPUT_CALIBRATION_FILE_H
#define NQ_OUTPUT_CALIBRATION_FILE_H

#include "common/error.h"
#include <stddef.h>

/* images: f32 [count][224][224][3], normalised. Both are written atomically. */

/* A .npy, float32 (count, 3, 224, 224). */
nq_status nq_calibration_write_npy(const char *path, const float *images, size_t count,
                                   nq_error *err);

/*
 * A sheet: a PNG with each image as it is, row by row in as many columns as rows or one more,
 * NQ_SHEET_GAP white pixels between two, white where the last row has none. The normalisation is
 * taken back, what lies beyond black or white cut off. worker/calibrate/sheet.h reads it.
 */
#define NQ_SHEET_GAP   2
#define NQ_SHEET_PAPER 255
nq_status nq_calibration_write_sheet(const char *path, const float *images, size_t count,
                                     nq_error *err);

#endif
