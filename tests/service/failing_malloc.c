/*
 * LD_PRELOADed into netqd by long_memory.py: one of $FAIL_PERIOD allocations that the daemon
 * itself, jansson or SQLite ask for fails, chosen by $FAIL_SEED; the first 3,000 succeed, so that
 * it starts. libuv's own are left alone: it aborts on some of them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPARED 3000

static __thread int inside;
static unsigned long count, period, seed;

static unsigned long setting(const char *name)
{
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 10) : 0;
}

static int fails(const void *caller)
{
    Dl_info from;
    int failed = 0;
    if (inside)
        return 0;
    inside = 1;
    if (!period) {
        period = setting("FAIL_PERIOD");
        seed = setting("FAIL_SEED");
    }
    if (period > 1 && dladdr(caller, &from) && from.dli_fname &&
        (strstr(from.dli_fname, "netqd") || strstr(from.dli_fname, "jansson") ||
         strstr(from.dli_fname, "sqlite"))) {
        unsigned long n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
        failed = n > SPARED && ((unsigned)(n * 2654435761u + seed * 40503u) >> 7) % period == 0;
    }
    inside = 0;
    if (failed)
        errno = ENOMEM;
    return failed;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
