/* Second moments, GPTQ and coordinate descent against slow implementations of their definitions. */
#include "nq_test.h"

#include "common/random.h"
#include "worker/quantize/coordinate_descent.h"
#include "worker/quantize/correct_stats.h"
#include "worker/quantize/gptq.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define D    40
#define ROWS 37

static nq_pool *pool;

static int make_pool(void **state)
{
    nq_error err = {0};
    (void)state;
    return nq_pool_create(2, &pool, &err) == NQ_OK ? 0 : -1;
}

static int free_pool(void **state)
{
    (void)state;
    nq_pool_free(pool);
    return 0;
}

/* A correlated positive definite H, and G near it. */
static nq_gram random_gram(nq_random *r, int d, bool cross)
{
    nq_gram gram = {.d = d, .weight = 1};
    size_t n = (size_t)d * (size_t)d;
    double *x = malloc(3 * n * sizeof *x);
    gram.h = malloc(n * sizeof *gram.h);
    gram.cross = cross ? malloc(n * sizeof *gram.cross) : NULL;
    for (size_t i = 0; i < 3 * n; i++)
        x[i] = nq_random_normal(r) + (i % (size_t)d > 0 ? 0.5 * x[i - 1] : 0);
    for (int i = 0; i < d; i++)
        for (int j = 0; j < d; j++) {
            double sum = 0, mixed = 0;
            for (int k = 0; k < 3 * d; k++) {
                double a = x[k * d + i], b = x[k * d + j];
                sum += a * b / (3 * d);
                mixed += (a + 0.1 * sin(k + i)) * b / (3 * d);
            }
            gram.h[i * d + j] = (float)sum;
            if (cross)
                gram.cross[i * d + j] = (float)mixed;
        }
    free(x);
    return gram;
}

static float *random_weights(nq_random *r, size_t n)
{
    float *w = malloc(n * sizeof *w);
    for (size_t i = 0; i < n; i++)
        w[i] = (float)nq_random_normal(r);
    return w;
}

/* The inverse of the d x d matrix a, by Gauss and Jordan. */
static void invert(const double *a, int d, double *inverse)
{
    double *m = malloc((size_t)d * (size_t)d * sizeof *m);
    memcpy(m, a, (size_t)d * (size_t)d * sizeof *m);
    for (int i = 0; i < d * d; i++)
        inverse[i] = i % (d + 1) == 0;
    for (int k = 0; k < d; k++) {
        double pivot = m[k * d + k];
        for (int j = 0; j < d; j++) {
            m[k * d + j] /= pivot;
            inverse[k * d + j] /= pivot;
        }
        for (int i = 0; i < d; i++) {
            double by = m[i * d + k];
            for (int j = 0; i != k && j < d; j++) {
                m[i * d + j] -= by * m[k * d + j];
                inverse[i * d + j] -= by * inverse[k * d + j];
            }
        }
    }
    free(m);
}

/* Optimal brain surgeon, a column at a time: the inverse of what is left is computed anew. */
static void surgeon(const nq_gram *gram, double damping, const float *weight, float scale, int bits,
                    int8_t *q)
{
    int d = gram->d, left[D], n = d;
    double mean = 0, w[D], low = -(double)(1 << (bits - 1)), high = -low - 1;
    for (int i = 0; i < d; i++) {
        mean += (double)gram->h[i * d + i] / d;
        w[i] = (double)weight[i];
        left[i] = i;
    }
    while (n > 0) {
        double part[D * D], inverse[D * D];
        int best = 0;
        for (int i = 1; i < n; i++)
            if (gram->h[left[i] * d + left[i]] > gram->h[left[best] * d + left[best]])
                best = i;
        int column = left[best];
        left[best] = left[0];
        left[0] = column;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                part[i * n + j] =
                    (double)gram->h[left[i] * d + left[j]] + (i == j ? damping * mean : 0);
        invert(part, n, inverse);
        double t = nearbyint(w[column] / (double)scale);
        t = t < low ? low : t > high ? high : t;
        q[column] = (int8_t)t;
        double e = (w[column] - t * (double)scale) / inverse[0];
        for (int i = 0; i < n; i++)
            w[left[i]] -= e * inverse[i];
        memmove(left, left + 1, (size_t)(n - 1) * sizeof *left);
        n--;
    }
}

static void gptq_is_the_brain_surgeon(void **state)
{
    nq_random r;
    nq_error err = {0};
    (void)state;
    nq_random_init(&r, 1, 0);
    nq_gram gram = random_gram(&r, D, false);
    float *w = random_weights(&r, ROWS * D), scale[ROWS];
    int8_t q[ROWS * D], expected[D];
    int different = 0;
    assert_int_equal(nq_gptq_scales(&gram, ROWS, w, 4, pool, scale, &err), NQ_OK);
    assert_int_equal(nq_gptq_round(&gram, 0.02, ROWS, w, scale, 4, pool, q, NULL, &err), NQ_OK);
    for (int row = 0; row < ROWS; row++) {
        surgeon(&gram, 0.02, w + row * D, scale[row], 4, expected);
        different += memcmp(expected, q + row * D, D) != 0;
    }
    /* A weight half-way between two integers may fall either way in float. */
    assert_true(different <= 1);
    nq_gram_free(&gram);
    free(w);
}

static void gptq_predicts_its_loss(void **state)
{
    nq_random r;
    nq_error err = {0};
    (void)state;
    for (int bits = 2; bits <= 8; bits += 2) {
        nq_random_init(&r, 2, (uint64_t)bits);
        nq_gram gram = random_gram(&r, D, false);
        float *w = random_weights(&r, ROWS * D), scale[ROWS];
        int8_t q[ROWS * D];
        double predicted = 0, measured = 0, mean = 0;
        assert_int_equal(nq_gptq_scales(&gram, ROWS, w, bits, pool, scale, &err), NQ_OK);
        assert_int_equal(
            nq_gptq_round(&gram, 0.01, ROWS, w, scale, bits, pool, q, &predicted, &err), NQ_OK);
        for (int i = 0; i < D; i++)
            mean += (double)gram.h[i * D + i] / D;
        for (int i = 0; i < D; i++)
            gram.h[i * D + i] += (float)(0.01 * mean);
        assert_int_equal(nq_rounding_loss(&gram, ROWS, w, scale, q, &measured, &err), NQ_OK);
        assert_true(fabs(predicted - measured) < 1e-3 * measured);
        nq_gram_free(&gram);
        free(w);
    }
}

static void a_singular_matrix_is_refused(void **state)
{
    nq_random r;
    nq_error err = {0};
    (void)state;
    nq_random_init(&r, 3, 0);
    nq_gram gram = random_gram(&r, D, false);
    float *w = random_weights(&r, D), scale[1] = {0.1f};
    int8_t q[D];
    for (int i = 0; i < D; i++)
        gram.h[7 * D + i] = gram.h[i * D + 7] = 0;
    assert_int_equal(nq_gptq_round(&gram, 0, 1, w, scale, 4, pool, q, NULL, &err), NQ_ERR_INPUT);
    assert_non_null(strstr(err.text, "positive definite"));
    /* Damped, the untouched column is rounded to nearest. */
    assert_int_equal(nq_gptq_round(&gram, 0.01, 1, w, scale, 8, pool, q, NULL, &err), NQ_OK);
    assert_int_equal(q[7], (int)nearbyintf(w[7] / scale[0]));
    nq_gram_free(&gram);
    free(w);
}

static void the_target_solves_the_normal_equations(void **state)
{
    nq_random r;
    nq_error err = {0};
    (void)state;
    nq_random_init(&r, 4, 0);
    nq_gram gram = random_gram(&r, D, true);
    float *w = random_weights(&r, ROWS * D), *moved = malloc(ROWS * D * sizeof *moved);
    memcpy(moved, w, ROWS * D * sizeof *moved);
    assert_int_equal(nq_gptq_retarget(&gram, 1, 0, ROWS, moved, &err), NQ_OK);
    for (int row = 0; row < ROWS; row++)
        for (int j = 0; j < D; j++) {
            double left = 0, right = 0;
            for (int i = 0; i < D; i++) {
                left += (double)moved[row * D + i] * (double)gram.h[i * D + j];
                right += (double)w[row * D + i] * (double)gram.cross[i * D + j];
            }
            assert_true(fabs(left - right) < 2e-3);
        }
    nq_gram_free(&gram);
    free(w);
    free(moved);
}

static void descent_never_rises_and_ends_at_an_optimum(void **state)
{
    nq_random r;
    nq_error err = {0};
    (void)state;
    nq_random_init(&r, 5, 0);
    nq_gram gram = random_gram(&r, D, false);
    float *w = random_weights(&r, ROWS * D), scale[ROWS];
    int8_t q[ROWS * D];
    double before = 0, after = 0;
    assert_int_equal(nq_gptq_scales(&gram, ROWS, w, 3, pool, scale, &err), NQ_OK);
    for (int i = 0; i < ROWS * D; i++) {
        float t = nearbyintf(w[i] / scale[i / D]);
        q[i] = (int8_t)(t < -4 ? -4 : t > 3 ? 3 : t);
    }
    /* The loss that descends is the damped one. */
    double mean = 0;
    for (int i = 0; i < D; i++)
        mean += (double)gram.h[i * D + i] / D;
    nq_gram damped = {.d = D, .h = malloc(D * D * sizeof(float))};
    memcpy(damped.h, gram.h, D * D * sizeof(float));
    for (int i = 0; i < D; i++)
        damped.h[i * D + i] += (float)(0.002 * mean);
    assert_int_equal(nq_rounding_loss(&damped, ROWS, w, scale, q, &before, &err), NQ_OK);
    double first = before;
    for (int sweep = 0; sweep < 12; sweep++) {
        assert_int_equal(nq_coordinate_descent(&gram, 1, ROWS, w, 3, pool, scale, q, &err), NQ_OK);
        assert_int_equal(nq_rounding_loss(&damped, ROWS, w, scale, q, &after, &err), NQ_OK);
        assert_true(after <= before * (1 + 1e-6));
        before = after;
    }
    assert_true(after < 0.7 * first);
    nq_gram_free(&damped);
    nq_gram_free(&gram);
    free(w);
}

static double depthwise_loss(const float *h, const float *w, const int *q, double scale, int taps)
{
    double loss = 0;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < taps; j++)
            loss += ((double)w[i] - scale * q[i]) * (double)h[i * taps + j] *
                    ((double)w[j] - scale * q[j]);
    return loss;
}

/* All integers of 2 bits for 5 taps, each with its own best scale. */
static double exhaustive(const float *h, const float *w, int taps)
{
    double best = INFINITY;
    for (int code = 0; code < 1024; code++) {
        int q[5];
        double with_w = 0, with_q = 0;
        for (int i = 0; i < taps; i++)
            q[i] = (code >> (2 * i) & 3) - 2;
        for (int i = 0; i < taps; i++)
            for (int j = 0; j < taps; j++) {
                with_w += q[i] * (double)h[i * taps + j] * (double)w[j];
                with_q += q[i] * (double)h[i * taps + j] * q[j];
            }
        if (with_q > 0 && with_w > 0)
            best = fmin(best, depthwise_loss(h, w, q, with_w / with_q, taps));
    }
    return best;
}

static void depthwise_search_is_near_the_best_there_is(void **state)
{
    enum { TAPS = 5, CHANNELS = 64 };
    nq_random r;
    nq_error err = {0};
    (void)state;
    nq_random_init(&r, 6, 0);
    float h[CHANNELS * TAPS * TAPS], *w = random_weights(&r, CHANNELS * TAPS), scale[CHANNELS];
    int8_t q[CHANNELS * TAPS];
    double found = 0, best = 0;
    for (int c = 0; c < CHANNELS; c++) {
        nq_gram gram = random_gram(&r, TAPS, false);
        memcpy(h + c * TAPS * TAPS, gram.h, sizeof(float) * TAPS * TAPS);
        nq_gram_free(&gram);
    }
    assert_int_equal(nq_depthwise_round(h, CHANNELS, TAPS, w, 2, pool, scale, q, &err), NQ_OK);
    for (int c = 0; c < CHANNELS; c++) {
        int wide[TAPS];
        for (int i = 0; i < TAPS; i++)
            wide[i] = q[c * TAPS + i];
        found += depthwise_loss(h + c * TAPS * TAPS, w + c * TAPS, wide, (double)scale[c], TAPS);
        best += exhaustive(h + c * TAPS * TAPS, w + c * TAPS, TAPS);
    }
    assert_true(found >= best * (1 - 1e-6));
    assert_true(found < 1.25 * best);
    free(w);
}

/* ---- moments ---- */

/* What an output position of a padded, strided convolution sees, straight from the definition. */
static double patch_value(const float *image, int side, int channels, int oy, int ox, int stride,
                          int pad, int tap, int c)
{
    int y = oy * stride - pad + tap / 3, x = ox * stride - pad + tap % 3;
    return y < 0 || y >= side || x < 0 || x >= side ? 0
                                                    : (double)image[(y * side + x) * channels + c];
}

static void moments_are_those_of_the_patches(void **state)
{
    enum { SIDE = 7, OUT = 4, C = 5, IMAGES = 40, TAPS = 9, N = TAPS * C };
    nq_node node = {.op = NQ_OP_CONV,
                    .channels = 2,
                    .height = OUT,
                    .width = OUT,
                    .kernel_h = 3,
                    .kernel_w = 3,
                    .stride = 2,
                    .pad_h = 1,
                    .pad_w = 1,
                    .groups = 1};
    nq_random r;
    nq_error err = {0};
    nq_gram gram;
    (void)state;
    nq_random_init(&r, 7, 0);
    float *real = random_weights(&r, IMAGES * SIDE * SIDE * C),
          *read = malloc(sizeof(float) * IMAGES * SIDE * SIDE * C);
    uint8_t *stored = malloc(IMAGES * SIDE * SIDE * C);
    nq_layer_input in = {.images = IMAGES,
                         .height = SIDE,
                         .width = SIDE,
                         .channels = C,
                         .real = real,
                         .stored = stored};
    nq_qparams params = {.scale = 0.03f, .zero_point = 120, .qmax = 255};
    nq_layer_input_set(&in, params, params);
    for (int i = 0; i < IMAGES * SIDE * SIDE * C; i++) {
        float t = nearbyintf(real[i] / params.scale) + 120;
        stored[i] = (uint8_t)(t < 0 ? 0 : t > 255 ? 255 : t);
        read[i] = in.value[stored[i]];
    }
    assert_int_equal(nq_gram_collect(&node, &in, true, pool, &gram, &err), NQ_OK);
    assert_int_equal(gram.d, N);
    double weight = 0, *mx = calloc(2 * N, sizeof *mx), *my = mx + N,
           *hh = calloc(2 * N * N, sizeof *hh), *gg = hh + N * N;
    for (int chunk = 0; chunk < IMAGES; chunk += NQ_GRAM_CHUNK) {
        int images = IMAGES - chunk < NQ_GRAM_CHUNK ? IMAGES - chunk : NQ_GRAM_CHUNK;
        int positions = images * OUT * OUT;
        float *norm = calloc((size_t)positions * 3, sizeof *norm), *w = norm + positions;
        for (int pass = 0; pass < 2; pass++) {
            for (int p = 0; p < positions; p++) {
                int image = chunk + p / (OUT * OUT), oy = p / OUT % OUT, ox = p % OUT;
                double x[N], y[N], square = 0;
                for (int i = 0; i < N; i++) {
                    x[i] = patch_value(real + image * SIDE * SIDE * C, SIDE, C, oy, ox, 2, 1, i / C,
                                       i % C);
                    y[i] = patch_value(read + image * SIDE * SIDE * C, SIDE, C, oy, ox, 2, 1, i / C,
                                       i % C);
                    square += x[i] * x[i];
                }
                norm[p] = pass ? norm[p] : (float)square;
                weight += pass ? (double)w[p] : 0;
                for (int i = 0; pass && i < N; i++) {
                    mx[i] += (double)w[p] * x[i];
                    my[i] += (double)w[p] * y[i];
                    for (int j = 0; j < N; j++) {
                        hh[i * N + j] += (double)w[p] * y[i] * y[j];
                        gg[i * N + j] += (double)w[p] * x[i] * y[j];
                    }
                }
            }
            nq_position_weights(norm, (size_t)positions, norm + 2 * positions, w);
        }
        free(norm);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double h = hh[i * N + j] / weight - my[i] * my[j] / weight / weight;
            double g = gg[i * N + j] / weight - mx[i] * my[j] / weight / weight;
            assert_true(fabs(h - (double)gram.h[i * N + j]) < 1e-4);
            assert_true(fabs(g - (double)gram.cross[i * N + j]) < 1e-4);
        }

    node.groups = node.channels = C;
    float *depthwise = NULL;
    assert_int_equal(nq_gram_collect_depthwise(&node, &in, pool, &depthwise, &err), NQ_OK);
    for (int c = 0; c < C; c++)
        for (int s = 0; s < TAPS; s++)
            for (int t = 0; t < TAPS; t++) {
                double st = 0, ss = 0, tt = 0, n = IMAGES * OUT * OUT;
                for (int p = 0; p < IMAGES * OUT * OUT; p++) {
                    const float *image = read + p / (OUT * OUT) * SIDE * SIDE * C;
                    double a = patch_value(image, SIDE, C, p / OUT % OUT, p % OUT, 2, 1, s, c);
                    double b = patch_value(image, SIDE, C, p / OUT % OUT, p % OUT, 2, 1, t, c);
                    st += a * b / n;
                    ss += a / n;
                    tt += b / n;
                }
                assert_true(fabs(st - ss * tt - (double)depthwise[(c * TAPS + s) * TAPS + t]) <
                            1e-4);
            }
    free(depthwise);
    nq_gram_free(&gram);
    free(real);
    free(read);
    free(stored);
    free(mx);
    free(hh);
}

static void far_positions_weigh_less(void **state)
{
    float norm[7] = {1, 2, 3, 4, 5, 100, 12}, room[7], weight[7];
    (void)state;
    nq_position_weights(norm, 7, room, weight);
    for (int i = 0; i < 7; i++)
        assert_float_equal(weight[i], i == 5 ? 0.12f : 1.0f, 1e-6f);
}

/* ---- corrections ---- */

static void corrections_restore_mean_and_deviation(void **state)
{
    nq_channel_stats stats[3] = {
        {.mean_z = 1, .var_z = 4, .mean_y = 3, .var_y = 3.24, .low = -10, .high = 10},
        {.mean_z = -2, .var_z = 4, .mean_y = 0, .var_y = 100, .low = -10, .high = 10},
        {.mean_z = 5, .var_z = 0, .mean_y = 1, .var_y = 1, .low = -10, .high = 10}};
    float gain[3], shift[3];
    (void)state;
    nq_match_deviations(stats, 3, 1, gain);
    nq_match_means(stats, 3, gain, shift);
    assert_float_equal(gain[0], 2.0f / 1.8f, 1e-6);
    assert_float_equal(shift[0], 1.0f - 6.0f / 1.8f, 1e-5);
    assert_float_equal(gain[1], NQ_GAIN_MIN, 1e-6);
    assert_float_equal(shift[1], -2, 1e-6);
    assert_float_equal(gain[2], 1, 0);
    assert_float_equal(shift[2], 4, 1e-6);
    nq_match_deviations(stats, 3, 0.5, gain);
    nq_match_means(stats, 3, gain, shift);
    assert_float_equal(gain[0], sqrtf(2.0f / 1.8f), 1e-6);
    assert_float_equal(shift[0], 1.0f - 3.0f * sqrtf(2.0f / 1.8f), 1e-5);
    assert_float_equal(gain[1], sqrtf((float)NQ_GAIN_MIN), 1e-6);
    nq_match_deviations(stats, 3, 0, gain);
    nq_match_means(stats, 3, gain, shift);
    assert_float_equal(gain[0], 1, 0);
    assert_float_equal(shift[0], -2, 1e-6);
}

static void logits_share_one_gain(void **state)
{
    nq_channel_stats stats[3] = {{.var_z = 4}, {.var_z = 1}, {.var_z = 0}};
    float gain[3] = {1.2f, 0.8f, 1};
    (void)state;
    nq_share_gain(stats, 3, gain);
    for (int c = 0; c < 3; c++)
        assert_float_equal(gain[c], sqrtf(1.2f * 0.8f), 1e-6);
    nq_share_gain(stats + 2, 1, gain);
    assert_float_equal(gain[0], 1, 0);
}

static void the_mean_behind_relu_is_matched(void **state)
{
    uint64_t *counts = calloc(NQ_CHANNEL_BINS, sizeof *counts);
    nq_random r;
    float gain = 1.2f, shift = 0.1f;
    double target = 0;
    enum { VALUES = 20000 };
    float *y = malloc(VALUES * sizeof *y);
    (void)state;
    nq_random_init(&r, 8, 0);
    for (int i = 0; i < VALUES; i++) {
        y[i] = (float)nq_random_normal(&r);
        double z = 1.2 * (double)y[i] + 0.35;
        target += z > 0 ? z / VALUES : 0;
        int bin = (int)((y[i] + 6) / 12 * NQ_CHANNEL_BINS);
        counts[bin]++;
    }
    nq_channel_stats stats = {.var_z = 1.44, .relu_z = target, .low = -6, .high = 6};
    nq_match_relu_means(&stats, counts, 1, &gain, &shift);
    assert_float_equal(shift, 0.35, 0.005);
    free(counts);
    free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_is_the_brain_surgeon),
        cmocka_unit_test(gptq_predicts_its_loss),
        cmocka_unit_test(a_singular_matrix_is_refused),
        cmocka_unit_test(the_target_solves_the_normal_equations),
        cmocka_unit_test(descent_never_rises_and_ends_at_an_optimum),
        cmocka_unit_test(depthwise_search_is_near_the_best_there_is),
        cmocka_unit_test(moments_are_those_of_the_patches),
        cmocka_unit_test(far_positions_weigh_less),
        cmocka_unit_test(corrections_restore_mean_and_deviation),
        cmocka_unit_test(logits_share_one_gain),
        cmocka_unit_test(the_mean_behind_relu_is_matched),
    };
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
