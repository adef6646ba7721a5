/* What every measurement needs: the time, a core to itself, figures that survive noise. */
#ifndef NQ_BENCH_MEASURE_H
#define NQ_BENCH_MEASURE_H

#include "common/pool.h"
#include <jansson.h>
#include <stdint.h>

uint64_t nq_bench_nanoseconds(void);
/* Of the wall, and of the calling thread: the latter does not count what the core did for others.
 */
double nq_bench_seconds(void);
double nq_bench_thread_seconds(void);

/* Keeps the calling thread on the first CPU that the process may use; returns its number, -1 where
 * the system refuses. */
int nq_bench_pin(void);

/* The value below which the share `part` (0 to 1) of `values` lies, between neighbours
 * interpolated. Sorts them. count > 0. */
double nq_bench_quantile(double *values, size_t count, double part);

/* {"median":, "low": (first quartile), "high": (third), "min":, "max":, "count":}; sorts values. */
json_t *nq_bench_spread(double *values, size_t count);

/* Something done over and over until `seconds` have gone by; returns how much a second. */
typedef double (*nq_bench_work)(void *context, int thread, double seconds);

/* On all threads of the pool at the same time: the sum of what they return. */
double nq_bench_together(nq_pool *pool, nq_bench_work work, void *context, double seconds);

/* Name and generation of this CPU: {"name":, "vendor":, "family":, "model":}. */
json_t *nq_bench_cpu(void);

#endif
