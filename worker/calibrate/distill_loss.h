/* What distilled images are pulled towards: the statistics that batch norms expect. */
#ifndef NQ_CALIBRATE_DISTILL_LOSS_H
#define NQ_CALIBRATE_DISTILL_LOSS_H

#include "common/spec.h"
#include "worker/float/grad_net.h"

/* A tensor whose channels have a mean and a deviation to reach: node 0, and every convolution
 * before a batch norm (as kept by grad_net.h: its mean is to be 0). */
typedef struct {
    int node, channels;
    size_t pixels, first; /* of its channels among those of all sites */
} nq_distill_site;

/* Shared, read-only. */
typedef struct {
    nq_loss_kind kind;
    nq_distill_site *sites;
    int count, batch, slice; /* images of a batch, and of a slice */
    int *site_of;            /* [graph->count], -1 where the node has none */
    size_t channels;         /* of all sites */
    float *deviation;        /* [channels], to be reached */
    float *weight;           /* [channels], of a squared difference in the loss */
} nq_distill_target;

nq_status nq_distill_target_create(const nq_graph *graph, nq_loss_kind kind, int batch, int slice,
                                   nq_distill_target *target, nq_error *err);
void nq_distill_target_free(nq_distill_target *target);

/* One thread's room for a slice. */
typedef struct {
    const nq_distill_target *target;
    int images;  /* of the slice that count; the rest fill it */
    double *sum; /* [slice][channels][2]: of values and of squares; zeroq sums up image by image,
                    batch the whole slice into the first */
    float *level, *slope; /* [slice][channels]: the gradient is level + slope * value */
    float *scratch;       /* two rows of channels */
    double loss;          /* of the slice's images, zeroq alone */
} nq_distill_room;

nq_status nq_distill_room_create(const nq_distill_target *target, nq_distill_room *room,
                                 nq_error *err);
void nq_distill_room_free(nq_distill_room *room);

/* Hooks of a forward and a backward pass; context: the room. */
nq_status nq_distill_observe(void *room, int node, const float *values, nq_error *err);
nq_status nq_distill_pull(void *room, int node, const float *values, float *gradient,
                          nq_error *err);

/* Between the two, from the sums over `images` images: those that the gradient belongs to. zeroq:
 * each image's own, sums is NULL. batch: sums f64 [channels][2]. */
void nq_distill_balance(nq_distill_room *room, const double *sums, int images);

/* The loss of a batch whose sums are these. */
double nq_distill_batch_loss(const nq_distill_target *target, const double *sums, int images);

#endif
