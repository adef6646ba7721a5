/*
 * layers NETWORK [PAIRS]: the convolutions and linear layers of a network in the engine and in
 * oneDNN, one thread, in one process on one core, in turns: PAIRS times (25) a slice of each, the
 * order changing from pair to pair, each with the ceilings measured beside it. NETWORK is a
 * model.safetensors or an architecture. NETQ_CPU chooses the engine's kernels, ONEDNN_MAX_CPU_ISA
 * oneDNN's; PAIRS 0 leaves oneDNN out. JSON on stdout, times in ms an image (of the thread, so that
 * another process on the core does not count; by class: the sum of each layer's shortest):
 *
 *   {"arch":, "kernels":, "macs":, "engine":{spread}, "onednn":{spread}, "ratio":{spread},
 *    "batch":{"engine":, "onednn":}, "isa":, "onednn_version":, "whole":{spread},
 *    "ceilings":{NAME: GMAC/s}, "classes":[{"class":, "layers":, "macs":, "engine":, "onednn":}]}
 */
#include "bench/measure.h"
#include "bench/multiply.h"
#include "bench/network.h"
#include "bench/onednn_chain.h"
#include "worker/imagenet/crop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_AT_MOST = 1000, LOOPS = 16, PASSES = 4 };
#define SLICE         0.05 /* seconds */
#define CEILING_SLICE 0.004
#define SECONDS_ALONE 8 /* that slow kernels may take */

typedef struct {
    nq_qmodel model;
    nq_plan *plan;
    nq_engine *engine;
    const nq_kernels *kernels;
    nq_onednn_chain *chain;        /* NULL: not asked */
    bool *layers;                  /* [nodes]: which have weights */
    uint64_t *nanoseconds;         /* [nodes] of the pass that runs */
    double *engine_ms, *onednn_ms; /* [nodes] the shortest of all passes, an image */
    uint8_t *crops, *logits;
    int batch;
} bench;

typedef struct {
    double engine[PAIRS_AT_MOST], onednn[PAIRS_AT_MOST], ratio[PAIRS_AT_MOST], whole[PAIRS_AT_MOST];
    double ceiling[LOOPS][PAIRS_AT_MOST];
} samples;

static nq_status prepare(bench *b, const char *network, nq_error *err)
{
    nq_status status = nq_bench_network(network, &b->model, err);
    if (status == NQ_OK)
        status = nq_kernels_select(&b->kernels, err);
    if (status == NQ_OK)
        status = nq_plan_create(&b->model, b->kernels, &b->plan, err);
    if (status == NQ_OK)
        status = nq_engine_create(b->plan, &b->engine, err);
    if (status != NQ_OK)
        return status;
    size_t count = (size_t)b->model.graph.count;
    b->batch = nq_plan_batch(b->plan);
    size_t bytes = (size_t)b->batch * NQ_CROP_BYTES;
    b->layers = calloc(count, sizeof *b->layers);
    b->nanoseconds = calloc(count, sizeof *b->nanoseconds);
    b->engine_ms = calloc(count, sizeof *b->engine_ms);
    b->onednn_ms = calloc(count, sizeof *b->onednn_ms);
    b->crops = malloc(bytes);
    b->logits = malloc((size_t)b->batch * (size_t)nq_plan_classes(b->plan));
    if (!b->layers || !b->nanoseconds || !b->engine_ms || !b->onednn_ms || !b->crops || !b->logits)
        return nq_fail_nomem(err, "a measurement", bytes);
    for (size_t i = 0; i < count; i++)
        b->layers[i] = nq_node_has_weight(&b->model.graph.nodes[i]);
    for (size_t i = 0; i < bytes; i++)
        b->crops[i] = (uint8_t)(i * 2654435761u >> 13);
    return NQ_OK;
}

static void free_bench(bench *b)
{
    nq_onednn_chain_free(b->chain);
    nq_engine_free(b->engine);
    nq_plan_free(b->plan);
    nq_qmodel_free(&b->model);
    free(b->layers);
    free(b->nanoseconds);
    free(b->engine_ms);
    free(b->onednn_ms);
    free(b->crops);
    free(b->logits);
}

/* ms an image over a slice; `nodes` NULL: the whole network. */
static double time_engine(bench *b, const bool *nodes, uint64_t *nanoseconds, double slice)
{
    nq_engine_set_probe(b->engine, (nq_engine_probe){nodes, nanoseconds});
    double began = nq_bench_thread_seconds(), now = began;
    int images = 0;
    while (images == 0 || now - began < slice) {
        nq_engine_run(b->engine, b->crops, b->batch, b->logits);
        images += b->batch;
        now = nq_bench_thread_seconds();
    }
    return (now - began) * 1e3 / images;
}

static nq_status time_chain(nq_onednn_chain *chain, uint64_t *nanoseconds, double slice, double *ms,
                            nq_error *err)
{
    double began = nq_bench_thread_seconds(), now = began;
    int images = 0;
    while (images == 0 || now - began < slice) {
        nq_status status = nq_onednn_chain_run(chain, nanoseconds, err);
        if (status != NQ_OK)
            return status;
        images += nq_onednn_chain_batch(chain);
        now = nq_bench_thread_seconds();
    }
    *ms = (now - began) * 1e3 / images;
    return NQ_OK;
}

/* Keeps the chain of the batch that is fastest: the best of five slices of each, in turns. */
static nq_status choose_chain(bench *b, nq_error *err)
{
    static const int batches[] = {1, 2, 4, 8, 16};
    enum { BATCHES = sizeof batches / sizeof *batches, TRIES = 5 };
    nq_onednn_chain *chains[BATCHES] = {NULL};
    double best[BATCHES], ms;
    int chosen = 0;
    nq_status status = NQ_OK;
    for (int i = 0; i < BATCHES && status == NQ_OK; i++)
        status = nq_onednn_chain_create(&b->model.graph, batches[i], &chains[i], err);
    for (int t = 0; t < TRIES && status == NQ_OK; t++)
        for (int i = 0; i < BATCHES && status == NQ_OK; i++) {
            status = time_chain(chains[i], NULL, SLICE, &ms, err);
            if (t == 0 || ms < best[i])
                best[i] = ms;
        }
    for (int i = 1; i < BATCHES && status == NQ_OK; i++)
        if (best[i] < best[chosen])
            chosen = i;
    for (int i = 0; i < BATCHES; i++)
        if (i == chosen && status == NQ_OK)
            b->chain = chains[i];
        else
            nq_onednn_chain_free(chains[i]);
    return status;
}

/* Keeps each node's shortest time of a pass: short enough that hardly anything interrupts it. */
static void keep_shortest(const bench *b, int images, double *shortest)
{
    for (int i = 0; i < b->model.graph.count; i++) {
        double ms = (double)b->nanoseconds[i] * 1e-6 / images;
        if (shortest[i] == 0 || ms < shortest[i])
            shortest[i] = ms;
        b->nanoseconds[i] = 0;
    }
}

static nq_status measure_nodes(bench *b, nq_error *err)
{
    nq_status status = NQ_OK;
    nq_engine_set_probe(b->engine, (nq_engine_probe){NULL, b->nanoseconds});
    for (int pass = 0; pass < PASSES && status == NQ_OK; pass++) {
        nq_engine_run(b->engine, b->crops, b->batch, b->logits);
        keep_shortest(b, b->batch, b->engine_ms);
        if (!b->chain)
            continue;
        status = nq_onednn_chain_run(b->chain, b->nanoseconds, err);
        keep_shortest(b, nq_onednn_chain_batch(b->chain), b->onednn_ms);
    }
    return status;
}

static nq_status measure_pair(bench *b, samples *s, int pair, nq_error *err)
{
    const nq_multiply *loop;
    nq_status status = NQ_OK;
    for (int i = 0; (loop = nq_multiply_at((size_t)i)) != NULL && i < LOOPS; i++)
        if (loop->supported())
            s->ceiling[i][pair] = nq_multiply_rate(loop, nq_bench_thread_seconds, CEILING_SLICE);
    if (b->chain && pair % 2)
        status = time_chain(b->chain, NULL, SLICE, &s->onednn[pair], err);
    s->engine[pair] = time_engine(b, b->layers, NULL, SLICE);
    if (b->chain && !(pair % 2))
        status = time_chain(b->chain, NULL, SLICE, &s->onednn[pair], err);
    s->ratio[pair] = s->onednn[pair] / s->engine[pair];
    s->whole[pair] = time_engine(b, NULL, NULL, SLICE);
    return status == NQ_OK ? measure_nodes(b, err) : status;
}

static json_t *ceilings_json(samples *s, size_t pairs)
{
    json_t *all = json_object();
    const nq_multiply *loop;
    for (size_t i = 0; (loop = nq_multiply_at(i)) != NULL && i < LOOPS; i++)
        if (loop->supported())
            json_object_set_new(all, loop->name,
                                json_real(nq_bench_quantile(s->ceiling[i], pairs, 0.5)));
    return all;
}

static json_t *class_json(const bench *b, int class)
{
    double macs = 0, engine = 0, onednn = 0;
    int layers = 0;
    for (int i = 0; i < b->model.graph.count; i++) {
        if ((int)nq_layer_class_of(&b->model.graph, i) != class)
            continue;
        macs += nq_layer_macs(&b->model.graph, i);
        engine += b->engine_ms[i];
        onednn += b->onednn_ms[i];
        layers++;
    }
    json_t *one = json_pack("{s:s, s:i, s:f, s:f}", "class", nq_layer_class_names[class], "layers",
                            layers, "macs", macs, "engine", engine);
    if (b->chain && class != NQ_LAYER_REST)
        json_object_set_new(one, "onednn", json_real(onednn));
    return one;
}

static json_t *classes_json(const bench *b)
{
    json_t *all = json_array();
    for (int c = 0; c < NQ_LAYER_CLASSES; c++) {
        json_t *one = class_json(b, c);
        if (json_integer_value(json_object_get(one, "layers")) > 0)
            json_array_append(all, one);
        json_decref(one);
    }
    return all;
}

static json_t *report(const bench *b, samples *s, size_t pairs)
{
    double macs = 0;
    for (int i = 0; i < b->model.graph.count; i++)
        macs += nq_layer_macs(&b->model.graph, i);
    json_t *all = json_pack("{s:s, s:s, s:f, s:o, s:o, s:{s:i}, s:o, s:o}", "arch",
                            b->model.graph.arch, "kernels", nq_kernels_name(b->kernels), "macs",
                            macs, "engine", nq_bench_spread(s->engine, pairs), "whole",
                            nq_bench_spread(s->whole, pairs), "batch", "engine", b->batch,
                            "ceilings", ceilings_json(s, pairs), "classes", classes_json(b));
    if (!b->chain)
        return all;
    json_object_set_new(all, "onednn", nq_bench_spread(s->onednn, pairs));
    json_object_set_new(all, "ratio", nq_bench_spread(s->ratio, pairs));
    json_object_set_new(json_object_get(all, "batch"), "onednn",
                        json_integer(nq_onednn_chain_batch(b->chain)));
    json_object_set_new(all, "isa", json_string(nq_onednn_isa()));
    json_object_set_new(all, "onednn_version", json_string(nq_onednn_version()));
    return all;
}

int main(int argc, char **argv)
{
    static samples s;
    bench b = {0};
    nq_error err = {0};
    int pairs = argc > 2 ? atoi(argv[2]) : 25;
    if (argc < 2 || argc > 3 || pairs < 0 || pairs > PAIRS_AT_MOST) {
        fprintf(stderr, "usage: layers NETWORK [PAIRS]\n");
        return 2;
    }
    nq_bench_pin();
    nq_status status = prepare(&b, argv[1], &err);
    if (status == NQ_OK && pairs > 0)
        status = choose_chain(&b, &err);
    int rounds = pairs ? pairs : 9;
    if (status == NQ_OK)
        time_engine(&b, NULL, NULL, SLICE); /* warm */
    int done = 0;
    for (double began = nq_bench_seconds(); done < rounds && status == NQ_OK; done++) {
        if (pairs == 0 && done > 0 && nq_bench_seconds() - began > SECONDS_ALONE)
            break;
        status = measure_pair(&b, &s, done, &err);
    }
    if (status == NQ_OK) {
        json_t *all = report(&b, &s, (size_t)done);
        json_dumpf(all, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(all);
    } else {
        fprintf(stderr, "layers: %s\n", err.text);
    }
    free_bench(&b);
    return status == NQ_OK ? 0 : 1;
}
