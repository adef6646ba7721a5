#ifndef NQ_COMMON_VERSION_H
#define NQ_COMMON_VERSION_H

/* The release, and the formats that other programs read. A format's number changes with its
 * meaning. */
#define NQ_VERSION          "0.1.0"
#define NQ_PROTOCOL_VERSION 1
#define NQ_MODEL_FORMAT     1 /* model.safetensors */
#define NQ_JOB_FORMAT       1 /* job.json, result.json, metrics.json */
#define NQ_JOURNAL_FORMAT   1 /* state/predictions */

#endif
