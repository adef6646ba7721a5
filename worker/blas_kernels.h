/* OpenBLAS chooses its kernels when it is loaded, by a list of CPU models. */
#ifndef NQ_BLAS_KERNELS_H
#define NQ_BLAS_KERNELS_H

/*
 * To be called in main() before anything is opened, set or started: where OpenBLAS does not know
 * the CPU's model and has fallen back to kernels of 128 bits though the CPU has wider registers,
 * starts the program again, in the same process, with OPENBLAS_CORETYPE set; then it does not
 * return. Returns where the kernels are right, the variable is set already, or starting again
 * fails: then they are slow, not wrong.
 */
void nq_blas_choose_kernels(char **arguments);

/*
 * The decision alone: the value that OPENBLAS_CORETYPE should get, or NULL to leave things as they
 * are. `chosen` is the name of the kernels in use, `wider` that of the widest that the CPU runs
 * (NULL: none that OpenBLAS would not find itself), `set_already` the variable's value or NULL.
 */
const char *nq_blas_better_kernels(const char *chosen, const char *wider, const char *set_already);

#endif
