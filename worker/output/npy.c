#include "worker/output/npy.h"

#include <stdio.h>
#include <string.h>

/* Signature, length of the dictionary, dictionary, blanks. */
void nq_npy_header(char header[NQ_NPY_HEADER], const char *shape)
{
    static const char signature[] = "\x93NUMPY\x01\x00\x76\x00";
    enum { START = sizeof signature - 1 };
    _Static_assert(NQ_NPY_HEADER - START == 0x76, "the length that the signature ends with");
    memset(header, ' ', NQ_NPY_HEADER);
    memcpy(header, signature, START);
    int n = snprintf(header + START, NQ_NPY_HEADER - START,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': %.40s, }", shape);
    header[START + n] = ' ';
    header[NQ_NPY_HEADER - 1] = '\n';
}
