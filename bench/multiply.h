/*
 * Bare multiply loops: registers only, no loads, as many independent sums as hide the latency.
 * Their rate is the most that any kernel built on that instruction can reach on this CPU (its
 * ceiling).
 */
#ifndef NQ_BENCH_MULTIPLY_H
#define NQ_BENCH_MULTIPLY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name; /* "vpdpbusd 512" */
    bool integer;     /* 8-bit products (widened to 16 where the instruction wants it); else fp32 */
    bool matrix;      /* works on tiles: no vector kernel comes near */
    bool (*supported)(void);
    double macs; /* multiply-accumulates an iteration */
    void (*run)(size_t iterations);
} nq_multiply;

/* Every loop of this build, whether this CPU can run it or not; NULL when i is past the last. */
const nq_multiply *nq_multiply_at(size_t i);

/* The fastest vector loop on 8-bit integers here; NULL where there is none. */
const nq_multiply *nq_multiply_best(void);

/* GMAC/s over at least `seconds` of `clock` on the calling thread. */
double nq_multiply_rate(const nq_multiply *loop, double (*clock)(void), double seconds);

#endif
