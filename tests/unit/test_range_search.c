/* Ranges chosen from histograms, against distributions whose best range is known. */
#include "tests/unit/nq_test.h"

#include "common/random.h"
#include "worker/quantize/quantize.h"
#include "worker/quantize/range_search.h"

#include <float.h>
#include <math.h>

#define VALUES 400000

typedef struct {
    nq_range seen;
    uint64_t counts[NQ_HISTOGRAM_BINS];
    float *values;
} sample;

typedef double (*draw)(nq_random *r);

static double normal(nq_random *r)
{
    return nq_random_normal(r);
}
static double rectified(nq_random *r)
{
    double v = nq_random_normal(r);
    return v > 0 ? v : 0;
}
static double laplace(nq_random *r)
{
    double u = nq_random_uniform(r) - 0.5;
    return (u < 0 ? 1 : -1) * log(1 - 2 * fabs(u));
}
static double uniform(nq_random *r)
{
    return nq_random_uniform(r);
}

static void sample_of(sample *s, draw from)
{
    nq_random r;
    nq_random_init(&r, 11, 0);
    memset(s->counts, 0, sizeof s->counts);
    s->values = malloc(VALUES * sizeof *s->values);
    s->seen = (nq_range){.low = FLT_MAX, .high = -FLT_MAX};
    for (int i = 0; i < VALUES; i++) {
        float v = s->values[i] = (float)from(&r);
        s->seen.low = v < s->seen.low ? v : s->seen.low;
        s->seen.high = v > s->seen.high ? v : s->seen.high;
    }
    float width = (s->seen.high - s->seen.low) / NQ_HISTOGRAM_BINS;
    for (int i = 0; i < VALUES; i++) {
        int bin = (int)((s->values[i] - s->seen.low) / width);
        s->counts[bin < NQ_HISTOGRAM_BINS ? bin : NQ_HISTOGRAM_BINS - 1]++;
    }
}

static nq_range choose(const sample *s, nq_range_method method, int percentile, int bits)
{
    nq_spec *spec = calloc(1, sizeof *spec);
    spec->activations.range = method;
    spec->activations.percentile = percentile;
    nq_range range = nq_range_choose(spec, s->seen, s->counts, bits);
    free(spec);
    assert_true(range.low >= s->seen.low && range.high <= s->seen.high);
    return range;
}

/* Mean |x - dequantized x|^power over the values themselves, not the histogram. */
static double loss(const sample *s, nq_range range, int bits, double power)
{
    int end = (1 << bits) - 1;
    nq_qparams p = nq_affine_params(range.low, range.high, end, end);
    double sum = 0;
    for (int i = 0; i < VALUES; i++) {
        double q = nearbyint((double)s->values[i] / (double)p.scale) + p.zero_point;
        q = q < 0 ? 0 : q > end ? end : q;
        sum += pow(fabs((double)s->values[i] - (q - p.zero_point) * (double)p.scale), power);
    }
    return sum / VALUES;
}

#define assert_near(value, want, share)                                                            \
    assert_true(fabs((double)(value) - (want)) <= (share)*fabs(want))

static void percentiles_of_a_known_distribution(void **state)
{
    (void)state;
    sample s;
    sample_of(&s, normal);
    nq_range r = choose(&s, NQ_RANGE_PERCENTILE, 0, 8);
    assert_near(r.high, 2.3263, 0.01);
    assert_near(r.low, -2.3263, 0.01);
    r = choose(&s, NQ_RANGE_PERCENTILE, 2, 8);
    assert_near(r.high, 3.719, 0.05);
    free(s.values);
    sample_of(&s, uniform);
    r = choose(&s, NQ_RANGE_PERCENTILE, 0, 8);
    assert_near(r.high, 0.99, 0.002);
    free(s.values);
}

/* For a normal tensor the best symmetric clip is known: METHODS of ACIQ, alpha/sigma = 2.559 at 4
 * bits. */
static void least_error_finds_the_optimum(void **state)
{
    (void)state;
    sample s;
    sample_of(&s, normal);
    const double alpha[] = {0, 0, 1.711, 2.152, 2.559, 2.936, 3.287};
    for (int bits = 3; bits <= 6; bits++) {
        nq_range r = choose(&s, NQ_RANGE_MSE, 0, bits);
        assert_near((r.high - r.low) / 2, alpha[bits], 0.12);
        double best = loss(&s, r, bits, 2);
        for (double f = 0.7; f < 1.35; f += 0.1) {
            nq_range other = {.low = (float)(-alpha[bits] * f), .high = (float)(alpha[bits] * f)};
            assert_true(best <= loss(&s, other, bits, 2) * 1.01);
        }
        nq_range l24 = choose(&s, NQ_RANGE_L24, 0, bits);
        assert_true(l24.high - l24.low >= r.high - r.low);
        assert_true(loss(&s, l24, bits, 2.4) <= loss(&s, r, bits, 2.4) * 1.001);
    }
    free(s.values);
    sample_of(&s, uniform);
    nq_range r = choose(&s, NQ_RANGE_MSE, 0, 4);
    assert_near(r.high, 15 / 15.5, 0.011); /* the last level serves half a step on either side */
    free(s.values);
}

static void aciq_knows_the_distribution(void **state)
{
    (void)state;
    sample s;
    sample_of(&s, normal);
    nq_range r = choose(&s, NQ_RANGE_ACIQ, 0, 4);
    assert_near(r.high, 2.559, 0.01);
    assert_near(r.low, -2.559, 0.01);
    free(s.values);
    sample_of(&s, laplace);
    r = choose(&s, NQ_RANGE_ACIQ, 0, 4);
    assert_near(r.high, 5.029, 0.01);
    free(s.values);
    sample_of(&s, rectified);
    r = choose(&s, NQ_RANGE_ACIQ, 0, 4);
    assert_true(r.low == s.seen.low);
    assert_near(r.high, 2.936, 0.01);
    free(s.values);
}

/* One value far out must not cost all the others their resolution. */
static void divergence_leaves_outliers_out(void **state)
{
    (void)state;
    sample s;
    sample_of(&s, rectified);
    free(s.values);
    /* the same counts, squeezed into the first eighth, and one lonely value at the end */
    uint64_t squeezed[NQ_HISTOGRAM_BINS] = {0};
    for (int i = 0; i < NQ_HISTOGRAM_BINS; i++)
        squeezed[i / 8] += s.counts[i];
    squeezed[NQ_HISTOGRAM_BINS - 1] = 1;
    memcpy(s.counts, squeezed, sizeof squeezed);
    float inner = s.seen.high;
    s.seen.high *= 8;
    for (int bits = 4; bits <= 7; bits++) {
        nq_range r = choose(&s, NQ_RANGE_KL, 0, bits);
        assert_true(r.high < 1.1f * inner);
        assert_true(r.high > 0.2f * inner);
    }
    assert_true(choose(&s, NQ_RANGE_MINMAX, 0, 4).high == s.seen.high);
}

static void a_constant_tensor_is_left_alone(void **state)
{
    (void)state;
    sample s = {.seen = {.low = 0, .high = 0}};
    s.counts[0] = 100;
    for (int m = NQ_RANGE_MINMAX; m <= NQ_RANGE_ACIQ; m++) {
        nq_range r = choose(&s, (nq_range_method)m, 0, 4);
        assert_true(r.low == 0 && r.high == 0);
    }
}

static double weight_loss(const float *w, size_t n, float scale, int bits)
{
    int8_t q[64];
    double sum = 0;
    nq_weight_round_nearest(w, n, scale, bits, q);
    for (size_t i = 0; i < n; i++)
        sum += pow((double)w[i] - (double)scale * q[i], 2);
    return sum;
}

static void weight_scale_of_least_error(void **state)
{
    (void)state;
    nq_random r;
    nq_random_init(&r, 3, 1);
    float w[64];
    int clipped = 0;
    for (int round = 0; round < 50; round++) {
        int bits = 2 + round % 7;
        for (int i = 0; i < 64; i++)
            w[i] = (float)nq_random_normal(&r);
        float whole = nq_weight_scale_minmax(w, 64, bits), best = nq_weight_scale_mse(w, 64, bits);
        clipped += best < whole;
        for (int percent = 100; percent >= 20; percent--)
            assert_true(weight_loss(w, 64, best, bits) <=
                        weight_loss(w, 64, whole * ((float)percent / 100.0f), bits) * 1.00001);
    }
    assert_true(clipped > 20);
    memset(w, 0, sizeof w);
    assert_true(nq_weight_scale_mse(w, 64, 4) == FLT_EPSILON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_of_a_known_distribution),
        cmocka_unit_test(least_error_finds_the_optimum),
        cmocka_unit_test(aciq_knows_the_distribution),
        cmocka_unit_test(divergence_leaves_outliers_out),
        cmocka_unit_test(a_constant_tensor_is_left_alone),
        cmocka_unit_test(weight_scale_of_least_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
