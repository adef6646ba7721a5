/* What cmocka wants included before it, and the few helpers that every unit test uses. */
#ifndef NQ_TEST_H
#define NQ_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"

/* Fails with the sentence where a call that should succeed did not. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if ((call) != NQ_OK)                                                                       \
            fail_msg("%s: %s", #call, (err)->text);                                                \
    } while (0)

/* The call must fail with this status and a sentence that has `words` in it. */
#define assert_refused(call, want, err, words)                                                     \
    do {                                                                                           \
        nq_status got_ = (call);                                                                   \
        if (got_ != (want) || !strstr((err)->text, (words)))                                       \
            fail_msg("%s: status %s, sentence: %s (wanted: %s)", #call, nq_status_name(got_),      \
                     (err)->text, (words));                                                        \
    } while (0)

/* A file below the source tree: NQ_SOURCE("tests/data/x"). Static buffer, one use at a time. */
static inline const char *nq_test_path(const char *relative)
{
    static char path[4096];
    const char *root = getenv("NETQ_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", relative);
    return path;
}

/* A new folder under $TMPDIR or /tmp; the caller removes it with nq_dir_remove() and frees the
 * name. */
static inline char *nq_test_folder(void)
{
    const char *base = getenv("TMPDIR");
    char name[4096];
    snprintf(name, sizeof name, "%s/netq-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(name) ? strdup(name) : NULL;
}

/* The folder of real weights and images, or NULL; a test that needs it then skips by name. */
static inline const char *nq_test_shared(void)
{
    const char *shared = getenv("NETQ_SHARED");
    return shared && *shared ? shared : NULL;
}

#endif
