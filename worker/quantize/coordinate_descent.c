#include "worker/quantize/coordinate_descent.h"

#include "worker/quantize/column_order.h"
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK   128
#define ROWS    32
#define DAMPING 0.002

typedef struct {
    int d, rows, bits, sweeps;
    const int *order;
    const float *h; /* f32 [d][d], in that order, damped */
    const float *weight;
    float *scale;
    int8_t *q;
} descent;

/* A task's rows, in the columns' order. */
typedef struct {
    int rows;
    float *w, *q, *r; /* [ROWS][d]: weights, integers, (w - s q) H */
    float *delta;     /* [ROWS][BLOCK] */
    float *scale;     /* [rows] */
} descent_rows;

static void multiply(const descent *c, const descent_rows *t, const float *a, float *out)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->rows, c->d, c->d, 1.0f, a, c->d, c->h,
                c->d, 0.0f, out, c->d);
}

/* Columns [i, end): each integer to its optimum; t->r is kept true inside the block. */
static void descend_block(const descent *c, descent_rows *t, int i, int end)
{
    size_t d = (size_t)c->d;
    for (int k = i; k < end; k++) {
        const float *h = c->h + (size_t)k * d;
        for (int row = 0; row < t->rows; row++) {
            float *r = t->r + (size_t)row * d, *q = t->q + (size_t)row * d, s = t->scale[row];
            float best = h[k] > 0 ? nq_weight_clamp_round(q[k] + r[k] / (h[k] * s), c->bits) : q[k];
            float delta = (best - q[k]) * s;
            t->delta[row * BLOCK + k - i] = delta;
            q[k] = best;
            for (int j = i; delta != 0.0f && j < end; j++)
                r[j] -= delta * h[j];
        }
    }
}

static void sweep(const descent *c, descent_rows *t, float *room)
{
    size_t d = (size_t)c->d;
    for (int row = 0; row < t->rows; row++)
        for (size_t j = 0; j < d; j++)
            room[(size_t)row * d + j] =
                t->w[(size_t)row * d + j] - t->scale[row] * t->q[(size_t)row * d + j];
    multiply(c, t, room, t->r);
    for (int i = 0; i < c->d; i += BLOCK) {
        int end = c->d - i < BLOCK ? c->d : i + BLOCK;
        descend_block(c, t, i, end);
        if (end < c->d)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->rows, c->d - end, BLOCK,
                        -1.0f, t->delta, BLOCK, c->h + (size_t)i * d + (size_t)end, c->d, 1.0f,
                        t->r + end, c->d);
    }
}

static void refit(const descent *c, descent_rows *t, float *room)
{
    size_t d = (size_t)c->d;
    multiply(c, t, t->q, room);
    for (int row = 0; row < t->rows; row++) {
        double with_w = 0, with_q = 0;
        for (size_t j = (size_t)row * d; j < (size_t)(row + 1) * d; j++) {
            with_w += (double)room[j] * (double)t->w[j];
            with_q += (double)room[j] * (double)t->q[j];
        }
        float s = with_q > 0 ? (float)(with_w / with_q) : 0.0f;
        if (s > 0.5f * t->scale[row] && s < 2.0f * t->scale[row])
            t->scale[row] = s;
    }
}

static nq_status descend_rows(void *context, size_t item, int thread, nq_error *err)
{
    const descent *c = context;
    size_t first = item * ROWS, d = (size_t)c->d;
    descent_rows t = {.rows = c->rows - (int)first < ROWS ? c->rows - (int)first : ROWS,
                      .scale = c->scale + first};
    float *block = malloc(ROWS * (4 * d + BLOCK) * sizeof *block);
    (void)thread;
    if (!block)
        return nq_fail_nomem(err, "rows of weights", ROWS * (4 * d + BLOCK) * sizeof *block);
    t.w = block;
    t.q = block + ROWS * d;
    t.r = block + 2 * ROWS * d;
    float *room = block + 3 * ROWS * d;
    t.delta = block + 4 * ROWS * d;
    for (size_t row = 0; row < (size_t)t.rows; row++)
        for (size_t j = 0; j < d; j++) {
            size_t from = (first + row) * d + (size_t)c->order[j];
            t.w[row * d + j] = c->weight[from];
            t.q[row * d + j] = (float)c->q[from];
        }
    for (int i = 0; i < c->sweeps; i++) {
        sweep(c, &t, room);
        refit(c, &t, room);
    }
    for (size_t row = 0; row < (size_t)t.rows; row++)
        for (size_t j = 0; j < d; j++)
            c->q[(first + row) * d + (size_t)c->order[j]] = (int8_t)t.q[row * d + j];
    free(block);
    return NQ_OK;
}

nq_status nq_coordinate_descent(const nq_gram *gram, int sweeps, int rows, const float *weight,
                                int bits, nq_pool *pool, float *scale, int8_t *q, nq_error *err)
{
    size_t n = (size_t)gram->d * (size_t)gram->d;
    float *h = malloc(n * sizeof *h);
    int *order = nq_column_order(gram);
    nq_status status = NQ_OK;
    openblas_set_num_threads(1);
    if (!h || !order) {
        status = nq_fail_nomem(err, "coordinate descent", n * sizeof *h);
    } else {
        nq_column_permute(gram, order, (float)(DAMPING * nq_gram_mean_diagonal(gram)), h);
        descent c = {.d = gram->d,
                     .rows = rows,
                     .bits = bits,
                     .sweeps = sweeps,
                     .order = order,
                     .h = h,
                     .weight = weight,
                     .scale = scale,
                     .q = q};
        status = nq_pool_run(pool, ((size_t)rows + ROWS - 1) / ROWS, descend_rows, &c, err);
    }
    free(h);
    free(order);
    return status;
}

nq_status nq_rounding_loss(const nq_gram *gram, int rows, const float *weight, const float *scale,
                           const int8_t *q, double *loss, nq_error *err)
{
    size_t d = (size_t)gram->d;
    float *error = malloc(2 * d * sizeof *error);
    if (!error)
        return nq_fail_nomem(err, "a row of weights", 2 * d * sizeof *error);
    float *product = error + d;
    openblas_set_num_threads(1);
    *loss = 0;
    for (size_t row = 0; row < (size_t)rows; row++) {
        for (size_t j = 0; j < d; j++)
            error[j] = weight[row * d + j] - scale[row] * (float)q[row * d + j];
        cblas_ssymv(CblasRowMajor, CblasLower, gram->d, 1.0f, gram->h, gram->d, error, 1, 0.0f,
                    product, 1);
        for (size_t j = 0; j < d; j++)
            *loss += (double)error[j] * (double)product[j];
    }
    free(error);
    return NQ_OK;
}
