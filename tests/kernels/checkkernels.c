/*
 * checkkernels [--seed S] [--cases N | --case C] [--only FUNCTION]: every function of every kernel
 * table that this CPU can run, against the formulas written out plainly, on N random shapes each.
 * Inputs lie at odd addresses and outputs between guard bytes; both are checked after each call.
 * TAP output. checkkernels --bench [--only FUNCTION]: how long they take instead.
 */
#include "tests/kernels/bench_kernels.h"
#include "tests/kernels/check.h"
#include "worker/integer/elementwise.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not in a build whose compiler has no AVX-512. */
extern __typeof__(nq_lookup_avx512bw) nq_lookup_avx512bw __attribute__((weak));
extern __typeof__(nq_interleave_avx512bw) nq_interleave_avx512bw __attribute__((weak));

static const struct {
    const char *name;
    int (*check)(const nq_kernels *k);
} functions[] = {
    {"dense", check_dense},       {"depthwise", check_depthwise}, {"add", check_add},
    {"lookup", check_lookup},     {"shuffle", check_shuffle},     {"interleave", check_interleave},
    {"max_pool", check_max_pool}, {"avg_pool", check_avg_pool},   {"input", check_input}};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

/* Each case has its own stream, so that a failure can be run again alone. */
static int check_function(const nq_kernels *k, size_t f, uint64_t seed, long first, long cases)
{
    for (long c = first; c < first + cases; c++) {
        nq_random_init(&check_rng, seed, (uint64_t)c);
        if (!functions[f].check(k)) {
            printf("# %s.%s differs: --seed %llu --case %ld\n", k->name, functions[f].name,
                   (unsigned long long)seed, c);
            return 0;
        }
    }
    return 1;
}

/* The tables of this build, and one of functions that no table names on this CPU. */
static const nq_kernels *table_at(size_t i)
{
    static nq_kernels rest;
    const nq_kernels *k = nq_kernels_at(i);
    if (k || i == 0 || !nq_kernels_at(i - 1) || !nq_lookup_avx512bw)
        return k;
    for (size_t t = 0; (k = nq_kernels_at(t)) != NULL; t++)
        if (strcmp(k->name, "avx512vnni") == 0)
            rest = *k;
    rest.name = "without-vbmi";
    rest.lookup = nq_lookup_avx512bw;
    rest.interleave = nq_interleave_avx512bw;
    return &rest;
}

static int check_tables(uint64_t seed, long first, long cases, const char *only)
{
    int test = 0, failed = 0;
    const nq_kernels *k;
    for (size_t i = 0; (k = table_at(i)) != NULL; i++)
        for (size_t f = 0; f < FUNCTIONS; f++) {
            if (only && strcmp(only, functions[f].name) != 0)
                continue;
            if (!nq_kernels_at(i) && functions[f].check != check_lookup &&
                functions[f].check != check_interleave)
                continue;
            if (!k->supported()) {
                printf("ok %d - %s.%s # SKIP this CPU cannot run it\n", ++test, k->name,
                       functions[f].name);
                continue;
            }
            int good = check_function(k, f, seed, first, cases);
            failed += !good;
            printf("%s %d - %s.%s: %ld cases\n", good ? "ok" : "not ok", ++test, k->name,
                   functions[f].name, cases);
            fflush(stdout);
        }
    printf("1..%d\n", test);
    return failed != 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"cases", required_argument, NULL, 'n'}, {"case", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},  {"only", required_argument, NULL, 'o'},
        {"bench", no_argument, NULL, 'b'},       {0}};
    long first = 0, cases = 1000;
    uint64_t seed = 1;
    const char *only = NULL;
    bool bench = false, usage = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        first = o == 'c' ? atol(optarg) : first;
        cases = o == 'c' ? 1 : o == 'n' ? atol(optarg) : cases;
        seed = o == 's' ? strtoull(optarg, NULL, 10) : seed;
        only = o == 'o' ? optarg : only;
        bench |= o == 'b';
        usage |= o == '?';
    }
    if (usage || optind < argc || first < 0 || cases < 1 || cases > 1000000) {
        fprintf(stderr,
                "usage: checkkernels [--seed S] [--cases 1..1000000 | --case C] [--only FUNCTION]\n"
                "       checkkernels --bench [--only FUNCTION]\n");
        return 2;
    }
    return bench ? bench_kernels(only) : check_tables(seed, first, cases, only);
}
