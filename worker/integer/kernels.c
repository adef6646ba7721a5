#include "worker/integer/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const nq_kernels nq_kernels_c;
#ifdef __x86_64__
/* Weak: a compiler without the instruction set may leave the file out. */
extern const nq_kernels nq_kernels_avx2 __attribute__((weak));
extern const nq_kernels nq_kernels_avxvnni __attribute__((weak));
extern const nq_kernels nq_kernels_avx512vnni __attribute__((weak));
extern const nq_kernels nq_kernels_amx __attribute__((weak));
#endif

/* The last one that the CPU supports is taken. */
static const nq_kernels *const tables[] = {
    &nq_kernels_c,
#ifdef __x86_64__
    &nq_kernels_avx2, &nq_kernels_avxvnni, &nq_kernels_avx512vnni, &nq_kernels_amx,
#endif
};
#define TABLES (sizeof tables / sizeof tables[0])

const nq_kernels *nq_kernels_at(size_t i)
{
    for (size_t t = 0; t < TABLES; t++)
        if (tables[t] && i-- == 0)
            return tables[t];
    return NULL;
}

const char *nq_kernels_name(const nq_kernels *kernels)
{
    return kernels->name;
}

bool nq_conv_fits(const nq_conv *op, int c, const int8_t *weight, size_t n)
{
    float most = fabsf(op->bias[c] * op->bias_factor[c]);
    for (size_t i = 0; i < n; i++)
        most += 255.0f * fabsf((float)weight[i]);
    return most * fabsf(op->multiplier[c]) < 0x1p30f;
}

static nq_status select_by_name(const char *name, const nq_kernels **kernels, nq_error *err)
{
    char known[256] = "";
    const nq_kernels *k;
    for (size_t i = 0; (k = nq_kernels_at(i)) != NULL; i++) {
        if (strcmp(k->name, name) == 0) {
            if (!k->supported())
                return nq_fail(err, NQ_ERR_INPUT,
                               "NETQ_CPU: this CPU cannot run \"%s\"; unset it to choose "
                               "automatically",
                               name);
            *kernels = k;
            return NQ_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", k->name);
    }
    return nq_fail(err, NQ_ERR_INPUT, "NETQ_CPU: \"%s\" is none of %s", name, known);
}

nq_status nq_kernels_select(const nq_kernels **kernels, nq_error *err)
{
    const char *forced = getenv("NETQ_CPU");
    if (forced && *forced)
        return select_by_name(forced, kernels, err);
    const nq_kernels *k;
    for (size_t i = 0; (k = nq_kernels_at(i)) != NULL; i++)
        if (k->supported())
            *kernels = k;
    return NQ_OK;
}
