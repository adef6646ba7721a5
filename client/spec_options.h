/* The keys of a job spec as options of a command line: --weights-bits 4 for weights.bits, --set and
 * --spec. A child of the argp of verbs that submit jobs. */
#ifndef NQ_CLIENT_SPEC_OPTIONS_H
#define NQ_CLIENT_SPEC_OPTIONS_H

#include <argp.h>

/* The child's input. */
typedef struct {
    const char *file; /* --spec, NULL without */
    /* What to do with the text of a key; it ends in argp_error() where that is wrong. */
    void (*set)(void *context, struct argp_state *state, const char *key, const char *text);
    void *context;
} nq_spec_options;

/* nq_common_children and the spec's options: the input of the latter is state->child_inputs[1]. */
const struct argp_child *nq_spec_children(void);

/* Splits "KEY=VALUE" and hands it to set(); `option` is for the sentence. */
void nq_spec_options_pair(const nq_spec_options *options, struct argp_state *state,
                          const char *option, const char *pair);

/* -1000..1000, or argp_error(). */
long long nq_priority_parse(struct argp_state *state, const char *text);

/* For a help filter: `list` of the presets and then `more`, malloc'd; `text` for other keys. */
char *nq_preset_help(int key, const char *text, const char *more);

#endif
