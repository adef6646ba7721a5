/* A folder of its own for each test of a group: setup and teardown of
 * cmocka_unit_test_setup_teardown(). */
#ifndef NQ_SCRATCH_ROOT_H
#define NQ_SCRATCH_ROOT_H

#include "tests/unit/nq_test.h"

#include "common/file.h"

static char *root;

static int make_root(void **state)
{
    (void)state;
    root = nq_test_folder();
    return root ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    nq_error err = {0};
    int failed = nq_dir_remove(root, &err) != NQ_OK;
    free(root);
    return failed;
}

#endif
