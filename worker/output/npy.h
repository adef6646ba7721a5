/* The header of a .npy file of float32 in C order, version 1.0 of numpy's format. */
#ifndef NQ_OUTPUT_NPY_H
#define NQ_OUTPUT_NPY_H

#define NQ_NPY_HEADER 128 /* bytes: numpy wants a multiple of 64 */

/* shape: as Python writes a tuple, "(2, 3)"; at most 40 characters. */
void nq_npy_header(char header[NQ_NPY_HEADER], const char *shape);

#endif
