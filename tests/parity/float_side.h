/* What the tools that run the float network share: a folded graph and .npy samples. */
#ifndef NQ_FLOAT_SIDE_H
#define NQ_FLOAT_SIDE_H

#include "common/file.h"
#include "common/pool.h"
#include "worker/calibrate/samples.h"
#include "worker/float/float_net.h"
#include "worker/model/checkpoint.h"
#include "worker/model/graph.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 8

typedef struct {
    nq_graph graph;
    nq_float_net *net;
    nq_samples *samples;
    nq_pool *pool;
} float_side;

static inline nq_status load_graph(const char *arch, const char *path, nq_graph *graph,
                                   nq_error *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    nq_checkpoint checkpoint = {0};
    nq_status status = nq_file_read(path, (size_t)1 << 31, &data, &size, err);
    if (status == NQ_OK)
        status = nq_checkpoint_parse(data, size, path, &checkpoint, err);
    if (status == NQ_OK)
        status = nq_graph_load(arch, &checkpoint, graph, err);
    if (status == NQ_OK)
        status = nq_graph_fold(graph, err);
    nq_checkpoint_free(&checkpoint);
    free(data);
    return status;
}

/* All samples of the .npy file NAME in folder ROOT. */
static inline nq_status open_samples(const char *path, nq_samples **samples, nq_error *err)
{
    const char *slash = strrchr(path, '/');
    char *root = slash ? strndup(path, (size_t)(slash - path + 1)) : strdup(".");
    nq_spec *spec = calloc(1, sizeof *spec);
    nq_status status = root && spec ? NQ_OK : nq_fail_nomem(err, "a path", strlen(path));
    if (status == NQ_OK) {
        const char *name = slash ? slash + 1 : path;
        spec->calibrate.source = NQ_CALIBRATE_FILE;
        snprintf(spec->calibrate.file, sizeof spec->calibrate.file, "%s", name);
        status = nq_samples_open(spec, root, name, samples, err);
    }
    free(root);
    free(spec);
    return status;
}

/* arguments: ARCH CHECKPOINT SAMPLES.npy THREADS */
static inline nq_status float_side_open(char **arguments, float_side *side, nq_error *err)
{
    int threads = atoi(arguments[3]);
    nq_status status = load_graph(arguments[0], arguments[1], &side->graph, err);
    if (status == NQ_OK)
        status = open_samples(arguments[2], &side->samples, err);
    if (status == NQ_OK)
        status = nq_float_net_create(&side->graph, BATCH, &side->net, err);
    if (status == NQ_OK)
        status = nq_pool_create(threads > 0 ? threads : 1, &side->pool, err);
    return status;
}

static inline void float_side_close(float_side *side)
{
    nq_pool_free(side->pool);
    nq_float_net_free(side->net);
    nq_samples_free(side->samples);
    nq_graph_free(&side->graph);
}

/* main() of a tool: ARCH CHECKPOINT `samples` THREADS on the command line, dump() in between. */
static inline int float_side_main(int argc, char **argv, const char *samples,
                                  nq_status (*dump)(float_side *side, nq_error *err))
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s ARCH CHECKPOINT %s THREADS\n", program_invocation_short_name,
                samples);
        return 2;
    }
    nq_error err = {0};
    float_side side = {0};
    nq_status status = float_side_open(argv + 1, &side, &err);
    if (status == NQ_OK)
        status = dump(&side, &err);
    float_side_close(&side);
    if (status != NQ_OK)
        fprintf(stderr, "%s\n", err.text);
    return status == NQ_OK ? 0 : 1;
}

#endif
