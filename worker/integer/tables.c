#include "worker/integer/tables.h"
#include "worker/imagenet/crop.h"
#include "worker/integer/engine.h"
#include <math.h>

/* Clamped as a float first: real values may lie far outside of int32. */
static uint8_t quantize(float r, nq_qparams to)
{
    float low = (float)-to.zero_point, high = (float)(to.qmax - to.zero_point);
    r = nearbyintf(r);
    r = r < low ? low : r > high ? high : r;
    return (uint8_t)((int32_t)r + to.zero_point);
}

bool nq_qparams_equal(nq_qparams a, nq_qparams b)
{
    return a.scale == b.scale && a.zero_point == b.zero_point && a.qmax == b.qmax;
}

void nq_table_requantize(nq_qparams from, nq_qparams to, uint8_t table[256])
{
    float inverse = 1.0f / to.scale;
    for (int q = 0; q < 256; q++)
        table[q] = quantize((float)(q - from.zero_point) * from.scale * inverse, to);
}

void nq_table_concatenate(nq_qparams from, nq_qparams to, uint8_t table[256])
{
    float offset = -(from.scale * (float)from.zero_point), inverse = 1.0f / to.scale;
    bool same = nq_qparams_equal(from, to);
    for (int q = 0; q < 256; q++)
        table[q] = same ? (uint8_t)q : quantize(fmaf(from.scale, (float)q, offset) * inverse, to);
}

void nq_input_table(nq_qparams input, uint8_t table[3][256])
{
    float pixel[3][256];
    nq_pixel_table(pixel);
    float inverse = 1.0f / input.scale;
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < 256; p++)
            table[c][p] = quantize(pixel[c][p] * inverse, input);
}
