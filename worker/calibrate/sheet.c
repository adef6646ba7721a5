#include "worker/calibrate/sheet.h"

#include "common/file.h"
#include "worker/calibrate/source.h"
#include "worker/imagenet/crop.h"
#include "worker/output/calibration_file.h"

#include <png.h>
#include <stdlib.h>

#define FILE_LIMIT ((size_t)1 << 30)
#define SIDE       NQ_SAMPLE_SIDE
#define STEP       (SIDE + NQ_SHEET_GAP)
#define ROW        ((size_t)SIDE * NQ_SAMPLE_CHANNELS) /* bytes */

bool nq_sheet_is_png(const uint8_t head[NQ_PNG_SIGNATURE])
{
    return png_sig_cmp(head, 0, NQ_PNG_SIGNATURE) == 0;
}

const uint8_t *nq_sheet_image(const nq_sheet *sheet, size_t i)
{
    size_t y = i / sheet->columns * STEP, x = i % sheet->columns * STEP;
    return sheet->pixels + y * sheet->stride + x * NQ_SAMPLE_CHANNELS;
}

static bool is_blank(const nq_sheet *sheet, size_t i)
{
    const uint8_t *corner = nq_sheet_image(sheet, i);
    for (size_t y = 0; y < SIDE; y++)
        for (size_t k = 0; k < ROW; k++)
            if (corner[y * sheet->stride + k] != NQ_SHEET_PAPER)
                return false;
    return true;
}

static nq_status find_grid(const png_image *png, const char *name, nq_sheet *sheet, nq_error *err)
{
    size_t columns = ((size_t)png->width + NQ_SHEET_GAP) / STEP,
           rows = ((size_t)png->height + NQ_SHEET_GAP) / STEP;
    if (columns == 0 || rows == 0 || columns * STEP != (size_t)png->width + NQ_SHEET_GAP ||
        rows * STEP != (size_t)png->height + NQ_SHEET_GAP)
        return nq_fail(
            err, NQ_ERR_INPUT,
            "%s: %ux%u pixels are no sheet of images of %dx%d with %d pixels between two", name,
            png->width, png->height, SIDE, SIDE, NQ_SHEET_GAP);
    if (columns > NQ_SHEET_IMAGES_MAX || rows > NQ_SHEET_IMAGES_MAX / columns)
        return nq_fail(err, NQ_ERR_INPUT, "%s: a sheet of %zu x %zu images, at most %d", name,
                       columns, rows, NQ_SHEET_IMAGES_MAX);
    sheet->columns = columns;
    sheet->count = rows * columns;
    return NQ_OK;
}

static nq_status decode(png_image *png, const char *name, nq_sheet *sheet, nq_error *err)
{
    nq_status status = find_grid(png, name, sheet, err);
    if (status != NQ_OK)
        return status;
    const png_color white = {NQ_SHEET_PAPER, NQ_SHEET_PAPER, NQ_SHEET_PAPER};
    png->format = PNG_FORMAT_RGB;
    size_t bytes = PNG_IMAGE_SIZE(*png);
    sheet->stride = PNG_IMAGE_ROW_STRIDE(*png);
    size_t places = sheet->count;
    if (!(sheet->pixels = malloc(bytes)))
        return nq_fail_nomem(err, name, bytes);
    if (!png_image_finish_read(png, &white, sheet->pixels, 0, NULL))
        return nq_fail(err, NQ_ERR_INPUT, "%s: libpng: %s", name, png->message);
    for (; places - sheet->count < sheet->columns; sheet->count--)
        if (!is_blank(sheet, sheet->count - 1))
            return NQ_OK;
    return nq_fail(err, NQ_ERR_INPUT, "%s: the last row of the sheet has no image", name);
}

nq_status nq_sheet_decode(const uint8_t *data, size_t size, const char *name, nq_sheet *sheet,
                          nq_error *err)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    *sheet = (nq_sheet){0};
    nq_status status = png_image_begin_read_from_memory(&png, data, size)
                           ? decode(&png, name, sheet, err)
                           : nq_fail(err, NQ_ERR_INPUT, "%s: libpng: %s", name, png.message);
    png_image_free(&png);
    if (status != NQ_OK)
        nq_sheet_free(sheet);
    return status;
}

void nq_sheet_free(nq_sheet *sheet)
{
    free(sheet->pixels);
    *sheet = (nq_sheet){0};
}

/* ---- the source ---- */

typedef struct {
    nq_sheet sheet;
    float table[NQ_SAMPLE_CHANNELS][256];
} sheet_state;

static nq_status sheet_open(const nq_spec *spec, const char *root, const char *path, void **state,
                            size_t *count, nq_error *err)
{
    (void)spec;
    sheet_state *s = *state = calloc(1, sizeof *s);
    if (!s)
        return nq_fail_nomem(err, path, sizeof *s);
    nq_pixel_table(s->table);
    uint8_t *data;
    size_t size;
    nq_status status = nq_file_read_beneath(root, path, FILE_LIMIT, &data, &size, err);
    if (status == NQ_OK)
        status = nq_sheet_decode(data, size, path, &s->sheet, err);
    free(data);
    *count = s->sheet.count;
    return status;
}

static nq_status sheet_read(void *state, size_t i, int thread, float *out, nq_error *err)
{
    const sheet_state *s = state;
    const uint8_t *corner = nq_sheet_image(&s->sheet, i);
    (void)thread;
    (void)err;
    for (size_t y = 0; y < SIDE; y++)
        for (size_t k = 0; k < ROW; k++)
            out[y * ROW + k] = s->table[k % NQ_SAMPLE_CHANNELS][corner[y * s->sheet.stride + k]];
    return NQ_OK;
}

static void sheet_close(void *state)
{
    sheet_state *s = state;
    nq_sheet_free(&s->sheet);
    free(s);
}

const nq_sample_source nq_source_sheet = {sheet_open, sheet_read, sheet_close};
