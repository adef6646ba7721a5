/* The reference: plain C for any CPU. */
#define NQ_TEMPLATE_TABLE     nq_kernels_c
#define NQ_TEMPLATE_NAME      "c"
#define NQ_TEMPLATE_SUPPORTED true
#include "worker/integer/c_kernels_template.h"
