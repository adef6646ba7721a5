/* JOBDIR/result.json: how a worker says that its job has ended. Hostile input. */
#ifndef NQ_SERVER_RESULT_H
#define NQ_SERVER_RESULT_H

#include "server/store.h"

#define NQ_RESULT_BYTES (1u << 20)

/*
 * Checks the text completely: format, the job's number and fingerprint, types, ranges, artifact
 * names ([A-Za-z0-9._-], no leading dot, each once, at most NQ_ARTIFACTS_MOST). Fills `ending` as
 * done (summary and artifacts) or failed (reason), with attempts 1; NQ_ERR_INPUT otherwise. The
 * caller frees ending->artifacts in either case.
 */
nq_status nq_result_parse(const char *text, size_t size, int64_t job, const char *fingerprint,
                          nq_ending *ending, nq_error *err);

/* A name that may stand below out/ and in a request. */
bool nq_artifact_name_valid(const char *name);

#endif
