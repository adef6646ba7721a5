/*
 * plans NETWORK MACHINE...: how long an image takes under the plans of different machines (see
 * nq_machine: near,far,far_rate,away_rate,call_cycles,batch; "usual" is the engine's own). The
 * plans take turns, each over the same 28 images; their results are compared. Of the calling
 * thread's time: the least, the first quartile and the median over the rounds.
 */
#include "bench/measure.h"
#include "bench/network.h"
#include "worker/imagenet/crop.h"
#include "worker/integer/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 28, ROUNDS = 101, PLANS_AT_MOST = 16 };

typedef struct {
    const char *name;
    nq_plan *plan;
    nq_engine *engine;
    uint8_t *logits;
    double microseconds[ROUNDS];
} contender;

static nq_status parse_machine(const char *text, nq_machine *m, nq_error *err)
{
    *m = nq_usual_machine;
    if (strcmp(text, "usual") == 0)
        return NQ_OK;
    if (sscanf(text, "%zu,%zu,%lf,%lf,%lf,%d", &m->near_bytes, &m->far_bytes, &m->far_rate,
               &m->away_rate, &m->call_cycles, &m->batch) != 6 ||
        m->batch < 1 || m->batch > IMAGES)
        return nq_fail(err, NQ_ERR_INPUT, "\"%s\" is no machine", text);
    return NQ_OK;
}

static nq_status prepare(const nq_qmodel *model, const nq_kernels *kernels, const char *text,
                         contender *c, nq_error *err)
{
    nq_machine machine;
    c->name = text;
    nq_status status = parse_machine(text, &machine, err);
    if (status == NQ_OK)
        status = nq_plan_create_for(model, kernels, &machine, &c->plan, err);
    if (status == NQ_OK)
        status = nq_engine_create(c->plan, &c->engine, err);
    if (status != NQ_OK)
        return status;
    size_t bytes = IMAGES * (size_t)nq_plan_classes(c->plan);
    c->logits = malloc(bytes);
    return c->logits ? NQ_OK : nq_fail_nomem(err, "logits", bytes);
}

static double run(const contender *c, const uint8_t *crops)
{
    int batch = nq_plan_batch(c->plan);
    double began = nq_bench_thread_seconds();
    for (int i = 0; i < IMAGES; i += batch)
        nq_engine_run(c->engine, crops + (size_t)i * NQ_CROP_BYTES,
                      IMAGES - i < batch ? IMAGES - i : batch,
                      c->logits + (size_t)i * (size_t)nq_plan_classes(c->plan));
    return (nq_bench_thread_seconds() - began) * 1e6 / IMAGES;
}

static void compare(const nq_kernels *kernels, contender *c, int count, const uint8_t *crops)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++)
            c[i].microseconds[round] = run(&c[i], crops);
    printf("%-34s %8s %8s %8s %6s %9s %s\n", nq_kernels_name(kernels), "least", "quartile",
           "median", "units", "arena/KB", "same logits");
    size_t bytes = IMAGES * (size_t)nq_plan_classes(c[0].plan);
    for (int i = 0; i < count; i++)
        printf("%-34s %8.1f %8.1f %8.1f %6d %9zu %s\n", c[i].name,
               nq_bench_quantile(c[i].microseconds, ROUNDS, 0),
               nq_bench_quantile(c[i].microseconds, ROUNDS, 0.25),
               nq_bench_quantile(c[i].microseconds, ROUNDS, 0.5), c[i].plan->unit_count,
               nq_plan_arena_bytes(c[i].plan) / 1024,
               memcmp(c[i].logits, c[0].logits, bytes) == 0 ? "yes" : "NO");
}

int main(int argc, char **argv)
{
    contender contenders[PLANS_AT_MOST] = {{0}};
    nq_qmodel model = {0};
    const nq_kernels *kernels = NULL;
    nq_error err = {0};
    int count = argc - 2;
    uint8_t *crops = malloc(IMAGES * NQ_CROP_BYTES);
    if (count < 1 || count > PLANS_AT_MOST || !crops) {
        fprintf(stderr, "usage: plans NETWORK MACHINE...\n");
        free(crops);
        return 2;
    }
    for (size_t i = 0; i < IMAGES * NQ_CROP_BYTES; i++)
        crops[i] = (uint8_t)(i * 2654435761u >> 24);
    nq_bench_pin();
    nq_status status = nq_bench_network(argv[1], &model, &err);
    if (status == NQ_OK)
        status = nq_kernels_select(&kernels, &err);
    for (int i = 0; i < count && status == NQ_OK; i++)
        status = prepare(&model, kernels, argv[2 + i], &contenders[i], &err);
    if (status == NQ_OK)
        compare(kernels, contenders, count, crops);
    else
        fprintf(stderr, "plans: %s\n", err.text);
    for (int i = 0; i < count; i++) {
        nq_engine_free(contenders[i].engine);
        nq_plan_free(contenders[i].plan);
        free(contenders[i].logits);
    }
    nq_qmodel_free(&model);
    free(crops);
    return status == NQ_OK ? 0 : 1;
}
