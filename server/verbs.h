/* The protocol's operations. A verb is one function here and one line of the table in verbs.c. */
#ifndef NQ_SERVER_VERBS_H
#define NQ_SERVER_VERBS_H

#include "server/connection.h"

/* Runs the verb of a parsed request; it replies in its own time. */
void nq_verb_run(nq_call *call);

/* Gives the call a zeroed state of its own, freed by free_state (NULL: free). NULL: out of memory,
 * and the call was answered. */
void *nq_call_make_state(nq_call *call, size_t size, void (*free_state)(void *state));
/* The job or group that the request names. */
nq_selection nq_call_selection(const nq_call *call);
/* {key: [ids]}. NULL: out of memory. */
json_t *nq_ids_json(const char *key, const nq_id_list *ids);

void nq_verb_submit(nq_call *call); /* verb_submit.c */
void nq_verb_status(nq_call *call); /* verbs_look.c */
void nq_verb_list(nq_call *call);
void nq_verb_models(nq_call *call);
void nq_verb_change(nq_call *call); /* verbs.c: cancel, hold, release */
void nq_verb_get(nq_call *call);    /* verbs_get.c */
void nq_verb_logs(nq_call *call);
void nq_verb_datasets(nq_call *call);    /* verb_datasets.c */
void nq_verb_leaderboard(nq_call *call); /* verb_leaderboard.c */
void nq_verb_diff(nq_call *call);        /* verb_diff.c */
void nq_verb_cache(nq_call *call);       /* verbs_cache.c */
void nq_verb_cache_build(nq_call *call);
void nq_verb_cache_drop(nq_call *call);

#endif
