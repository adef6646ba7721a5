/* The verbs of netqctl: each takes its command line and returns the exit code. */
#ifndef NQ_CLIENT_VERBS_H
#define NQ_CLIENT_VERBS_H

#include "client/client.h"

int nq_verb_cache(nq_client *client, int argc, char **argv);
int nq_verb_cancel(nq_client *client, int argc, char **argv);
int nq_verb_datasets(nq_client *client, int argc, char **argv);
int nq_verb_diff(nq_client *client, int argc, char **argv);
int nq_verb_explain(nq_client *client, int argc, char **argv);
int nq_verb_get(nq_client *client, int argc, char **argv);
int nq_verb_hold(nq_client *client, int argc, char **argv);
int nq_verb_leaderboard(nq_client *client, int argc, char **argv);
int nq_verb_list(nq_client *client, int argc, char **argv);
int nq_verb_logs(nq_client *client, int argc, char **argv);
int nq_verb_models(nq_client *client, int argc, char **argv);
int nq_verb_release(nq_client *client, int argc, char **argv);
int nq_verb_spec(nq_client *client, int argc, char **argv);
int nq_verb_status(nq_client *client, int argc, char **argv);
int nq_verb_submit(nq_client *client, int argc, char **argv);
int nq_verb_sweep(nq_client *client, int argc, char **argv);
int nq_verb_wait(nq_client *client, int argc, char **argv);
int nq_verb_watch(nq_client *client, int argc, char **argv);

#endif
