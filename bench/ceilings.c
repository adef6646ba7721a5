/*
 * ceilings [SECONDS]: the rates of the bare multiply loops that this CPU runs, one thread, and of
 * the best integer loop on two. SECONDS (3) are shared by all loops, in slices that take turns.
 * JSON on stdout:
 *
 *   {"cpu":{...}, "loops":[{"name":, "integer":, "matrix":, "gmacs":{spread}}],
 *    "second_thread":{spread}}     (rate of two threads / rate of one; null with one CPU)
 */
#include "bench/measure.h"
#include "bench/multiply.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 21, LOOPS = 16 };

static double alone(void *context, int thread, double seconds)
{
    (void)thread;
    return nq_multiply_rate(context, nq_bench_thread_seconds, seconds);
}

static double beside(void *context, int thread, double seconds)
{
    (void)thread;
    return nq_multiply_rate(context, nq_bench_seconds, seconds);
}

static json_t *measure_loops(nq_pool *one, double slice)
{
    static double rates[LOOPS][ROUNDS];
    const nq_multiply *loop, *loops[LOOPS];
    size_t count = 0;
    for (size_t i = 0; (loop = nq_multiply_at(i)) != NULL; i++)
        if (loop->supported())
            loops[count++] = loop;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < count; i++)
            rates[i][round] = nq_bench_together(one, alone, (void *)loops[i], slice);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:o}", "name", loops[i]->name, "integer",
                                        loops[i]->integer, "matrix", loops[i]->matrix, "gmacs",
                                        nq_bench_spread(rates[i], ROUNDS)));
    return list;
}

/* The best loop on one thread and on two, in turns. */
static json_t *second_thread(nq_pool *one, double slice)
{
    double gains[ROUNDS];
    const nq_multiply *best = nq_multiply_best();
    nq_pool *two;
    nq_error err = {0};
    if (!best || sysconf(_SC_NPROCESSORS_ONLN) < 2 || nq_pool_create(2, &two, &err) != NQ_OK)
        return json_null();
    for (int round = 0; round < ROUNDS; round++) {
        double rate = nq_bench_together(one, beside, (void *)best, slice);
        gains[round] = nq_bench_together(two, beside, (void *)best, slice) / rate;
    }
    nq_pool_free(two);
    return nq_bench_spread(gains, ROUNDS);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 3;
    if (argc > 2 || !(seconds > 0)) {
        fprintf(stderr, "usage: ceilings [SECONDS]\n");
        return 2;
    }
    nq_pool *one;
    nq_error err = {0};
    if (nq_pool_create(1, &one, &err) != NQ_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    json_t *loops = measure_loops(one, seconds / ROUNDS / 10);
    json_t *all = json_pack("{s:o, s:o, s:o}", "cpu", nq_bench_cpu(), "loops", loops,
                            "second_thread", second_thread(one, seconds / ROUNDS / 4));
    nq_pool_free(one);
    int status = json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && putchar('\n') != EOF ? 0 : 1;
    json_decref(all);
    return status;
}
