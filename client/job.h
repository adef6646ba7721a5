/* Job objects of the protocol, as people see them. */
#ifndef NQ_CLIENT_JOB_H
#define NQ_CLIENT_JOB_H

#include "client/client.h"
#include "client/format.h"

/* Whether its state is done, failed or cancelled. */
bool nq_job_ended(const json_t *job);

/* The exit code that its state means: NQ_EXIT_DONE, _FAILED or _CANCELLED. */
int nq_job_exit(const json_t *job);

/* "score 120/634 (19 %), 210.5/s, 0:02 left"; "" without progress. */
#define NQ_LONG_TEXT 384
void nq_job_progress(const json_t *job, char text[NQ_LONG_TEXT]);

/* "120/634", and the time left of the stage; "" where unknown. */
void nq_job_count(const json_t *job, char text[NQ_TEXT]);
void nq_job_left(const json_t *job, char text[NQ_TEXT]);

/* "top-1 67.98 %, top-5 93.38 %, ratio 75.02 %, 12 s" of a done job; "" of one that runs; the
 * reason of others. */
void nq_job_outcome(const json_t *job, char text[NQ_LONG_TEXT]);

/* One job in detail, a line a fact. */
void nq_job_print(const json_t *job, FILE *out);

/*
 * All jobs that `filter` (members of the protocol's `list`, borrowed) selects, page by page, oldest
 * first; at most `most`. The caller owns *jobs (an array) and *counts (an object; NULL: not
 * wanted).
 */
nq_status nq_jobs_list(nq_client *client, const json_t *filter, long long most, json_t **jobs,
                       json_t **counts, nq_error *err);

/* {"jobs": jobs, "counts": counts}; counts may be NULL. Both stay the caller's. */
void nq_jobs_print_json(nq_client *client, json_t *jobs, json_t *counts);

/* The object of one job. The caller owns *job. */
nq_status nq_job_fetch(nq_client *client, long long id, json_t **job, nq_error *err);

#endif
