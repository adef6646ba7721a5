/* The command line of `netqctl submit`. */
#ifndef NQ_CLIENT_SUBMIT_OPTIONS_H
#define NQ_CLIENT_SUBMIT_OPTIONS_H

#include "client/client.h"
#include "client/spec_options.h"

typedef struct {
    nq_verb_input base;
    nq_spec_options options;
    json_t *flags;  /* what the flags set, as a spec */
    json_t *models; /* array: each --model */
    bool wait, parsable, dry_run, hold;
    long long priority;
    const char *token;
} nq_submit_input;

/* Fills input, which begins zeroed but for base.client; exits on --help and wrong usage. The caller
 * frees it with nq_submit_free(). */
nq_status nq_submit_parse(int argc, char **argv, nq_submit_input *input, nq_error *err);
void nq_submit_free(nq_submit_input *input);

#endif
