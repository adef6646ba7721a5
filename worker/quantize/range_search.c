#include "worker/quantize/range_search.h"

#include "common/random.h"
#include "worker/quantize/quantize.h"

#include <math.h>
#include <string.h>

#define BINS   NQ_HISTOGRAM_BINS
#define RATIOS 100

static double bin_centre(nq_range seen, int bin)
{
    double width = ((double)seen.high - (double)seen.low) / BINS;
    return (double)seen.low + (bin + 0.5) * width;
}

/* ---- percentile ---- */

static const double percentiles[] = {99.0, 99.9, 99.99, 99.999, 99.9999};

/* The value below which `share` of the counts lie, interpolated inside its bin. */
static double quantile(nq_range seen, const uint64_t *h, double share)
{
    double width = ((double)seen.high - (double)seen.low) / BINS, total = 0, below = 0;
    for (int i = 0; i < BINS; i++)
        total += (double)h[i];
    for (int i = 0; i < BINS; i++) {
        if (h[i] && below + (double)h[i] >= share * total)
            return (double)seen.low + (i + (share * total - below) / (double)h[i]) * width;
        below += (double)h[i];
    }
    return (double)seen.high;
}

static nq_range by_percentile(const nq_spec *spec, nq_range seen, const uint64_t *h, int bits)
{
    (void)bits;
    double share = percentiles[spec->activations.percentile] / 100;
    return (nq_range){.low = (float)quantile(seen, h, 1 - share),
                      .high = (float)quantile(seen, h, share)};
}

/* ---- mse and l2.4 ---- */

static double error_of(nq_range seen, const uint64_t *h, double low, double high, int bits,
                       double power)
{
    int end = (1 << bits) - 1;
    nq_qparams p = nq_affine_params((float)low, (float)high, end, end);
    double inverse = 1 / (double)p.scale, sum = 0;
    for (int i = 0; i < BINS; i++) {
        if (!h[i])
            continue;
        double x = bin_centre(seen, i), q = nearbyint(x * inverse) + p.zero_point;
        q = q < 0 ? 0 : q > end ? end : q;
        double e = fabs(x - (q - p.zero_point) * (double)p.scale);
        sum += (double)h[i] * (power == 2 ? e * e : pow(e, power));
    }
    return sum;
}

/* Shrinks the ends that `move` names over the grid; keeps the best in *low, *high. */
static void shrink(nq_range seen, const uint64_t *h, int bits, double power, bool move_low,
                   bool move_high, double *low, double *high)
{
    double best = error_of(seen, h, *low, *high, bits, power), best_low = *low, best_high = *high;
    for (int i = 0; i < RATIOS; i++) {
        double ratio = (double)(RATIOS - i) / RATIOS;
        double l = move_low ? (double)seen.low * ratio : *low;
        double u = move_high ? (double)seen.high * ratio : *high;
        double error = error_of(seen, h, l, u, bits, power);
        if (error < best) {
            best = error;
            best_low = l;
            best_high = u;
        }
    }
    *low = best_low;
    *high = best_high;
}

static nq_range by_error(nq_range seen, const uint64_t *h, int bits, double power)
{
    double low = (double)seen.low, high = (double)seen.high;
    shrink(seen, h, bits, power, seen.low<0, seen.high> 0, &low, &high);
    for (int round = 0; round < 2 && seen.low < 0 && seen.high > 0; round++) {
        shrink(seen, h, bits, power, true, false, &low, &high);
        shrink(seen, h, bits, power, false, true, &low, &high);
    }
    return (nq_range){.low = (float)low, .high = (float)high};
}

static nq_range by_mse(const nq_spec *spec, nq_range seen, const uint64_t *h, int bits)
{
    (void)spec;
    return by_error(seen, h, bits, 2);
}

static nq_range by_l24(const nq_spec *spec, nq_range seen, const uint64_t *h, int bits)
{
    (void)spec;
    return by_error(seen, h, bits, 2.4);
}

/* ---- kl ---- */

/* Divergence of the quantized histogram from the clipped one; +inf where the range holds too few
 * bins. */
static double divergence(nq_range seen, const uint64_t *h, double low, double high, int bits)
{
    enum { LEVELS_MOST = 256 };
    int levels = 1 << bits, used = 0, level_of[BINS];
    double clipped[BINS] = {0}, mass[LEVELS_MOST] = {0}, total = 0, inside = 0;
    int filled[LEVELS_MOST] = {0};
    nq_qparams p = nq_affine_params((float)low, (float)high, levels - 1, levels - 1);
    double inverse = 1 / (double)p.scale;
    int first = BINS, last = -1;
    for (int i = 0; i < BINS; i++) {
        double x = bin_centre(seen, i), q = nearbyint(x * inverse) + p.zero_point;
        bool in = x >= low && x <= high;
        level_of[i] = (int)(q < 0 ? 0 : q > levels - 1 ? levels - 1 : q);
        first = in && i < first ? i : first;
        last = in ? i : last;
        used += in;
        if (in) {
            mass[level_of[i]] += (double)h[i];
            filled[level_of[i]] += h[i] != 0;
            inside += (double)h[i];
        }
    }
    if (used < levels || inside == 0)
        return INFINITY;
    for (int i = 0; i < BINS; i++) {
        clipped[i < first ? first : i > last ? last : i] += (double)h[i];
        total += (double)h[i];
    }
    double sum = 0;
    for (int i = first; i <= last; i++) {
        if (clipped[i] == 0)
            continue;
        int level = level_of[i];
        double q = h[i] ? mass[level] / filled[level] / inside : 1e-9;
        sum += clipped[i] / total * nq_portable_log(clipped[i] / total / q);
    }
    return sum;
}

static nq_range by_kl(const nq_spec *spec, nq_range seen, const uint64_t *h, int bits)
{
    (void)spec;
    nq_range best = seen;
    double least = INFINITY;
    for (int i = 0; i < RATIOS; i++) {
        double ratio = (double)(RATIOS - i) / RATIOS;
        double low = (double)seen.low * (seen.low < 0 ? ratio : 1);
        double high = (double)seen.high * (seen.high > 0 ? ratio : 1);
        double d = divergence(seen, h, low, high, bits);
        if (d < least) {
            least = d;
            best = (nq_range){.low = (float)low, .high = (float)high};
        }
    }
    return best;
}

/* ---- aciq ---- */

/* alpha / sigma, and alpha / b, that minimise the expected squared error at 2, 3, ... 9 bits. Where
 * all values are positive, b bits serve half the distribution: as good as b + 1. */
static const double gauss_alpha[] = {1.711, 2.152, 2.559, 2.936, 3.287, 3.615, 3.924, 4.216};
static const double laplace_alpha[] = {2.831, 3.897, 5.029, 6.205, 7.413, 8.646, 9.897, 11.163};

static nq_range by_aciq(const nq_spec *spec, nq_range seen, const uint64_t *h, int bits)
{
    (void)spec;
    bool one_sided = seen.low >= 0;
    double n = 0, mean = 0, square = 0, spread = 0;
    for (int i = one_sided; i < BINS; i++) { /* the first bin holds what ReLU set to zero */
        n += (double)h[i];
        mean += (double)h[i] * bin_centre(seen, i);
    }
    if (n == 0)
        return seen;
    mean = one_sided ? 0 : mean / n;
    for (int i = one_sided; i < BINS; i++) {
        double d = bin_centre(seen, i) - mean;
        square += (double)h[i] * d * d;
        spread += (double)h[i] * fabs(d);
    }
    double sigma = sqrt(square / n), b = spread / n;
    const double e = 2.718281828459045, pi = 3.141592653589793;
    /* Negative mean log-likelihoods at the maximum: the smaller one fits better. */
    bool gauss = nq_portable_log(2 * pi * e * sigma * sigma) / 2 < nq_portable_log(2 * e * b);
    int row = bits - 2 + one_sided;
    double alpha = gauss ? gauss_alpha[row] * sigma : laplace_alpha[row] * b;
    double low = fmax(mean - alpha, (double)seen.low), high = fmin(mean + alpha, (double)seen.high);
    return (nq_range){.low = one_sided ? seen.low : (float)low, .high = (float)high};
}

/* One line a method; the order is the enum's of the spec. */
static nq_range (*const methods[])(const nq_spec *spec, nq_range seen, const uint64_t *h,
                                   int bits) = {
    [NQ_RANGE_MINMAX] = NULL,   [NQ_RANGE_PERCENTILE] = by_percentile,
    [NQ_RANGE_MSE] = by_mse,    [NQ_RANGE_L24] = by_l24,
    [NQ_RANGE_KL] = by_kl,      [NQ_RANGE_ACIQ] = by_aciq,
    [NQ_RANGE_OUTPUT] = by_mse,
};

nq_range nq_range_choose(const nq_spec *spec, nq_range seen, const uint64_t *histogram, int bits)
{
    nq_range_method method = spec->activations.range;
    if (method == NQ_RANGE_MINMAX || !histogram || !(seen.low < seen.high))
        return seen;
    return methods[method](spec, seen, histogram, bits);
}
