/*
 * grad_dump ARCH CHECKPOINT IMAGES.npy 1: one slice of exactly BATCH images forward and back. The
 * loss is the sum over all batch norms of the mean of (input - running mean)^2 / (variance + 1e-5),
 * and the mean square of the logits. Writes records to stdout: a name (128 bytes, padded with
 * zeros), the number of values (int64), the values (float32):
 *   "loss"; "images", f32 [N][H][W][C]; the gradient of each batch norm's input under its key; the
 *   gradients of weights and biases under theirs.
 */
#include "tests/parity/float_side.h"
#include "worker/float/grad_net.h"

typedef struct {
    const nq_graph *graph;
    double loss;
} dumping;

static void write_record(const char *name, size_t count, const float *values)
{
    char padded[128] = {0};
    int64_t length = (int64_t)count;
    snprintf(padded, sizeof padded, "%s", name);
    fwrite(padded, sizeof padded, 1, stdout);
    fwrite(&length, sizeof length, 1, stdout);
    fwrite(values, sizeof *values, count, stdout);
}

/* What the square of a node's value weighs in the loss; 0: not in it. */
static double weight_of(const nq_graph *graph, int node, size_t channel)
{
    const nq_node *n = &graph->nodes[node];
    double count = (double)(BATCH * nq_node_elements(n));
    if (n->norm.gamma)
        return 1.0 / (count * ((double)n->norm.var[channel] + 1e-5));
    return node == graph->count - 1 ? 1.0 / count : 0.0;
}

static nq_status add_loss(void *context, int node, const float *values, nq_error *err)
{
    dumping *d = context;
    const nq_node *n = &d->graph->nodes[node];
    (void)err;
    for (size_t k = 0; k < BATCH * nq_node_elements(n); k++)
        d->loss += weight_of(d->graph, node, k % (size_t)n->channels) * (double)values[k] *
                   (double)values[k];
    return NQ_OK;
}

static nq_status add_gradient(void *context, int node, const float *values, float *gradient,
                              nq_error *err)
{
    dumping *d = context;
    const nq_node *n = &d->graph->nodes[node];
    size_t count = BATCH * nq_node_elements(n);
    (void)err;
    for (size_t k = 0; k < count; k++)
        gradient[k] +=
            (float)(2.0 * weight_of(d->graph, node, k % (size_t)n->channels)) * values[k];
    if (n->norm.gamma)
        write_record(n->norm_key, count, gradient);
    return NQ_OK;
}

static void write_weights(const nq_graph *graph, const nq_grad_run *run)
{
    for (int i = 0; i < graph->count; i++) {
        const nq_node *n = &graph->nodes[i];
        const float *bias, *weight = nq_grad_run_weight_gradient(run, i, &bias);
        char name[128];
        if (weight)
            write_record(n->weight_key, nq_node_weights(graph, n), weight);
        snprintf(name, sizeof name, "%.*sbias", (int)strlen(n->weight_key) - 6, n->weight_key);
        if (bias)
            write_record(name, (size_t)n->channels, bias);
    }
}

static nq_status dump(float_side *side, nq_error *err)
{
    nq_grad_net *net = NULL;
    nq_grad_run *run = NULL;
    dumping d = {.graph = &side->graph};
    nq_status status =
        nq_grad_net_create(&side->graph, BATCH, (nq_grad_wanted){true, true}, &net, err);
    if (status == NQ_OK)
        status = nq_grad_run_create(net, &run, err);
    if (status == NQ_OK)
        status =
            nq_samples_read_slice(side->samples, 0, BATCH, BATCH, 0, nq_grad_run_input(run), err);
    if (status == NQ_OK)
        status = nq_grad_run_forward(run, add_loss, &d, err);
    if (status == NQ_OK)
        status = nq_grad_run_backward(run, add_gradient, &d, err);
    if (status == NQ_OK) {
        float loss = (float)d.loss;
        write_record("loss", 1, &loss);
        write_record("images", BATCH * nq_node_elements(&side->graph.nodes[0]),
                     nq_grad_run_input_gradient(run));
        write_weights(&side->graph, run);
        if (fflush(stdout) != 0)
            status = nq_fail(err, NQ_ERR_IO, "cannot write to stdout");
    }
    nq_grad_run_free(run);
    nq_grad_net_free(net);
    return status;
}

int main(int argc, char **argv)
{
    return float_side_main(argc, argv, "IMAGES.npy", dump);
}
