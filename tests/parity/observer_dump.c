/*
 * observer_dump ARCH CHECKPOINT SAMPLES.npy THREADS: the baseline's ranges, parameters and integer
 * weights. Writes to stdout a line a node
 *
 *     node NAME OBSERVED LOW HIGH SCALE ZERO_POINT WEIGHT_SCALE WEIGHTS
 *
 * floats in C's hexadecimal form, each line followed by WEIGHTS raw int8 [O][KH][KW][I/groups].
 */
#include "tests/parity/float_side.h"
#include "worker/quantize/quantize.h"

static void dump_node(const nq_node *node, const nq_range *range, const nq_qnode *q, size_t weights)
{
    printf("node %s %d %a %a %a %d %a %zu\n", node->name, nq_node_observed(node),
           (double)range->low, (double)range->high, (double)q->out.scale, q->out.zero_point,
           weights ? (double)q->weight_scale[0] : 0.0, weights);
    fwrite(q->weight, 1, weights, stdout);
}

static nq_status dump(float_side *side, nq_error *err)
{
    nq_spec *spec = calloc(1, sizeof *spec);
    nq_range *ranges = calloc((size_t)side->graph.count, sizeof *ranges);
    nq_qmodel model = {0};
    nq_status status = spec && ranges ? NQ_OK : nq_fail_nomem(err, "ranges", sizeof *spec);
    if (status == NQ_OK) {
        spec->weights.bits = spec->activations.bits = spec->activations.shortcut_bits = 8;
        spec->activations.qmax = 127;
        status = nq_ranges_observe(side->net, &side->graph, side->samples, side->pool, NULL, NULL,
                                   ranges, err);
    }
    if (status == NQ_OK)
        status = nq_quantize(&side->graph, ranges, NULL, NULL, spec, NULL, &model, err);
    for (int i = 0; i < side->graph.count && status == NQ_OK; i++) {
        const nq_node *node = &side->graph.nodes[i];
        dump_node(node, &ranges[i], &model.nodes[i],
                  nq_node_has_weight(node) ? nq_node_weights(&side->graph, node) : 0);
    }
    nq_qmodel_free(&model);
    free(ranges);
    free(spec);
    return status;
}

int main(int argc, char **argv)
{
    return float_side_main(argc, argv, "SAMPLES.npy", dump);
}
