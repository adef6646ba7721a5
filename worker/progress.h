/*
 * Progress of a job, and the seconds that each stage took. Under a daemon: one JSON object a line
 * on descriptor 3, written without blocking (what does not fit is dropped), at most a few a second.
 * By hand: a line on stderr when it is a terminal.
 */
#ifndef NQ_WORKER_PROGRESS_H
#define NQ_WORKER_PROGRESS_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>

#define NQ_PROGRESS_FD 3
#define NQ_STAGES      16

typedef struct {
    char name[24];
    double seconds;
} nq_stage_time;

typedef struct {
    bool piped, terminal;
    double last;  /* when the last line was written */
    double begun; /* of the current stage */
    double loss;  /* of the current stage; NAN where it has none */
    int stages;
    nq_stage_time stage[NQ_STAGES];
} nq_progress_report;

/* True when descriptor 3 is a pipe or socket: a daemon started us. */
bool nq_progress_has_daemon(void);

void nq_progress_open(nq_progress_report *report);
/* Ends the current stage, begins `name`. */
void nq_progress_stage(nq_progress_report *report, const char *name);
/* Ends the last stage. */
void nq_progress_close(nq_progress_report *report);
/* What a stage that goes down a loss has reached; told with its next progress. */
void nq_progress_loss(nq_progress_report *report, double loss);
/* An nq_progress: context is the report. Never fails. From one thread at a time. */
nq_status nq_progress_tell(void *report, const char *stage, size_t done, size_t total,
                           nq_error *err);

/* Seconds on the monotonic clock. */
double nq_now(void);

#endif
