/* Which of several results no other beats in both figures. */
#ifndef NQ_CLIENT_PARETO_H
#define NQ_CLIENT_PARETO_H

#include <stdbool.h>
#include <stddef.h>

/* More of either is better; both are finite. */
typedef struct {
    double ratio, accuracy;
} nq_result_point;

/* on[i]: no point is at least as good as point i in both and better in one. Equal points stand on
 * the frontier together. */
void nq_pareto(const nq_result_point *points, size_t count, bool *on);

#endif
