#include "worker/quantize/column_order.h"

#include <stdlib.h>

static int by_importance(const void *a, const void *b, void *context)
{
    const nq_gram *gram = context;
    int i = *(const int *)a, j = *(const int *)b;
    float hi = gram->h[(size_t)i * (size_t)gram->d + (size_t)i];
    float hj = gram->h[(size_t)j * (size_t)gram->d + (size_t)j];
    return hi > hj ? -1 : hi < hj ? 1 : (i > j) - (i < j);
}

int *nq_column_order(const nq_gram *gram)
{
    int *order = malloc((size_t)gram->d * sizeof *order);
    for (int i = 0; order && i < gram->d; i++)
        order[i] = i;
    if (order)
        qsort_r(order, (size_t)gram->d, sizeof *order, by_importance, (void *)gram);
    return order;
}

void nq_column_permute(const nq_gram *gram, const int *order, float add, float *permuted)
{
    size_t d = (size_t)gram->d;
    for (size_t i = 0; i < d; i++) {
        const float *row = gram->h + (size_t)order[i] * d;
        for (size_t j = 0; j < d; j++)
            permuted[i * d + j] = row[order[j]];
        permuted[i * d + i] += add;
    }
}

double nq_gram_mean_diagonal(const nq_gram *gram)
{
    double sum = 0;
    for (int i = 0; i < gram->d; i++)
        sum += (double)gram->h[(size_t)i * (size_t)gram->d + (size_t)i];
    return sum / gram->d;
}
