/* A network as scoring sees it: crops in, a row of logits out. Integer and float networks look
 * alike. */
#ifndef NQ_SCORE_SCORER_H
#define NQ_SCORE_SCORER_H

#include "common/error.h"
#include "worker/float/float_net.h"
#include "worker/integer/engine.h"
#include <stdbool.h>

typedef struct nq_scorer nq_scorer;
struct nq_scorer {
    int classes;
    size_t row_bytes; /* of one image's logits: u8 or f32 [classes] */
    int slice;  /* images a call, fixed: positions slice*i .. slice*i + slice - 1 go together */
    bool real;  /* a row holds floats; else bytes */
    bool whole; /* a slice is computed whole or not at all (float: same company, same bits) */
    /* crops u8 [n][224][224][3], n <= slice -> rows [n][row_bytes]; thread is the caller's own
     * room. */
    nq_status (*run)(nq_scorer *scorer, int thread, const uint8_t *crops, int n, void *rows,
                     nq_error *err);
    void (*free)(nq_scorer *scorer);
    void *inside;
};

/* The plan must outlive the scorer; so must the net. Each makes one room a thread. */
nq_status nq_scorer_integer(const nq_plan *plan, int threads, nq_scorer *scorer, nq_error *err);
nq_status nq_scorer_float(const nq_float_net *net, int classes, int threads, nq_scorer *scorer,
                          nq_error *err);

/* The first maximal class of a row, and whether `truth` ranks among the first five by (logit
 * descending, class ascending). */
void nq_scorer_judge(const nq_scorer *scorer, const void *row, int32_t truth, int32_t *label,
                     bool *top5);

#endif
