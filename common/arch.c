#include "common/arch.h"

#include <string.h>

/* In the challenge's order; tests/unit/test_arch.c counts every figure again on the graphs. */
const nq_arch nq_archs[] = {
    {.name = "resnet18",
     .challenge_order = 0,
     .weights = 11678912,
     .weights_a_class = 512,
     .channels = 5800,
     .macs = 1814073344},
    {.name = "mobilenet_v2",
     .challenge_order = 1,
     .weights = 3469760,
     .weights_a_class = 1280,
     .channels = 18056,
     .macs = 300774272},
    {.name = "shufflenet_v2_x1_0",
     .challenge_order = 2,
     .weights = 2261424,
     .weights_a_class = 1024,
     .channels = 9090,
     .macs = 144907992},
    {.name = "shufflenet_v2_x0_5",
     .challenge_order = 3,
     .weights = 1357840,
     .weights_a_class = 1024,
     .channels = 4976,
     .macs = 40476448},
};
const size_t nq_arch_count = sizeof nq_archs / sizeof *nq_archs;

const nq_arch *nq_arch_find(const char *name)
{
    for (size_t i = 0; i < nq_arch_count; i++)
        if (strcmp(nq_archs[i].name, name) == 0)
            return &nq_archs[i];
    return NULL;
}
