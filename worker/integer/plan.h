/*
 * Inside the integer engine: a plan as plan.c, tasks.c and units.c build it and engine.c runs it.
 *
 * Steps are the model's nodes, with all that does not depend on the image worked out. Tasks are
 * what a scored image needs of them, in execution order: slices have none (their readers look into
 * the tensor they are cut from), a concatenation that only a channel shuffle reads is one task with
 * it, and a requantization through a table is a task of its own. Units are runs of tasks that are
 * executed together by stripes of rows, so that what they hand to each other stays in the cache.
 */
#ifndef NQ_INTEGER_PLAN_H
#define NQ_INTEGER_PLAN_H

#include "worker/integer/engine.h"

#define NQ_UNIT_TASKS 12

typedef struct {
    char name[NQ_NODE_NAME];
    nq_op op;
    int inputs;
    int input[NQ_NODE_INPUTS]; /* steps */
    int height, width, channels;
    nq_window window; /* the input under an output pixel: CONV, LINEAR, MAXPOOL their own, AVGPOOL
                         all of it, the others one pixel */
    union {
        struct {
            nq_conv op;
            const nq_conv_kernel *kernel;
            size_t packed;       /* bytes from the start of the plan's weights */
            size_t weight_bytes; /* before packing */
            bool has_table;
        } conv; /* CONV, LINEAR */
        nq_add add;
        int32_t zero; /* AVGPOOL */
        int first;    /* SLICE */
        int groups;   /* SHUFFLE */
    };
    /* INPUT: one a channel; CONV, LINEAR with has_table: one; CAT: one an input */
    uint8_t table[NQ_NODE_INPUTS][256];
} nq_step;

typedef enum {
    NQ_TASK_STEP,       /* the step as it is, but for the table of a convolution */
    NQ_TASK_REQUANTIZE, /* the table of a convolution */
    NQ_TASK_INTERLEAVE  /* the step is a CAT; with its shuffle */
} nq_task_kind;

typedef struct {
    nq_task_kind kind;
    int step;
    int inputs;                        /* 0: the crop */
    int input[NQ_NODE_INPUTS];         /* tasks */
    int first_channel[NQ_NODE_INPUTS]; /* what it reads of the input begins there */
    nq_window window;
    int height, width, channels;
    size_t offset;      /* of its buffer, bytes from the start of an engine's arena */
    size_t image_bytes; /* from one image's part of the buffer to the next; 0: all use the same */
} nq_task;

/* What a task does in one stripe: rows of its output, and which row its buffer then begins with
 * (those before have been read for the last time). */
typedef struct {
    nq_rows rows;
    int base;
} nq_stripe;

/* Tasks [first, first + count). Only the last one's tensor is read outside of the unit, and it is
 * whole; the other buffers hold the rows that are still to be read. */
typedef struct {
    int first, count;
    int stripes;
    nq_stripe *stripe; /* [stripes][count] */
    int buffer_rows[NQ_UNIT_TASKS];
} nq_unit;

struct nq_plan {
    const nq_kernels *kernels;
    nq_step *steps;
    int count;
    nq_task *tasks;
    int task_count;
    nq_unit *units;
    int unit_count;
    int batch;   /* images of a call at most */
    int batched; /* the first of the tasks that do all images of a call before the next task runs;
                    each is a unit */
    uint8_t *weights;
    size_t weight_bytes;
    size_t arena_bytes;
    size_t scratch; /* offset */
};

/* The task list of the steps; fills tasks and task_count. */
nq_status nq_plan_list_tasks(nq_plan *plan, nq_error *err);

/* What batch and units are chosen for: bytes of the first cache, and of the second that tensors may
 * fill; bytes a cycle from the second, and from beyond; cycles that a kernel's call takes whatever
 * it does; images that are in memory at once. One for all CPUs, so that plans are the same
 * everywhere. */
typedef struct {
    size_t near_bytes, far_bytes;
    double far_rate, away_rate, call_cycles;
    int batch;
} nq_machine;
extern const nq_machine nq_usual_machine;

/* Chooses which tasks are batched; fills batch and batched. */
void nq_plan_choose_batch(nq_plan *plan, const nq_machine *machine);
/* Divides the tasks into units; fills units and unit_count. */
nq_status nq_plan_choose_units(nq_plan *plan, const nq_machine *machine, nq_error *err);

/* nq_plan_create() for another machine. */
nq_status nq_plan_create_for(const nq_qmodel *model, const nq_kernels *kernels,
                             const nq_machine *machine, nq_plan **plan, nq_error *err);

/* One unit of one image alone; those before it have run. Returns its last task's tensor. */
const uint8_t *nq_engine_run_unit(nq_engine *engine, int unit, const uint8_t *crop);

/* Whether one call does all images of a batch: what slides no window, and dense convolutions. */
static inline bool nq_task_takes_images(const nq_plan *plan, const nq_task *t)
{
    const nq_step *s = &plan->steps[t->step];
    if (t->kind != NQ_TASK_STEP)
        return true;
    if (s->op == NQ_OP_CONV || s->op == NQ_OP_LINEAR)
        return s->conv.kernel == &plan->kernels->dense;
    return s->op != NQ_OP_MAXPOOL && s->op != NQ_OP_AVGPOOL;
}

static inline size_t nq_task_row_bytes(const nq_task *t)
{
    return (size_t)t->width * (size_t)t->channels;
}

#endif
