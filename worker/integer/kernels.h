/* Placeholder written by the lead; the integer engine's author defines the table of kernels here.
 */
#ifndef NQ_INTEGER_KERNELS_H
#define NQ_INTEGER_KERNELS_H

#include "common/error.h"

typedef struct nq_kernels nq_kernels;

/* The table for this CPU; NETQ_CPU=c|... in the environment forces one by name (an unknown name, or
 * one this CPU cannot run, is NQ_ERR_INPUT). */
nq_status nq_kernels_select(const nq_kernels **kernels, nq_error *err);
const char *nq_kernels_name(const nq_kernels *kernels);

#endif
