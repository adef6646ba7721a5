#include "worker/output/packing.h"

size_t nq_packed_row(size_t n, int bits)
{
    return (n * (size_t)bits + 7) / 8;
}

void nq_pack_row(const int8_t *values, size_t n, int bits, uint8_t *packed)
{
    const unsigned mask = (1u << bits) - 1;
    unsigned stream = 0;
    int held = 0;
    for (size_t i = 0; i < n; i++) {
        stream |= ((unsigned)values[i] & mask) << held;
        for (held += bits; held >= 8; held -= 8) {
            *packed++ = (uint8_t)stream;
            stream >>= 8;
        }
    }
    if (held > 0)
        *packed = (uint8_t)stream;
}

void nq_unpack_row(const uint8_t *packed, size_t n, int bits, int8_t *values)
{
    const unsigned mask = (1u << bits) - 1, sign = 1u << (bits - 1);
    unsigned stream = 0;
    int held = 0;
    for (size_t i = 0; i < n; i++) {
        if (held < bits) {
            stream |= (unsigned)*packed++ << held;
            held += 8;
        }
        unsigned v = stream & mask;
        values[i] = (int8_t)((int)(v ^ sign) - (int)sign);
        stream >>= bits;
        held -= bits;
    }
}
