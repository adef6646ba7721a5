/*
 * What a worker says on descriptor 3: one JSON object a line. The worker has read a stranger's
 * files, so this is hostile input: lines are bounded, unknown keys ignored, garbage counted.
 */
#ifndef NQ_SERVER_PROGRESS_H
#define NQ_SERVER_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_PROGRESS_LINE  512 /* a longer line is garbage */
#define NQ_PROGRESS_STAGE 32

typedef struct {
    char stage[NQ_PROGRESS_STAGE]; /* "" until the first message */
    int64_t done, total;           /* total 0: not known */
    double rate;                   /* of `done` a second, 0 while unknown */
    double loss;                   /* of the stage; has_loss: whether it said one */
    bool has_loss;
    unsigned messages, garbage; /* lines taken, lines thrown away */

    /* Of the reader alone. */
    char line[NQ_PROGRESS_LINE];
    size_t used;
    bool too_long;        /* the rest of this line is thrown away */
    double stage_begun;   /* seconds; when the stage was first seen */
    int64_t stage_offset; /* `done` at that time */
} nq_progress_state;

/* Takes the next bytes; `now` in seconds on any steady clock. Returns the number of valid messages
 * among them. */
unsigned nq_progress_feed(nq_progress_state *state, const char *bytes, size_t size, double now);

/* {"stage","done","total","rate","eta_s","loss"}, JSON null before the first message. NULL: no
 * memory. */
json_t *nq_progress_to_json(const nq_progress_state *state);

#endif
