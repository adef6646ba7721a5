/*
 * rate NETWORK [CROPS]: answers measurements that a script asks for, one a line on stdin, so that
 * it can let several programs take turns.
 *
 *   engine THREADS SECONDS    images a second of the whole network, crops in, logits out
 *   own THREADS SECONDS       the same by the threads' own time, which other processes on the
 *                             cores do not lengthen
 *   multiply THREADS SECONDS  GMAC/s of the best bare integer loop
 *   labels                    the first maximal class of each crop
 *
 * Each answer is a line of JSON, {"rate":} or {"labels":[]}. The threads are pinned. CROPS: a file
 * of u8 [n][224][224][3]; without it one grey crop. Before the first answer comes a line
 * {"kernels":, "available":[]}.
 */
#include "bench/measure.h"
#include "bench/multiply.h"
#include "bench/network.h"
#include "common/file.h"
#include "worker/imagenet/crop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_AT_MOST = 64 };

typedef struct {
    nq_qmodel model;
    nq_plan *plan;
    nq_engine *engines[THREADS_AT_MOST];
    nq_pool *pools[THREADS_AT_MOST + 1]; /* by number of threads */
    const nq_multiply *loop;
    uint8_t *crops, *logits; /* logits: one batch a thread */
    size_t count;
} server;

static double run_engine(const server *s, int thread, double (*clock)(void), double seconds)
{
    size_t batch = (size_t)nq_plan_batch(s->plan), at = (size_t)thread % s->count, images = 0;
    uint8_t *logits = s->logits + (size_t)thread * batch * (size_t)nq_plan_classes(s->plan);
    double began = clock(), now = began;
    while (images == 0 || now - began < seconds) {
        size_t n = s->count - at < batch ? s->count - at : batch;
        nq_engine_run(s->engines[thread], s->crops + at * NQ_CROP_BYTES, (int)n, logits);
        images += n;
        at = (at + n) % s->count;
        now = clock();
    }
    return (double)images / (now - began);
}

static double run_wall(void *context, int thread, double seconds)
{
    return run_engine(context, thread, nq_bench_seconds, seconds);
}

static double run_own(void *context, int thread, double seconds)
{
    return run_engine(context, thread, nq_bench_thread_seconds, seconds);
}

static double run_multiply(void *context, int thread, double seconds)
{
    (void)thread;
    const server *s = context;
    return s->loop ? nq_multiply_rate(s->loop, nq_bench_seconds, seconds) : 0;
}

/* The pool, and an engine for each of its threads. */
static nq_status ready(server *s, int threads, nq_error *err)
{
    nq_status status = NQ_OK;
    for (int t = 0; t < threads && status == NQ_OK; t++)
        if (!s->engines[t])
            status = nq_engine_create(s->plan, &s->engines[t], err);
    if (status == NQ_OK && !s->pools[threads])
        status = nq_pool_create(threads, &s->pools[threads], err);
    return status;
}

static nq_status read_crops(server *s, const char *path, nq_error *err)
{
    size_t size = NQ_CROP_BYTES;
    nq_status status = NQ_OK;
    if (path) {
        status = nq_file_read(path, (size_t)1 << 30, &s->crops, &size, err);
    } else if ((s->crops = malloc(size)) != NULL) {
        memset(s->crops, 128, size);
    } else {
        status = nq_fail_nomem(err, "a crop", size);
    }
    s->count = size / NQ_CROP_BYTES;
    if (status == NQ_OK && (s->count == 0 || size % NQ_CROP_BYTES))
        status =
            nq_fail(err, NQ_ERR_INPUT, "%s: %zu bytes are no whole number of crops", path, size);
    return status;
}

/* Which kernels work here, and which others this CPU could run. */
static void greet(const nq_kernels *chosen)
{
    const nq_kernels *k;
    printf("{\"kernels\": \"%s\", \"available\": [", nq_kernels_name(chosen));
    for (size_t i = 0, n = 0; (k = nq_kernels_at(i)) != NULL; i++)
        if (k->supported())
            printf("%s\"%s\"", n++ ? ", " : "", nq_kernels_name(k));
    printf("]}\n");
    fflush(stdout);
}

static nq_status open_server(server *s, const char *network, const char *crops, nq_error *err)
{
    const nq_kernels *kernels;
    nq_status status = nq_bench_network(network, &s->model, err);
    if (status == NQ_OK)
        status = nq_kernels_select(&kernels, err);
    if (status == NQ_OK)
        status = nq_plan_create(&s->model, kernels, &s->plan, err);
    if (status == NQ_OK)
        status = read_crops(s, crops, err);
    if (status != NQ_OK)
        return status;
    size_t bytes = (size_t)nq_plan_batch(s->plan) * (size_t)nq_plan_classes(s->plan);
    s->logits = malloc(THREADS_AT_MOST * bytes);
    s->loop = nq_multiply_best();
    greet(kernels);
    return s->logits ? NQ_OK : nq_fail_nomem(err, "logits", THREADS_AT_MOST * bytes);
}

static void close_server(server *s)
{
    for (int t = 0; t <= THREADS_AT_MOST; t++)
        nq_pool_free(s->pools[t]);
    for (int t = 0; t < THREADS_AT_MOST; t++)
        nq_engine_free(s->engines[t]);
    nq_plan_free(s->plan);
    nq_qmodel_free(&s->model);
    free(s->crops);
    free(s->logits);
}

static nq_status answer_labels(server *s, nq_error *err)
{
    nq_status status = ready(s, 1, err);
    for (size_t i = 0; i < s->count && status == NQ_OK; i++) {
        int best = 0;
        nq_engine_run(s->engines[0], s->crops + i * NQ_CROP_BYTES, 1, s->logits);
        for (int c = 1; c < nq_plan_classes(s->plan); c++)
            if (s->logits[c] > s->logits[best])
                best = c;
        printf("%s%d", i ? ", " : "{\"labels\": [", best);
    }
    printf("]}\n");
    fflush(stdout);
    return status;
}

static nq_status answer(server *s, const char *line, nq_error *err)
{
    static const struct {
        const char *name;
        nq_bench_work work;
    } measurements[] = {{"engine", run_wall}, {"own", run_own}, {"multiply", run_multiply}};
    char what[16];
    int threads;
    double seconds;
    nq_bench_work work = NULL;
    if (strcmp(line, "labels") == 0)
        return answer_labels(s, err);
    if (sscanf(line, "%15s %d %lf", what, &threads, &seconds) == 3 && threads >= 1 &&
        threads <= THREADS_AT_MOST)
        for (size_t i = 0; i < sizeof measurements / sizeof *measurements; i++)
            if (strcmp(what, measurements[i].name) == 0)
                work = measurements[i].work;
    if (!work)
        return nq_fail(err, NQ_ERR_INPUT, "\"%s\" is no measurement", line);
    nq_status status = ready(s, threads, err);
    if (status != NQ_OK)
        return status;
    printf("{\"rate\": %.9g}\n", nq_bench_together(s->pools[threads], work, s, seconds));
    fflush(stdout);
    return NQ_OK;
}

int main(int argc, char **argv)
{
    static server s;
    nq_error err = {0};
    char line[128];
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: rate NETWORK [CROPS]\n");
        return 2;
    }
    nq_status status = open_server(&s, argv[1], argc > 2 ? argv[2] : NULL, &err);
    while (status == NQ_OK && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        status = answer(&s, line, &err);
    }
    if (status != NQ_OK)
        fprintf(stderr, "rate: %s\n", err.text);
    close_server(&s);
    return status == NQ_OK ? 0 : 1;
}
