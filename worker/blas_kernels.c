#include "worker/blas_kernels.h"

#include <cblas.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

/* What OpenBLAS falls back to. */
static const char *const narrow[] = {"Prescott", "Core2", "Generic", "Unknown"};

static const char *widest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "Haswell";
#endif
    return NULL;
}

const char *nq_blas_better_kernels(const char *chosen, const char *wider, const char *set_already)
{
    if (set_already)
        return NULL;
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        if (strcasecmp(chosen, narrow[i]) == 0)
            return wider;
    return NULL;
}

/* AT_EXECFN and not /proc/self/exe: that would be called "exe" in ps, and be ld.so where ld.so was
 * told to load the program. */
void nq_blas_choose_kernels(char **arguments)
{
    const char *better =
        nq_blas_better_kernels(openblas_get_corename(), widest(), getenv("OPENBLAS_CORETYPE"));
    if (better && setenv("OPENBLAS_CORETYPE", better, 0) == 0)
        execv((const char *)getauxval(AT_EXECFN), arguments);
}
