/* The resize in plain C: what the others are held against. */
#include "worker/imagenet/resize_kernels.h"

static bool supported(void)
{
    return true;
}

/* Weights are never negative, so a sum lies between HALF and 255 + rounding, never below 0. */
static uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> NQ_RESIZE_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

static void row(const nq_taps *taps, const nq_packed_taps *packed, const uint8_t *rgb, uint8_t *out)
{
    (void)packed;
    for (int i = 0; i < NQ_RESIZE_OUTPUTS; i++, out += 3) {
        const uint8_t *in = rgb + (size_t)taps->first[i] * 3;
        const int32_t *weights = taps->weights + (size_t)i * taps->stride;
        int32_t red = NQ_RESIZE_HALF, green = NQ_RESIZE_HALF, blue = NQ_RESIZE_HALF;
        for (int t = 0; t < taps->count[i]; t++, in += 3) {
            red += in[0] * weights[t];
            green += in[1] * weights[t];
            blue += in[2] * weights[t];
        }
        out[0] = to_byte(red);
        out[1] = to_byte(green);
        out[2] = to_byte(blue);
    }
}

static void column(const nq_taps *taps, const nq_packed_taps *packed, int i, const uint8_t *rows,
                   uint8_t *out)
{
    int32_t sums[NQ_RESIZE_ROW];
    (void)packed;
    for (int b = 0; b < NQ_RESIZE_ROW; b++)
        sums[b] = NQ_RESIZE_HALF;
    for (int t = 0; t < taps->count[i]; t++, rows += NQ_RESIZE_PITCH) {
        int32_t weight = taps->weights[(size_t)i * taps->stride + t];
        for (int b = 0; b < NQ_RESIZE_ROW; b++)
            sums[b] += rows[b] * weight;
    }
    for (int b = 0; b < NQ_RESIZE_ROW; b++)
        out[b] = to_byte(sums[b]);
}

const nq_resize_kernels nq_resize_c = {
    .name = "c", .supported = supported, .row = row, .column = column};
