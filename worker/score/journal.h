/*
 * The prediction journal: what was scored, so that a second start scores only what is missing.
 *
 * state/predictions: a header, then fixed-size records in the order in which images were done,
 * appended only. state/logits: row p holds the logits of position p. Both survive SIGKILL as the
 * kernel has them; a record whose checksum is wrong, or whose digest is not that of its row, is as
 * if it were not there.
 */
#ifndef NQ_SCORE_JOURNAL_H
#define NQ_SCORE_JOURNAL_H

#include "common/error.h"
#include "common/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NQ_DIGEST 16 /* bytes kept of a SHA-256 */

/* What became of one image. */
typedef struct {
    int32_t label; /* the predicted class; -1 where the image could not be read */
    bool top5;     /* the true class is among the first five */
    bool unreadable;
    bool done;                 /* book-keeping: the rest is valid */
    uint8_t image[NQ_DIGEST];  /* of the file's bytes */
    uint8_t logits[NQ_DIGEST]; /* of the row of logits */
} nq_verdict;

typedef struct nq_journal nq_journal;

/*
 * Opens or creates the journal in folder `state` for `count` positions with rows of `row_bytes`.
 * `subject` says what is scored (model, images, order): a journal of another subject is started
 * afresh. verdicts[count] receives what is already done.
 */
nq_status nq_journal_open(const char *state, const uint8_t subject[NQ_SHA256_BYTES], uint32_t count,
                          size_t row_bytes, nq_verdict *verdicts, nq_journal **journal,
                          nq_error *err);

#define NQ_JOURNAL_RUN 64 /* most positions that are added together */

/* Writes rows [n][row_bytes] and records of positions first .. first + n - 1: computes
 * verdicts[i].logits. From any thread. */
nq_status nq_journal_add(nq_journal *journal, uint32_t first, int n, nq_verdict *verdicts,
                         const void *rows, nq_error *err);

/* Reads the row of a done position back. */
nq_status nq_journal_row(nq_journal *journal, uint32_t position, void *row, nq_error *err);

/* Forces what was added to disk. */
nq_status nq_journal_sync(nq_journal *journal, nq_error *err);
void nq_journal_close(nq_journal *journal);

#endif
