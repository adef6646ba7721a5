#include "worker/quantize/gptq.h"

#include "worker/quantize/column_order.h"
#include "worker/quantize/quantize.h"
#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK     128 /* columns between two updates of all that follow */
#define ROWS      32  /* of a task */
#define FRACTIONS 32
#define SMALLEST  0.35f

static nq_status not_definite(const char *what, int info, nq_error *err)
{
    return nq_fail(err, NQ_ERR_INPUT,
                   "second-order rounding: the moments of a layer's inputs are not positive "
                   "definite (%s, column %d): give more samples or a larger gptq.damping",
                   what, info);
}

/* ---- the target ---- */

/* change [rows][d] = weight (G - H)(H + ridge)^-1; its rows are the columns that LAPACK solves. */
static nq_status solve_change(const nq_gram *gram, double ridge, int rows, const float *weight,
                              float *difference, float *damped, float *change, nq_error *err)
{
    int d = gram->d;
    size_t n = (size_t)d * (size_t)d;
    for (size_t i = 0; i < n; i++)
        difference[i] = gram->cross[i] - gram->h[i];
    memcpy(damped, gram->h, n * sizeof *damped);
    for (int i = 0; i < d; i++)
        damped[(size_t)i * (size_t)(d + 1)] += (float)(ridge * nq_gram_mean_diagonal(gram));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, d, d, 1.0f, weight, d, difference,
                d, 0.0f, change, d);
    int info = LAPACKE_spotrf(LAPACK_COL_MAJOR, 'L', d, damped, d);
    if (info == 0)
        info = LAPACKE_spotrs(LAPACK_COL_MAJOR, 'L', d, rows, damped, d, change, d);
    return info == 0 ? NQ_OK : not_definite("target", info, err);
}

nq_status nq_gptq_retarget(const nq_gram *gram, double share, double ridge, int rows, float *weight,
                           nq_error *err)
{
    size_t n = (size_t)gram->d * (size_t)gram->d, m = (size_t)rows * (size_t)gram->d;
    float *difference = malloc(n * sizeof *difference), *damped = malloc(n * sizeof *damped);
    float *change = malloc(m * sizeof *change);
    nq_status status = NQ_OK;
    openblas_set_num_threads(1);
    if (!difference || !damped || !change)
        status = nq_fail_nomem(err, "a layer's target", (2 * n + m) * sizeof(float));
    else
        status = solve_change(gram, ridge, rows, weight, difference, damped, change, err);
    for (size_t i = 0; status == NQ_OK && i < m; i++)
        weight[i] += (float)share * change[i];
    free(difference);
    free(damped);
    free(change);
    return status;
}

/* ---- the grid ---- */

typedef struct {
    int d, bits;
    const float *weight, *importance;
    float *scale;
} scale_search;

static float grid_error(const scale_search *s, const float *w, float scale)
{
    float inverse = 1.0f / scale, error = 0.0f;
    for (int j = 0; j < s->d; j++) {
        float e = nq_weight_clamp_round(w[j] * inverse, s->bits) * scale - w[j];
        error += e * e * s->importance[j];
    }
    return error;
}

static nq_status search_row(void *context, size_t row, int thread, nq_error *err)
{
    const scale_search *s = context;
    const float *w = s->weight + row * (size_t)s->d;
    float largest = nq_weight_scale_minmax(w, (size_t)s->d, s->bits), best = INFINITY;
    (void)thread;
    (void)err;
    for (int k = 0; k < FRACTIONS; k++) {
        float scale = largest * (1.0f - (float)k * (1.0f - SMALLEST) / (float)(FRACTIONS - 1));
        float error = grid_error(s, w, scale);
        if (error < best) {
            best = error;
            s->scale[row] = scale;
        }
    }
    return NQ_OK;
}

nq_status nq_gptq_scales(const nq_gram *gram, int rows, const float *weight, int bits,
                         nq_pool *pool, float *scale, nq_error *err)
{
    float *importance = malloc((size_t)gram->d * sizeof *importance);
    float add = (float)(0.01 * nq_gram_mean_diagonal(gram));
    scale_search s = {
        .d = gram->d, .bits = bits, .weight = weight, .importance = importance, .scale = scale};
    if (!importance)
        return nq_fail_nomem(err, "a layer's scales", (size_t)gram->d * sizeof *importance);
    for (int j = 0; j < gram->d; j++)
        importance[j] = gram->h[(size_t)j * (size_t)(gram->d + 1)] + add;
    nq_status status = nq_pool_run(pool, (size_t)rows, search_row, &s, err);
    free(importance);
    return status;
}

/* ---- the column loop ---- */

typedef struct {
    int d, rows, bits;
    const int *order;
    const float *factor; /* f32 [d][d], upper: factor' factor = (H + damping)^-1 */
    const float *weight, *scale;
    int8_t *q;
    double *loss; /* [tasks] */
} rounding;

/* The factor in float from H in double. Row-major upper is what LAPACK calls column-major lower. */
static nq_status factorise(const nq_gram *gram, const int *order, double damping, float *factor,
                           nq_error *err)
{
    int d = gram->d;
    size_t n = (size_t)d * (size_t)d;
    double *a = malloc(n * sizeof *a), add = damping * nq_gram_mean_diagonal(gram);
    if (!a)
        return nq_fail_nomem(err, "a layer's moments", n * sizeof *a);
    nq_column_permute(gram, order, 0.0f, factor);
    for (size_t i = 0; i < n; i++)
        a[i] = (double)factor[i];
    for (int i = 0; i < d; i++)
        a[(size_t)i * (size_t)(d + 1)] += add;
    int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', d, a, d);
    if (info == 0)
        info = LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', d, a, d);
    if (info == 0)
        info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', d, a, d);
    for (size_t i = 0; info == 0 && i < n; i++)
        factor[i] = (float)a[i];
    free(a);
    return info == 0 ? NQ_OK : not_definite("rounding", info, err);
}

/* Rounds columns [i, end) of w f32 [rows][d]; e f32 [rows][BLOCK] gets their errors. */
static double round_block(const rounding *r, size_t first, int rows, int i, int end, float *w,
                          float *e)
{
    double loss = 0;
    size_t d = (size_t)r->d;
    for (int k = i; k < end; k++) {
        const float *u = r->factor + (size_t)k * d;
        for (int row = 0; row < rows; row++) {
            float *x = w + (size_t)row * d, scale = r->scale[first + (size_t)row];
            float q = nq_weight_clamp_round(x[k] / scale, r->bits);
            float error = (x[k] - q * scale) / u[k];
            r->q[(first + (size_t)row) * d + (size_t)r->order[k]] = (int8_t)q;
            e[row * BLOCK + k - i] = error;
            loss += (double)error * (double)error;
            for (int j = k + 1; j < end; j++)
                x[j] -= error * u[j];
        }
    }
    return loss;
}

static nq_status round_rows(void *context, size_t item, int thread, nq_error *err)
{
    const rounding *r = context;
    size_t first = item * ROWS, d = (size_t)r->d;
    int rows = r->rows - (int)first < ROWS ? r->rows - (int)first : ROWS;
    float *w = malloc(ROWS * (d + BLOCK) * sizeof *w);
    (void)thread;
    if (!w)
        return nq_fail_nomem(err, "rows of weights", ROWS * (d + BLOCK) * sizeof *w);
    float *e = w + ROWS * d;
    for (size_t row = 0; row < (size_t)rows; row++)
        for (size_t j = 0; j < d; j++)
            w[row * d + j] = r->weight[(first + row) * d + (size_t)r->order[j]];
    r->loss[item] = 0;
    for (int i = 0; i < r->d; i += BLOCK) {
        int end = r->d - i < BLOCK ? r->d : i + BLOCK;
        r->loss[item] += round_block(r, first, rows, i, end, w, e);
        if (end < r->d)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, r->d - end, BLOCK, -1.0f,
                        e, BLOCK, r->factor + (size_t)i * d + (size_t)end, r->d, 1.0f, w + end,
                        r->d);
    }
    free(w);
    return NQ_OK;
}

nq_status nq_gptq_round(const nq_gram *gram, double damping, int rows, const float *weight,
                        const float *scale, int bits, nq_pool *pool, int8_t *q, double *loss,
                        nq_error *err)
{
    size_t n = (size_t)gram->d * (size_t)gram->d, tasks = ((size_t)rows + ROWS - 1) / ROWS;
    float *factor = malloc(n * sizeof *factor);
    int *order = nq_column_order(gram);
    double *losses = calloc(tasks, sizeof *losses);
    nq_status status = NQ_OK;
    openblas_set_num_threads(1);
    if (!factor || !order || !losses)
        status = nq_fail_nomem(err, "second-order rounding", n * sizeof *factor);
    else
        status = factorise(gram, order, damping, factor, err);
    rounding r = {.d = gram->d,
                  .rows = rows,
                  .bits = bits,
                  .order = order,
                  .factor = factor,
                  .weight = weight,
                  .scale = scale,
                  .q = q,
                  .loss = losses};
    if (status == NQ_OK)
        status = nq_pool_run(pool, tasks, round_rows, &r, err);
    if (loss) {
        *loss = 0;
        for (size_t i = 0; losses && i < tasks; i++)
            *loss += losses[i];
    }
    free(factor);
    free(order);
    free(losses);
    return status;
}
