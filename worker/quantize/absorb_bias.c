#include "worker/quantize/absorb_bias.h"

#include "worker/quantize/readers.h"

#include <math.h>

#define SIGMAS 3.0f

/* Adds to the reader's biases what its input loses, c[channels of the input]. */
static void add_to_reader(const nq_graph *graph, nq_node *reader, int channel, float c)
{
    int inputs = nq_node_in_channels(graph, reader, 0) / reader->groups;
    int rows = reader->channels / reader->groups, taps = reader->kernel_h * reader->kernel_w;
    int group = channel / inputs, input = channel % inputs;
    for (int row = group * rows; row < (group + 1) * rows; row++) {
        const float *w = reader->weight + ((size_t)row * (size_t)taps) * (size_t)inputs + input;
        double sum = 0;
        for (int t = 0; t < taps; t++)
            sum += (double)w[(size_t)t * (size_t)inputs];
        reader->bias[row] = (float)((double)reader->bias[row] + sum * (double)c);
    }
}

void nq_absorb_bias(nq_graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        nq_node *node = &graph->nodes[i];
        int at = nq_only_reader(graph, i);
        nq_node *reader = at >= 0 ? &graph->nodes[at] : NULL;
        if (node->op != NQ_OP_CONV || !node->relu || !node->norm.gamma || !reader ||
            !nq_node_has_weight(reader) || !reader->bias || reader->pad_h || reader->pad_w)
            continue;
        for (int c = 0; c < node->channels; c++) {
            float high = node->norm.beta[c] - SIGMAS * fabsf(node->norm.gamma[c]);
            if (!(high > 0))
                continue;
            node->bias[c] -= high;
            node->norm.beta[c] -= high;
            add_to_reader(graph, reader, c, high);
        }
    }
}
