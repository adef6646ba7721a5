#include "worker/quantize/gram.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK    16 /* channels a task works on at once */
#define TAPS_MAX 25

typedef struct {
    const nq_node *node;
    const nq_layer_input *in;
    int step, taps;
    float *h; /* [channels][taps][taps] */
} collection;

/* Sums over the positions of one image, or over all images. */
typedef struct {
    float product[TAPS_MAX * (TAPS_MAX + 1) / 2][BLOCK], value[TAPS_MAX][BLOCK];
} image_sums;
typedef struct {
    double product[TAPS_MAX * (TAPS_MAX + 1) / 2][BLOCK], value[TAPS_MAX][BLOCK];
    double positions;
} all_sums;

static void gather(const collection *c, const uint8_t *image, int first, int channels, int oy,
                   int ox, float patch[TAPS_MAX][BLOCK])
{
    const nq_node *n = c->node;
    const nq_layer_input *in = c->in;
    for (int t = 0; t < c->taps; t++) {
        int iy = oy * n->stride - n->pad_h + t / n->kernel_w;
        int ix = ox * n->stride - n->pad_w + t % n->kernel_w;
        if (iy < 0 || iy >= in->height || ix < 0 || ix >= in->width) {
            memset(patch[t], 0, sizeof patch[t]);
            continue;
        }
        const uint8_t *from =
            image + ((size_t)iy * (size_t)in->width + (size_t)ix) * (size_t)in->channels + first;
        for (int i = 0; i < channels; i++)
            patch[t][i] = in->value[from[i]];
    }
}

static void add_patch(int taps, float patch[TAPS_MAX][BLOCK], image_sums *sums)
{
    int k = 0;
    for (int s = 0; s < taps; s++) {
        for (int i = 0; i < BLOCK; i++)
            sums->value[s][i] += patch[s][i];
        for (int t = 0; t <= s; t++, k++)
            for (int i = 0; i < BLOCK; i++)
                sums->product[k][i] += patch[s][i] * patch[t][i];
    }
}

static void add_image(const collection *c, const uint8_t *image, int first, int channels,
                      all_sums *all)
{
    image_sums sums = {0};
    float patch[TAPS_MAX][BLOCK] = {{0}};
    for (int oy = 0; oy < c->node->height; oy += c->step)
        for (int ox = 0; ox < c->node->width; ox += c->step) {
            gather(c, image, first, channels, oy, ox, patch);
            add_patch(c->taps, patch, &sums);
            all->positions++;
        }
    for (int k = 0; k < c->taps * (c->taps + 1) / 2; k++)
        for (int i = 0; i < BLOCK; i++)
            all->product[k][i] += (double)sums.product[k][i];
    for (int t = 0; t < c->taps; t++)
        for (int i = 0; i < BLOCK; i++)
            all->value[t][i] += (double)sums.value[t][i];
}

static nq_status collect_block(void *context, size_t item, int thread, nq_error *err)
{
    const collection *c = context;
    const nq_layer_input *in = c->in;
    int first = (int)item * BLOCK;
    int channels = in->channels - first < BLOCK ? in->channels - first : BLOCK;
    all_sums *all = calloc(1, sizeof *all);
    (void)thread;
    if (!all)
        return nq_fail_nomem(err, c->node->name, sizeof *all);
    for (size_t i = 0; i < in->images; i++)
        add_image(c, in->stored + i * nq_layer_input_elements(in), first, channels, all);
    for (int i = 0; i < channels; i++) {
        float *h = c->h + (size_t)(first + i) * (size_t)c->taps * (size_t)c->taps;
        int k = 0;
        for (int s = 0; s < c->taps; s++)
            for (int t = 0; t <= s; t++, k++) {
                double n = all->positions, mean_s = all->value[s][i] / n,
                       mean_t = all->value[t][i] / n;
                h[s * c->taps + t] = h[t * c->taps + s] =
                    (float)(all->product[k][i] / n - mean_s * mean_t);
            }
    }
    free(all);
    return NQ_OK;
}

nq_status nq_gram_collect_depthwise(const nq_node *node, const nq_layer_input *in, nq_pool *pool,
                                    float **h, nq_error *err)
{
    int taps = node->kernel_h * node->kernel_w;
    collection c = {.node = node, .in = in, .step = nq_gram_step(node, in), .taps = taps};
    if (taps > TAPS_MAX)
        return nq_fail(err, NQ_ERR_INTERNAL, "%s: a depthwise kernel of %d taps, at most %d",
                       node->name, taps, TAPS_MAX);
    size_t bytes = (size_t)in->channels * (size_t)taps * (size_t)taps * sizeof *c.h;
    c.h = malloc(bytes);
    if (!c.h)
        return nq_fail_nomem(err, node->name, bytes);
    nq_status status =
        nq_pool_run(pool, ((size_t)in->channels + BLOCK - 1) / BLOCK, collect_block, &c, err);
    if (status != NQ_OK) {
        free(c.h);
        return status;
    }
    *h = c.h;
    return NQ_OK;
}
