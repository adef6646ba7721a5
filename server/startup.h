/* Before the daemon serves anybody: its folder, its lock, its queue, and what an end without
 * goodbye left behind. */
#ifndef NQ_SERVER_STARTUP_H
#define NQ_SERVER_STARTUP_H

#include "server/config.h"
#include "server/store.h"

#define NQ_SHARED_IMAGES "calibration" /* below STATE: worker/shared_images.h */

/*
 * Makes STATE and STATE/jobs, takes the lock (NQ_ERR_STATE where another daemon holds it), opens
 * and migrates STATE/queue.db, reconciles every job that ran when the last daemon ended, and
 * removes job folders that have no row, and calibration images of no job. The lock is held until
 * the process ends: *lock_fd is only for tests.
 */
nq_status nq_startup(const nq_config *config, nq_store **store, int *lock_fd, nq_error *err);

/* The two last steps alone. */
nq_status nq_startup_reconcile(const nq_config *config, nq_store *store, nq_error *err);
nq_status nq_startup_sweep(const nq_config *config, nq_store *store, nq_error *err);

/* Removes the shared calibration images that no job's artifact is a link to any more. */
void nq_shared_images_sweep(const nq_config *config);

#endif
