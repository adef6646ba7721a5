/* checkkernels --bench: how long each function takes on shapes of the three networks. */
#ifndef NQ_TESTS_BENCH_KERNELS_H
#define NQ_TESTS_BENCH_KERNELS_H

/* Prints a line a shape, a column a table that this CPU runs: microseconds a call, median; and of
 * the last column giga-multiply-adds or gigabytes of output a second. only: a function's name, or
 * NULL for all of them. Returns an exit status. */
int bench_kernels(const char *only);

#endif
