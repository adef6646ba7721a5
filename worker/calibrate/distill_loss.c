#include "worker/calibrate/distill_loss.h"
#include "worker/calibrate/distill_kernels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZEROQ_EPSILON 1e-6f
#define NORM_EPSILON  1e-5f

static void add_site(nq_distill_target *t, const nq_graph *graph, int node)
{
    const nq_node *n = &graph->nodes[node];
    t->site_of[node] = t->count;
    t->sites[t->count++] = (nq_distill_site){
        .node = node,
        .channels = n->channels,
        .pixels = (size_t)n->height * (size_t)n->width,
        .first = t->channels,
    };
    t->channels += (size_t)n->channels;
}

/* The image itself has mean 0 and deviation 1; a channel that folding has lost weighs nothing. */
static void set_channel(nq_distill_target *t, const nq_node *node, int c, size_t at)
{
    float variance = node->norm.gamma ? node->norm.var[c] : 1.0f;
    bool lost =
        node->norm.gamma && node->norm.gamma[c] * nq_batch_norm_inverse(&node->norm, c) == 0;
    bool zeroq = t->kind == NQ_LOSS_ZEROQ;
    variance += zeroq ? ZEROQ_EPSILON : NORM_EPSILON;
    t->deviation[at] = sqrtf(variance);
    t->weight[at] = zeroq ? 1.0f / (float)t->batch
                          : 1.0f / (variance * (float)node->channels * (float)t->count);
    if (lost)
        t->weight[at] = 0.0f;
}

nq_status nq_distill_target_create(const nq_graph *graph, nq_loss_kind kind, int batch, int slice,
                                   nq_distill_target *t, nq_error *err)
{
    size_t count = (size_t)graph->count;
    *t = (nq_distill_target){.kind = kind, .batch = batch, .slice = slice};
    t->sites = calloc(count, sizeof *t->sites);
    t->site_of = malloc(count * sizeof *t->site_of);
    if (!t->sites || !t->site_of)
        return nq_fail_nomem(err, "the batch norms", count * sizeof *t->sites);
    for (int i = 0; i < graph->count; i++) {
        t->site_of[i] = -1;
        if (i == 0 || graph->nodes[i].norm.gamma)
            add_site(t, graph, i);
    }
    if (t->count == 1)
        return nq_fail(err, NQ_ERR_INPUT,
                       "%s has no batch norm, so that no images can be distilled from it",
                       graph->arch);
    t->deviation = malloc(t->channels * sizeof *t->deviation);
    t->weight = malloc(t->channels * sizeof *t->weight);
    if (!t->deviation || !t->weight)
        return nq_fail_nomem(err, "the batch norms", t->channels * sizeof *t->weight);
    for (int s = 0; s < t->count; s++)
        for (int c = 0; c < t->sites[s].channels; c++)
            set_channel(t, &graph->nodes[t->sites[s].node], c, t->sites[s].first + (size_t)c);
    return NQ_OK;
}

void nq_distill_target_free(nq_distill_target *t)
{
    free(t->sites);
    free(t->site_of);
    free(t->deviation);
    free(t->weight);
    *t = (nq_distill_target){0};
}

nq_status nq_distill_room_create(const nq_distill_target *target, nq_distill_room *room,
                                 nq_error *err)
{
    size_t all = (size_t)target->slice * target->channels;
    *room = (nq_distill_room){.target = target};
    room->sum = calloc(all * 2, sizeof *room->sum);
    room->level = calloc(all, sizeof *room->level);
    room->slope = calloc(all, sizeof *room->slope);
    room->scratch = malloc(2 * target->channels * sizeof *room->scratch);
    if (!room->sum || !room->level || !room->slope || !room->scratch)
        return nq_fail_nomem(err, "a thread's statistics", all * sizeof *room->sum);
    return NQ_OK;
}

void nq_distill_room_free(nq_distill_room *room)
{
    free(room->sum);
    free(room->level);
    free(room->slope);
    free(room->scratch);
    *room = (nq_distill_room){0};
}

nq_status nq_distill_observe(void *context, int node, const float *values, nq_error *err)
{
    nq_distill_room *room = context;
    const nq_distill_target *t = room->target;
    (void)err;
    if (t->site_of[node] < 0)
        return NQ_OK;
    const nq_distill_site *site = &t->sites[t->site_of[node]];
    bool each = t->kind == NQ_LOSS_ZEROQ;
    size_t channels = (size_t)site->channels;
    for (size_t i = 0; i < (size_t)room->images; i++) {
        double *sum = room->sum + 2 * ((each ? i * t->channels : 0) + site->first);
        if (each || i == 0)
            memset(sum, 0, 2 * channels * sizeof *sum);
        nq_distill_sum(values + i * site->pixels * channels, site->channels, site->pixels,
                       room->scratch, sum);
    }
    return NQ_OK;
}

nq_status nq_distill_pull(void *context, int node, const float *values, float *gradient,
                          nq_error *err)
{
    const nq_distill_room *room = context;
    const nq_distill_target *t = room->target;
    (void)err;
    if (t->site_of[node] < 0)
        return NQ_OK;
    const nq_distill_site *site = &t->sites[t->site_of[node]];
    size_t stride = t->kind == NQ_LOSS_ZEROQ ? t->channels : 0;
    size_t each = site->pixels * (size_t)site->channels;
    for (size_t i = 0; i < (size_t)room->images; i++)
        nq_distill_add(values + i * each, site->channels, site->pixels,
                       room->level + i * stride + site->first,
                       room->slope + i * stride + site->first, gradient + i * each);
    return NQ_OK;
}

/* Mean and deviation of a channel from its sums over `count` values. */
typedef struct {
    double mean, deviation, degrees; /* degrees: what the squares were divided by */
} channel_statistics;

static channel_statistics statistics_of(const double *sum, double count, bool zeroq)
{
    channel_statistics s = {.mean = sum[0] / count,
                            .degrees = zeroq && count > 1 ? count - 1 : count};
    double square = (sum[1] - sum[0] * s.mean) / s.degrees;
    s.deviation = sqrt((square > 0 ? square : 0) + (double)(zeroq ? ZEROQ_EPSILON : NORM_EPSILON));
    return s;
}

/* The share of one channel of a site in the loss; level and slope may be NULL. */
static double channel_loss(const nq_distill_target *t, const double *sum, double count, size_t at,
                           float *level, float *slope)
{
    double weight = (double)t->weight[at];
    channel_statistics s = statistics_of(sum, count, t->kind == NQ_LOSS_ZEROQ);
    double wide = s.deviation - (double)t->deviation[at];
    if (level) {
        double rise = 2 * weight * wide / (s.degrees * s.deviation);
        *slope = (float)rise;
        *level = (float)(2 * weight * s.mean / count - rise * s.mean);
    }
    return weight * (s.mean * s.mean + wide * wide);
}

void nq_distill_balance(nq_distill_room *room, const double *sums, int images)
{
    const nq_distill_target *t = room->target;
    bool zeroq = t->kind == NQ_LOSS_ZEROQ;
    room->loss = 0;
    for (size_t i = 0; i < (zeroq ? (size_t)room->images : 1); i++)
        for (int s = 0; s < t->count; s++) {
            const nq_distill_site *site = &t->sites[s];
            double count = (double)site->pixels * (zeroq ? 1 : images);
            for (size_t c = site->first; c < site->first + (size_t)site->channels; c++) {
                size_t at = i * t->channels + c;
                room->loss += channel_loss(t, zeroq ? room->sum + 2 * at : sums + 2 * c, count, c,
                                           &room->level[at], &room->slope[at]);
            }
        }
}

double nq_distill_batch_loss(const nq_distill_target *t, const double *sums, int images)
{
    double loss = 0;
    for (int s = 0; s < t->count; s++) {
        const nq_distill_site *site = &t->sites[s];
        for (size_t c = site->first; c < site->first + (size_t)site->channels; c++)
            loss += channel_loss(t, sums + 2 * c, (double)site->pixels * images, c, NULL, NULL);
    }
    return loss;
}
