/* Any bytes as a sheet of images. */
#include "worker/calibrate/sheet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nq_sheet sheet;
    nq_error err = {0};
    if (nq_sheet_decode(data, size, "fuzz.png", &sheet, &err) != NQ_OK)
        return 0;
    if (sheet.count == 0 || sheet.count > NQ_SHEET_IMAGES_MAX)
        abort();
    /* The last pixel of the last image can be read. */
    const uint8_t *last = nq_sheet_image(&sheet, sheet.count - 1) + 223 * sheet.stride + 223 * 3;
    volatile int sum = last[0] + last[1] + last[2];
    (void)sum;
    nq_sheet_free(&sheet);
    return 0;
}
