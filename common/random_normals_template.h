/*
 * Many normals at a time: nq_random_normal() written so that the compiler may use vectors. The same
 * operations in the same order on each value, so the same bits. Included by one file an instruction
 * set, which defines NAME.
 */
#include "common/random_normals.h"

#include <math.h>
#include <string.h>

#define BLOCKS NQ_NORMALS_BLOCKS
#define VALUES NQ_NORMALS_CHUNK

/* Philox4x32-10 of BLOCKS consecutive counters. */
static void draw_blocks(const nq_random *r, uint32_t x[4][BLOCKS])
{
    uint64_t first = (uint64_t)r->counter[1] << 32 | r->counter[0];
    uint32_t k0 = r->key[0], k1 = r->key[1];
    for (int j = 0; j < BLOCKS; j++) {
        x[0][j] = (uint32_t)(first + (uint64_t)j);
        x[1][j] = (uint32_t)((first + (uint64_t)j) >> 32);
        x[2][j] = r->counter[2];
        x[3][j] = r->counter[3];
    }
    for (int round = 0; round < 10; round++) {
        for (int j = 0; j < BLOCKS; j++) {
            uint64_t a = (uint64_t)0xD2511F53u * x[0][j], b = (uint64_t)0xCD9E8D57u * x[2][j];
            uint32_t y0 = (uint32_t)(b >> 32) ^ x[1][j] ^ k0;
            uint32_t y2 = (uint32_t)(a >> 32) ^ x[3][j] ^ k1;
            x[1][j] = (uint32_t)b;
            x[3][j] = (uint32_t)a;
            x[0][j] = y0;
            x[2][j] = y2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* nq_random_uniform() of two halves. */
static double uniform(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return ((double)(int64_t)bits + 0.5) * 0x1p-53;
}

static double polynomial(const double c[8], double x)
{
    double v = c[7];
    for (int i = 6; i >= 0; i--)
        v = v * x + c[i];
    return v;
}

/* nq_portable_log() for numbers that are not subnormal. */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int32_t exponent = (int32_t)(bits >> 52) - 1022;
    bits = (bits & 0xfffffffffffffull) | (1022ull << 52);
    double m, sum = 0;
    memcpy(&m, &bits, 8);
    exponent = m < 0.70710678118654752440 ? exponent - 1 : exponent;
    m = m < 0.70710678118654752440 ? m * 2 : m;
    double t = (m - 1) / (m + 1), t2 = t * t;
    for (int k = 25; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * t2;
    double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    return (double)exponent * high + (2 * t + (2 * t * sum + (double)exponent * low));
}

/* The values whose p lies outside the central region: gathered, computed together, put back. */
static void tails(const double p[VALUES], double value[VALUES])
{
    int where[VALUES], n = 0;
    double q[VALUES], root[VALUES], far[VALUES];
    for (int j = 0; j < VALUES; j++) {
        where[n] = j;
        n += fabs(p[j] - 0.5) > 0.425;
    }
    for (int j = 0; j < n; j++)
        q[j] = p[where[j]];
    for (int j = 0; j < n; j++) {
        root[j] = sqrt(-logarithm(q[j] - 0.5 < 0 ? q[j] : 1 - q[j]));
        double r = root[j] - 1.6;
        double v = polynomial(nq_normals_middle[0], r) / polynomial(nq_normals_middle[1], r);
        far[j] = q[j] - 0.5 < 0 ? -v : v;
    }
    for (int j = 0; j < n; j++)
        value[where[j]] = root[j] <= 5 ? far[j] : nq_normal_quantile(q[j]);
}

void NAME(const nq_random *r, double value[VALUES])
{
    uint32_t x[4][BLOCKS];
    double p[VALUES];
    draw_blocks(r, x);
    for (int j = 0; j < BLOCKS; j++) {
        p[2 * j] = uniform(x[0][j], x[1][j]);
        p[2 * j + 1] = uniform(x[2][j], x[3][j]);
    }
    for (int j = 0; j < VALUES; j++) {
        double q = p[j] - 0.5, s = 0.180625 - q * q;
        value[j] = q * polynomial(nq_normals_centre[0], s) / polynomial(nq_normals_centre[1], s);
    }
    tails(p, value);
}
