#include "client/pareto.h"

static bool beats(const nq_result_point *a, const nq_result_point *b)
{
    return a->ratio >= b->ratio && a->accuracy >= b->accuracy &&
           (a->ratio > b->ratio || a->accuracy > b->accuracy);
}

void nq_pareto(const nq_result_point *points, size_t count, bool *on)
{
    for (size_t i = 0; i < count; i++) {
        on[i] = true;
        for (size_t k = 0; k < count && on[i]; k++)
            on[i] = !beats(&points[k], &points[i]);
    }
}
