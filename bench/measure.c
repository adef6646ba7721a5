#include "bench/measure.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t nq_bench_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double nq_bench_seconds(void)
{
    return (double)nq_bench_nanoseconds() * 1e-9;
}

double nq_bench_thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int nq_bench_pin(void)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0 ? cpu : -1;
        }
    return -1;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double between(const double *sorted, size_t count, double part)
{
    double at = part * (double)(count - 1);
    size_t below = (size_t)at;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

double nq_bench_quantile(double *values, size_t count, double part)
{
    qsort(values, count, sizeof *values, compare);
    return between(values, count, part);
}

json_t *nq_bench_spread(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I}", "median", between(values, count, 0.5), "low",
                     between(values, count, 0.25), "high", between(values, count, 0.75), "min",
                     values[0], "max", values[count - 1], "count", (json_int_t)count);
}

typedef struct {
    nq_bench_work work;
    void *context;
    double seconds;
    double *rates; /* one an item */
} together;

static nq_status do_work(void *context, size_t item, int thread, nq_error *err)
{
    (void)err;
    together *t = context;
    t->rates[item] = t->work(t->context, thread, t->seconds);
    return NQ_OK;
}

double nq_bench_together(nq_pool *pool, nq_bench_work work, void *context, double seconds)
{
    double rates[256] = {0}, sum = 0;
    size_t threads = (size_t)nq_pool_threads(pool);
    together t = {work, context, seconds, rates};
    nq_error err = {0};
    if (threads > sizeof rates / sizeof *rates ||
        nq_pool_run(pool, threads, do_work, &t, &err) != NQ_OK)
        return NAN;
    for (size_t i = 0; i < threads; i++)
        sum += rates[i];
    return sum;
}

/* Sets `key` in `cpu` where the line is "NAME : VALUE". */
static void take_line(const char *line, const char *name, const char *key, json_t *cpu)
{
    const char *colon = strchr(line, ':');
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || strchr(" \t", line[length]) == NULL || !colon)
        return;
    if (line[length + strspn(line + length, " \t")] != ':' || json_object_get(cpu, key))
        return;
    json_object_set_new(cpu, key, json_stringn(colon + 2, strcspn(colon + 2, "\n")));
}

json_t *nq_bench_cpu(void)
{
    json_t *cpu = json_object();
    char line[4096];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        take_line(line, "model name", "name", cpu);
        take_line(line, "vendor_id", "vendor", cpu);
        take_line(line, "cpu family", "family", cpu);
        take_line(line, "model", "model", cpu);
    }
    if (f)
        fclose(f);
    return cpu;
}
