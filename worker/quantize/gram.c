#include "worker/quantize/gram.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#define TILE 256

int nq_gram_step(const nq_node *node, const nq_layer_input *in)
{
    return node->op == NQ_OP_CONV && in->height / node->stride >= NQ_GRAM_LARGE ? 2 : 1;
}

static int used(int size, int step)
{
    return (size + step - 1) / step;
}

typedef struct {
    const nq_node *node;
    const nq_layer_input *in;
    nq_gram *gram;
    bool cross;
    int step, kernel_h, kernel_w, stride, pad_h, pad_w;
    size_t positions;    /* of an image */
    size_t first, count; /* images of the chunk */
    float *x, *y;        /* patches f32 [NQ_GRAM_CHUNK * positions][d] */
    float *norm, *weight;
    float *offset_x, *offset_y; /* [d], near the means: products of small numbers lose less */
    double *mean_x, *mean_y;    /* [d], sums of what is left */
    int tiles;
} collection;

/* One patch; a row of the kernel that is wholly inside is contiguous in both. */
static void gather_real(const collection *c, const float *image, int oy, int ox, float *patch)
{
    const nq_layer_input *in = c->in;
    size_t channels = (size_t)in->channels;
    for (int ky = 0; ky < c->kernel_h; ky++)
        for (int kx = 0; kx < c->kernel_w; kx++, patch += channels) {
            int iy = oy * c->stride - c->pad_h + ky, ix = ox * c->stride - c->pad_w + kx;
            if (iy < 0 || iy >= in->height || ix < 0 || ix >= in->width)
                memset(patch, 0, channels * sizeof *patch);
            else
                memcpy(patch, image + ((size_t)iy * (size_t)in->width + (size_t)ix) * channels,
                       channels * sizeof *patch);
        }
}

static void gather_stored(const collection *c, const uint8_t *image, int oy, int ox, float *patch)
{
    const nq_layer_input *in = c->in;
    size_t channels = (size_t)in->channels;
    for (int ky = 0; ky < c->kernel_h; ky++)
        for (int kx = 0; kx < c->kernel_w; kx++, patch += channels) {
            int iy = oy * c->stride - c->pad_h + ky, ix = ox * c->stride - c->pad_w + kx;
            bool outside = iy < 0 || iy >= in->height || ix < 0 || ix >= in->width;
            const uint8_t *from = image + ((size_t)iy * (size_t)in->width + (size_t)ix) * channels;
            for (size_t i = 0; i < channels; i++)
                patch[i] = outside ? 0.0f : in->value[from[i]];
        }
}

static nq_status gather_image(void *context, size_t item, int thread, nq_error *err)
{
    const collection *c = context;
    const nq_layer_input *in = c->in;
    size_t image = c->first + item, elements = nq_layer_input_elements(in);
    size_t d = (size_t)c->gram->d, row = item * c->positions;
    (void)thread;
    (void)err;
    for (int oy = 0; oy < c->node->height; oy += c->step)
        for (int ox = 0; ox < c->node->width; ox += c->step, row++) {
            float *x = c->x + row * d;
            gather_real(c, in->real + image * elements, oy, ox, x);
            gather_stored(c, in->stored + image * elements, oy, ox, c->y + row * d);
            float norm = 0.0f;
            for (size_t i = 0; i < d; i++)
                norm += x[i] * x[i];
            c->norm[row] = norm;
        }
    return NQ_OK;
}

/* Column means of the first chunk. */
static void choose_offsets(const collection *c, const float *patches, double *sum, float *offset)
{
    size_t d = (size_t)c->gram->d, rows = c->count * c->positions;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < d; i++)
            sum[i] += (double)patches[row * d + i];
    for (size_t i = 0; i < d; i++) {
        offset[i] = (float)(sum[i] / (double)rows);
        sum[i] = 0;
    }
}

/* Patches without their offset, times the root of their weight, so that products of two carry it
 * once. */
static nq_status weigh_image(void *context, size_t item, int thread, nq_error *err)
{
    const collection *c = context;
    size_t d = (size_t)c->gram->d;
    (void)thread;
    (void)err;
    for (size_t row = item * c->positions; row < (item + 1) * c->positions; row++) {
        float root = __builtin_sqrtf(c->weight[row]);
        c->weight[row] = root;
        for (size_t i = 0; i < d; i++) {
            c->x[row * d + i] = (c->x[row * d + i] - c->offset_x[i]) * root;
            c->y[row * d + i] = (c->y[row * d + i] - c->offset_y[i]) * root;
        }
    }
    return NQ_OK;
}

static void add_means(const collection *c, int from, int n, const float *patches, double *mean)
{
    size_t d = (size_t)c->gram->d, rows = c->count * c->positions;
    for (size_t row = 0; row < rows; row++)
        for (int i = from; i < from + n; i++)
            mean[i] += (double)(c->weight[row] * patches[row * d + (size_t)i]);
}

/* One tile of H (lower triangle) and the same of G; a diagonal tile also sums its columns. */
static nq_status multiply_tile(void *context, size_t item, int thread, nq_error *err)
{
    const collection *c = context;
    int d = c->gram->d, i = (int)item / c->tiles * TILE, j = (int)item % c->tiles * TILE;
    int rows = (int)(c->count * c->positions);
    int ni = d - i < TILE ? d - i : TILE, nj = d - j < TILE ? d - j : TILE;
    (void)thread;
    (void)err;
    if (i >= j)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, ni, nj, rows, 1.0f, c->y + i, d,
                    c->y + j, d, 1.0f, c->gram->h + (size_t)i * (size_t)d + j, d);
    if (c->cross)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, ni, nj, rows, 1.0f, c->x + i, d,
                    c->y + j, d, 1.0f, c->gram->cross + (size_t)i * (size_t)d + j, d);
    if (i == j) {
        add_means(c, i, ni, c->y, c->mean_y);
        if (c->cross)
            add_means(c, i, ni, c->x, c->mean_x);
    }
    return NQ_OK;
}

/* The element that would stand at `k` if x were sorted. */
static float select_kth(float *x, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = x[i];
            x[i++] = x[j];
            x[j--] = swap;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return x[k];
}

void nq_position_weights(const float *norm, size_t n, float *room, float *weight)
{
    memcpy(room, norm, n * sizeof *room);
    float bound = 3.0f * select_kth(room, n, (n - 1) / 2);
    for (size_t i = 0; i < n; i++)
        weight[i] = norm[i] > bound ? bound / norm[i] : 1.0f;
}

static nq_status collect_chunk(collection *c, float *room, nq_pool *pool, nq_error *err)
{
    size_t rows = c->count * c->positions;
    nq_status status = nq_pool_run(pool, c->count, gather_image, c, err);
    if (status != NQ_OK)
        return status;
    if (c->first == 0) {
        choose_offsets(c, c->x, c->mean_x, c->offset_x);
        choose_offsets(c, c->y, c->mean_y, c->offset_y);
    }
    nq_position_weights(c->norm, rows, room, c->weight);
    for (size_t i = 0; i < rows; i++)
        c->gram->weight += (double)c->weight[i];
    status = nq_pool_run(pool, c->count, weigh_image, c, err);
    if (status != NQ_OK)
        return status;
    return nq_pool_run(pool, (size_t)c->tiles * (size_t)c->tiles, multiply_tile, c, err);
}

/* Sums to centred moments; H's upper triangle is its lower one's mirror. */
static void centre(const collection *c)
{
    nq_gram *gram = c->gram;
    size_t d = (size_t)gram->d;
    double n = gram->weight > 0 ? gram->weight : 1;
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i; j++) {
            double h = (double)gram->h[i * d + j] / n - c->mean_y[i] / n * (c->mean_y[j] / n);
            gram->h[i * d + j] = gram->h[j * d + i] = (float)h;
        }
        for (size_t j = 0; c->cross && j < d; j++)
            gram->cross[i * d + j] =
                (float)((double)gram->cross[i * d + j] / n - c->mean_x[i] / n * (c->mean_y[j] / n));
    }
}

static nq_status allocate(collection *c, float **room, nq_error *err)
{
    size_t d = (size_t)c->gram->d, rows = NQ_GRAM_CHUNK * c->positions;
    c->gram->h = calloc(d * d, sizeof(float));
    c->gram->cross = c->cross ? calloc(d * d, sizeof(float)) : NULL;
    c->x = malloc(rows * d * sizeof(float));
    c->y = malloc(rows * d * sizeof(float));
    c->norm = malloc(rows * sizeof(float));
    c->weight = malloc(rows * sizeof(float));
    c->offset_x = calloc(2 * d, sizeof(float));
    c->offset_y = c->offset_x ? c->offset_x + d : NULL;
    c->mean_x = calloc(d, sizeof(double));
    c->mean_y = calloc(d, sizeof(double));
    *room = malloc(rows * sizeof(float));
    if (c->gram->h && (c->gram->cross || !c->cross) && c->x && c->y && c->norm && c->weight &&
        c->offset_x && c->mean_x && c->mean_y && *room)
        return NQ_OK;
    return nq_fail_nomem(err, c->node->name, (2 * d + 2 * rows) * d * sizeof(float));
}

nq_status nq_gram_collect(const nq_node *node, const nq_layer_input *in, bool cross, nq_pool *pool,
                          nq_gram *gram, nq_error *err)
{
    bool conv = node->op == NQ_OP_CONV;
    int step = nq_gram_step(node, in);
    collection c = {.node = node,
                    .in = in,
                    .gram = gram,
                    .cross = cross,
                    .step = step,
                    .kernel_h = conv ? node->kernel_h : 1,
                    .kernel_w = conv ? node->kernel_w : 1,
                    .stride = conv ? node->stride : 1,
                    .pad_h = conv ? node->pad_h : 0,
                    .pad_w = conv ? node->pad_w : 0,
                    .positions =
                        (size_t)used(node->height, step) * (size_t)used(node->width, step)};
    *gram = (nq_gram){.d = c.kernel_h * c.kernel_w * in->channels};
    c.tiles = (gram->d + TILE - 1) / TILE;
    float *room = NULL;
    openblas_set_num_threads(1);
    nq_status status = allocate(&c, &room, err);
    for (size_t i = 0; status == NQ_OK && i < in->images; i += NQ_GRAM_CHUNK) {
        c.first = i;
        c.count = in->images - i < NQ_GRAM_CHUNK ? in->images - i : NQ_GRAM_CHUNK;
        status = collect_chunk(&c, room, pool, err);
    }
    if (status == NQ_OK)
        centre(&c);
    else
        nq_gram_free(gram);
    free(c.x);
    free(c.y);
    free(c.norm);
    free(c.weight);
    free(c.offset_x);
    free(c.mean_x);
    free(c.mean_y);
    free(room);
    return status;
}

void nq_gram_free(nq_gram *gram)
{
    free(gram->h);
    free(gram->cross);
    *gram = (nq_gram){0};
}

void nq_gram_shrink(nq_gram *gram, double share)
{
    size_t d = (size_t)gram->d;
    float keep = (float)(1 - share);
    for (size_t i = 0; share > 0 && i < d; i++)
        for (size_t j = 0; j < d; j++)
            gram->h[i * d + j] *= i == j ? 1.0f : keep;
}
