/* What is known of each supported architecture without opening a checkpoint. */
#ifndef NQ_COMMON_ARCH_H
#define NQ_COMMON_ARCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;         /* torchvision's: "resnet18" */
    int challenge_order;      /* 0,1,2: its place in a group's output.txt; after those, by name */
    uint64_t weights;         /* of all convolutions and linear layers, with 1000 classes */
    uint64_t weights_a_class; /* weights of the last layer that one class costs */
    uint32_t channels;        /* output channels of all those layers, with 1000 classes */
    uint64_t macs;            /* multiply-accumulates an image, with 1000 classes, 224x224 */
} nq_arch;

extern const nq_arch nq_archs[];
extern const size_t nq_arch_count;

/* NULL when the name is not supported. */
const nq_arch *nq_arch_find(const char *name);

#endif
