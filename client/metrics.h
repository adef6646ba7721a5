/* What metrics.json says of a job (docs/job-directory.md). */
#ifndef NQ_CLIENT_METRICS_H
#define NQ_CLIENT_METRICS_H

#include "client/client.h"

/* metrics.json of a done job, whole and checked against its sha256. The caller owns *metrics, an
 * object. */
nq_status nq_metrics_fetch(nq_client *client, long long job, json_t **metrics, nq_error *err);

#endif
