/* A synthesis half done, in memory and as a file. */
#ifndef NQ_CALIBRATE_DISTILL_STATE_H
#define NQ_CALIBRATE_DISTILL_STATE_H

#include "worker/calibrate/distill_image.h"

typedef struct {
    size_t samples, batch, sums; /* fixed: images of all, of a batch; numbers of `last` */
    size_t first;                /* of the batch under way; samples: all are done */
    int step;                    /* the next one of that batch */
    nq_distill_rate rate;
    float *images;          /* [samples][224][224][3] */
    float *moment, *square; /* [batch] as the images: Adam's moments of the batch under way */
    double *last;           /* [sums]: statistics of each slice of the batch in its last step */
} nq_distill_state;

/* Zeros; free it in either case. */
nq_status nq_distill_state_create(size_t samples, size_t batch, size_t sums,
                                  nq_distill_state *state, nq_error *err);
void nq_distill_state_free(nq_distill_state *state);

/* Writes it atomically. */
nq_status nq_distill_state_write(const nq_distill_state *state, const char *path, nq_error *err);

/* False, and the state unchanged, where the file is not whole or not of this shape. */
bool nq_distill_state_read(nq_distill_state *state, const char *path);

#endif
