/*
 * LD_PRELOADed into netq-worker by test_blas_kernels.py: an OpenBLAS that knows no CPU's model.
 * Each time that it is asked it says so on standard error, so that starts can be counted.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *openblas_get_corename(void)
{
    const char *set = getenv("OPENBLAS_CORETYPE");
    dprintf(STDERR_FILENO, "asked: process %d, <%s>\n", (int)getpid(), set ? set : "not set");
    return "Prescott";
}
