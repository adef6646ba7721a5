/* What jobs do, as they do it: bars on a terminal, plain lines elsewhere. */
#ifndef NQ_CLIENT_PROGRESS_H
#define NQ_CLIENT_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct nq_progress nq_progress;

/*
 * On a terminal (`live`): a bar for the present stage of each running job at the bottom, rewritten
 * in place and never wider than `width`; a finished stage stays as a line above. Elsewhere a line
 * for each stage, each tenth of a stage that takes longer than ten seconds, and each end. NULL when
 * out of memory: the functions below then do nothing.
 */
nq_progress *nq_progress_new(FILE *out, bool live, bool coloured, int width);

/* The same, as the stream's terminal allows. */
nq_progress *nq_progress_for(FILE *out);

/* Shows a job object; what it says already is not said again. */
void nq_progress_show(nq_progress *progress, const json_t *job);

/* A line of its own above the bars. */
void nq_progress_say(nq_progress *progress, const char *sentence);

/* Takes the bars off the screen and frees progress. */
void nq_progress_end(nq_progress *progress);

#endif
