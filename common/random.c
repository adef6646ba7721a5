#include "common/random.h"

#include "common/random_normals.h"

#include <math.h>
#include <string.h>

void nq_mt19937_seed(nq_mt19937 *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
    mt->next = 624;
}

static void mt19937_refill(nq_mt19937 *mt)
{
    uint32_t *s = mt->state;
    for (int i = 0; i < 624; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
        s[i] = s[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
    }
    mt->next = 0;
}

uint32_t nq_mt19937_next(nq_mt19937 *mt)
{
    if (mt->next >= 624)
        mt19937_refill(mt);
    uint32_t y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

void nq_random_permutation(uint32_t seed, uint32_t n, uint32_t *order)
{
    nq_mt19937 mt;
    nq_mt19937_seed(&mt, seed);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t other = i + nq_mt19937_next(&mt) % (n - i);
        uint32_t keep = order[i];
        order[i] = order[other];
        order[other] = keep;
    }
}

void nq_random_init(nq_random *r, uint64_t seed, uint64_t stream)
{
    r->key[0] = (uint32_t)seed;
    r->key[1] = (uint32_t)(seed >> 32);
    r->counter[0] = r->counter[1] = 0;
    r->counter[2] = (uint32_t)stream;
    r->counter[3] = (uint32_t)(stream >> 32);
    r->used = 4;
}

/* Philox4x32-10: ten rounds of two 32x32->64 multiplications, the key bumped by Weyl constants. */
static void philox_block(nq_random *r)
{
    uint32_t x0 = r->counter[0], x1 = r->counter[1], x2 = r->counter[2], x3 = r->counter[3];
    uint32_t k0 = r->key[0], k1 = r->key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(b >> 32) ^ x1 ^ k0, y2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)b;
        x3 = (uint32_t)a;
        x0 = y0;
        x2 = y2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    r->block[0] = x0;
    r->block[1] = x1;
    r->block[2] = x2;
    r->block[3] = x3;
    if (++r->counter[0] == 0)
        r->counter[1]++;
    r->used = 0;
}

uint32_t nq_random_u32(nq_random *r)
{
    if (r->used >= 4)
        philox_block(r);
    return r->block[r->used++];
}

double nq_random_uniform(nq_random *r)
{
    uint64_t high = nq_random_u32(r), low = nq_random_u32(r);
    uint64_t bits = ((high << 32) | low) >> 11;
    return ((double)bits + 0.5) * 0x1p-53;
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m-1)/(m+1)) as a series, |argument|
 * < 0.172. */
double nq_portable_log(double x)
{
    uint64_t bits;
    int exponent = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        exponent = -54;
    }
    memcpy(&bits, &x, 8);
    exponent += (int)(bits >> 52) - 1022;
    bits = (bits & 0xfffffffffffffull) | (1022ull << 52);
    double m;
    memcpy(&m, &bits, 8);
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int k = 25; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * t2;
    double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10; /* ln 2, split */
    return (double)exponent * high + (2 * t + (2 * t * sum + (double)exponent * low));
}

static double horner(const double *c, int n, double x)
{
    double v = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        v = v * x + c[i];
    return v;
}

/* Wichura 1988, algorithm AS 241, routine PPND16: relative error about 1e-16. */
const double nq_normals_centre[2][8] = {
    {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
     1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
     3.3430575583588128105e+4, 2.5090809287301226727e+3},
    {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
     2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
     5.2264952788528545610e+3}};
const double nq_normals_middle[2][8] = {
    {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4},
    {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9}};
static const double far[2][8] = {
    {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15}};

double nq_normal_quantile(double p)
{
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * horner(nq_normals_centre[0], 8, r) / horner(nq_normals_centre[1], 8, r);
    }
    double r = sqrt(-nq_portable_log(q < 0 ? p : 1 - p));
    double value =
        r <= 5 ? horner(nq_normals_middle[0], 8, r - 1.6) / horner(nq_normals_middle[1], 8, r - 1.6)
               : horner(far[0], 8, r - 5) / horner(far[1], 8, r - 5);
    return q < 0 ? -value : value;
}

double nq_random_normal(nq_random *r)
{
    return nq_normal_quantile(nq_random_uniform(r));
}
