/* OpenBLAS chooses its kernels when it is loaded, by a list of CPU models. */
#ifndef NQ_BLAS_KERNELS_H
#define NQ_BLAS_KERNELS_H

/*
 * To be called first of all in main(): where OpenBLAS does not know the CPU's model and has fallen
 * back to kernels of 128 bits though the CPU has wider registers, starts the program again, in the
 * same process, with OPENBLAS_CORETYPE set; then it does not return. Returns where the kernels are
 * right, the variable is set already, or starting again fails: then they are slow, not wrong.
 */
void nq_blas_choose_kernels(char **arguments);

#endif
