#include "worker/quantize/layer_input.h"

#include "worker/integer/tables.h"

void nq_layer_input_set(nq_layer_input *in, nq_qparams stored, nq_qparams read)
{
    uint8_t table[256];
    if (!nq_qparams_equal(stored, read))
        nq_table_requantize(stored, read, table);
    for (int q = 0; q < 256; q++) {
        int seen = nq_qparams_equal(stored, read) ? q : table[q];
        in->value[q] = (float)(seen - read.zero_point) * read.scale;
    }
}
