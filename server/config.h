/* netqd.conf: what an administrator may choose, checked completely before anything starts. */
#ifndef NQ_SERVER_CONFIG_H
#define NQ_SERVER_CONFIG_H

#include "common/error.h"
#include "common/log.h"
#include "common/spec.h"
#include <stdbool.h>
#include <stddef.h>

#define NQ_CONFIG_BYTES (1u << 20) /* a longer configuration file is refused */

typedef struct {
    char *name;       /* what jobs call it */
    char *arch;       /* a name of common/arch.h; the config's default is `name` */
    char *checkpoint; /* absolute path of the float .pth */
    bool has_float_top1;
    double float_top1; /* expected float accuracy, per cent; overrides what is known of the file */
} nq_config_model;

typedef struct {
    char *name;
    char *path;   /* absolute path of the folder */
    char *labels; /* absolute path of a label file, or NULL: an ImageFolder */
    char *wnids;  /* absolute path of a class list, or NULL */
} nq_config_dataset;

typedef struct {
    char *file; /* where it was read from, for sentences */

    /* [daemon] */
    char *socket;
    char *socket_group; /* NULL: the daemon's own group */
    bool private;       /* socket mode 0600; allowed roots need not be readable by everybody */
    char *state;        /* folder of the queue and of the jobs */
    char *worker;       /* program; NULL until nq_config_complete() */
    int log_level;      /* an nq_log_level */
    int jobs;           /* that run at the same time */
    int threads;        /* of each job; 0 until nq_config_complete(): all CPUs */

    /* [limits] */
    long line_bytes, connections, queued_jobs;
    int attempts, job_seconds, stall_seconds, memory_mb, keep_days;
    char **roots; /* absolute paths */
    size_t root_count;
    int unreadable; /* an nq_unreadable: the default of jobs that do not say */

    /* [cache] */
    char *cache_directory; /* NULL until nq_config_complete() */
    long cache_limit_mb;   /* 0: crops are not kept */
    long cache_keep_free_mb;

    nq_config_model *models;
    size_t model_count;
    nq_config_dataset *datasets;
    size_t dataset_count;
} nq_config;

/*
 * Reads configuration text. `name` is for the sentences ("NAME:12: ..."), `base` the folder that
 * relative paths start from; "~/" is $HOME. Unknown sections and keys, values out of range and keys
 * given twice are NQ_ERR_INPUT naming the line. Keys not given have the defaults of
 * config/netqd.conf. Free with nq_config_free() in either case.
 */
nq_status nq_config_parse(const char *text, size_t size, const char *name, const char *base,
                          nq_config *config, nq_error *err);

/* Reads `path`; NULL: the first that exists of $NETQ_CONFIG (which must, when set),
 * ~/.config/netq/netqd.conf and /etc/netq/netqd.conf. */
nq_status nq_config_load(const char *path, nq_config *config, nq_error *err);

/* Fills what depends on the machine: socket and state from the environment, the worker beside this
 * program or on PATH, the number of CPUs. */
nq_status nq_config_complete(nq_config *config, nq_error *err);

/*
 * Checks the configuration against the machine. What makes the daemon unsafe or useless (roots that
 * not everybody can read, no worker) is returned as an error; of what only breaks some jobs (a
 * missing checkpoint or dataset) `complain` hears one sentence each. *complaints counts them.
 */
typedef void (*nq_config_complain)(void *context, const char *sentence);
nq_status nq_config_check(const nq_config *config, nq_config_complain complain, void *context,
                          int *complaints, nq_error *err);

const nq_config_model *nq_config_model_find(const nq_config *config, const char *name);
const nq_config_dataset *nq_config_dataset_find(const nq_config *config, const char *name);

void nq_config_free(nq_config *config);

#endif
