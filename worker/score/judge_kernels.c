#include "worker/score/scorer.h"

/* Loops without a branch, so that the compiler may use vectors. */
#define JUDGE(name, type)                                                                          \
    static int first_maximal_##name(const type *row, int classes)                                  \
    {                                                                                              \
        type most = row[0];                                                                        \
        int first = 0;                                                                             \
        for (int c = 1; c < classes; c++)                                                          \
            most = row[c] > most ? row[c] : most;                                                  \
        while (first < classes - 1 && row[first] != most)                                          \
            first++;                                                                               \
        return first;                                                                              \
    }                                                                                              \
    static int rank_##name(const type *row, int classes, int truth)                                \
    {                                                                                              \
        type own = row[truth];                                                                     \
        int before = 0;                                                                            \
        for (int c = 0; c < truth; c++)                                                            \
            before += row[c] >= own;                                                               \
        for (int c = truth + 1; c < classes; c++)                                                  \
            before += row[c] > own;                                                                \
        return before;                                                                             \
    }

JUDGE(bytes, uint8_t)
JUDGE(reals, float)

void nq_scorer_judge(const nq_scorer *s, const void *row, int32_t truth, int32_t *label, bool *top5)
{
    int rank = s->classes;
    *label = s->real ? first_maximal_reals(row, s->classes) : first_maximal_bytes(row, s->classes);
    if (truth < s->classes)
        rank = s->real ? rank_reals(row, s->classes, truth) : rank_bytes(row, s->classes, truth);
    *top5 = truth < s->classes && rank < 5;
}
