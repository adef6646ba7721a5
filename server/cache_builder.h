/*
 * `netqctl cache build`: a worker, one at a time, that fills the crop cache of a dataset beside the
 * jobs and behind them in priority. It is not a job: nothing of it is remembered over a restart but
 * the crops that it has made.
 */
#ifndef NQ_SERVER_CACHE_BUILDER_H
#define NQ_SERVER_CACHE_BUILDER_H

#include "server/daemon.h"
#include <jansson.h>

nq_status nq_cache_builder_new(nq_daemon *daemon, nq_cache_builder **builder, nq_error *err);
/* Only when idle; its handles are closed by nq_cache_builder_close() before. */
void nq_cache_builder_free(nq_cache_builder *builder);

/* Begins. NQ_ERR_STATE where another dataset is being built; the same one is no error. */
nq_status nq_cache_builder_begin(nq_cache_builder *builder, const nq_config_dataset *dataset,
                                 nq_error *err);
/* Ends the building of this dataset (NULL: of any), if it is under way. */
void nq_cache_builder_cancel(nq_cache_builder *builder, const char *dataset);

/* {"dataset", "state": "running" | "done" | "failed", "progress", "message"} of the present or
 * latest one, null before the first. NULL: out of memory. */
json_t *nq_cache_builder_json(const nq_cache_builder *builder);

/* As nq_scheduler_stop() and its companions. */
void nq_cache_builder_stop(nq_cache_builder *builder, bool at_once);
bool nq_cache_builder_is_idle(const nq_cache_builder *builder);
void nq_cache_builder_close(nq_cache_builder *builder);

#endif
