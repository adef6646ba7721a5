/* Inside the integer engine: a plan as plan.c builds it and engine.c runs it. */
#ifndef NQ_INTEGER_PLAN_H
#define NQ_INTEGER_PLAN_H

#include "worker/integer/engine.h"

/* One node, with everything worked out that does not depend on the image. Offsets are bytes from
 * the start of an engine's arena. */
typedef struct {
    char name[NQ_NODE_NAME];
    nq_op op;
    int inputs;
    int input[NQ_NODE_INPUTS];
    size_t pixels;
    int channels;
    size_t offset, pitch; /* of the output; a SLICE lies in its input's tensor */
    union {
        struct {
            nq_conv op;
            const nq_conv_kernel *kernel;
            size_t packed; /* bytes from the start of the plan's weights */
            bool has_table;
            size_t requantized; /* offset of the input behind the table */
        } conv;                 /* CONV, LINEAR */
        nq_add add;
        nq_window window; /* MAXPOOL */
        int32_t zero;     /* AVGPOOL */
        int first;        /* SLICE */
        int groups;       /* SHUFFLE */
    };
    /* INPUT: one a channel; CONV, LINEAR with has_table: one; CAT: one an input */
    uint8_t table[NQ_NODE_INPUTS][256];
} nq_step;

struct nq_plan {
    const nq_kernels *kernels;
    nq_step *steps;
    int count;
    uint8_t *weights;
    size_t weight_bytes;
    size_t arena_bytes;
    size_t scratch; /* offset */
};

#endif
