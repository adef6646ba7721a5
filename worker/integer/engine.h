/*
 * Executing a quantized network with exact integer arithmetic (NUMERICS: integer operators).
 *
 * A plan is built once from a model: weights packed, buffers assigned, tables made; it is read-only
 * and shared by all threads. An engine is one thread's room: the arena that the plan's buffers live
 * in. Labels and logits do not depend on the kernels chosen, the batch, or the number of threads.
 */
#ifndef NQ_INTEGER_ENGINE_H
#define NQ_INTEGER_ENGINE_H

#include "worker/integer/kernels.h"
#include "worker/integer/qmodel.h"

typedef struct nq_plan nq_plan;
typedef struct nq_engine nq_engine;

/* kernels: from nq_kernels_select(). The model may be freed afterwards. Refuses what
 * nq_qmodel_check() refuses. */
nq_status nq_plan_create(const nq_qmodel *model, const nq_kernels *kernels, nq_plan **plan,
                         nq_error *err);
void nq_plan_free(nq_plan *plan);
int nq_plan_classes(const nq_plan *plan);
/* Images that nq_engine_run() takes at most in one call, chosen by the plan. */
int nq_plan_batch(const nq_plan *plan);
/* Bytes of one engine's arena, and of the plan's packed weights. */
size_t nq_plan_arena_bytes(const nq_plan *plan);
size_t nq_plan_weight_bytes(const nq_plan *plan);

nq_status nq_engine_create(const nq_plan *plan, nq_engine **engine, nq_error *err);
void nq_engine_free(nq_engine *engine);

/*
 * Scores n <= nq_plan_batch() images: crops u8 [n][224][224][3] (RGB pixels as decoded and cropped;
 * the input table does normalisation and quantization), logits u8 [n][classes]. Allocates nothing.
 */
void nq_engine_run(nq_engine *engine, const uint8_t *crops, int n, uint8_t *logits);

/*
 * What a measurement sees of nq_engine_run(); a NULL member asks for nothing. nodes [nodes of the
 * model]: only these are computed, the others' tensors stay as they are (of no use for scoring, but
 * layers take as long on any bytes). nanoseconds [nodes of the model]: what each node took is
 * added. A concatenation and the channel shuffle behind it are one, the concatenation; slices take
 * nothing.
 */
typedef struct {
    const bool *nodes;
    uint64_t *nanoseconds;
} nq_engine_probe;
/* The probe's arrays must outlive its use; {NULL, NULL} ends it. */
void nq_engine_set_probe(nq_engine *engine, nq_engine_probe probe);

/*
 * One node alone, for parity tests: inputs[i] is u8 [H][W][C] of the node's i-th input for one
 * image (not padded), out u8 [H][W][C]. For node 0 (the input) inputs[0] is the crop u8
 * [224][224][3]. The node runs through the same kernel calls as in nq_engine_run().
 */
nq_status nq_engine_run_node(nq_engine *engine, int node, const uint8_t *const inputs[],
                             uint8_t *out, nq_error *err);

/* The 3 x 256 table: pixel p of channel c -> quantized input. */
void nq_input_table(nq_qparams input, uint8_t table[3][256]);

#endif
