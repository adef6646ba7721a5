/* distill_dump ARCH CHECKPOINT LOSS INIT SAMPLES STEPS THREADS: the losses of every step, float32
 * [STEPS of every batch], and the images, float32 [SAMPLES][224][224][3], to stdout. LOSS and INIT
 * are the numbers of the enums; a batch has at most 32. */
#include "tests/parity/float_side.h"
#include "worker/calibrate/distill.h"

static nq_status tell(void *context, size_t done, size_t total, double loss, nq_error *err)
{
    float value = (float)loss;
    (void)context;
    (void)done;
    (void)total;
    return fwrite(&value, sizeof value, 1, stdout) == 1
               ? NQ_OK
               : nq_fail(err, NQ_ERR_IO, "cannot write to stdout");
}

static nq_status dump(char **arguments, nq_graph *graph, nq_pool *pool, nq_error *err)
{
    nq_spec *spec = calloc(1, sizeof *spec);
    float *images = NULL;
    if (!spec)
        return nq_fail_nomem(err, "a spec", sizeof *spec);
    spec->calibrate.loss = (nq_loss_kind)atoi(arguments[2]);
    spec->calibrate.init = (nq_init_kind)atoi(arguments[3]);
    spec->calibrate.samples = atoi(arguments[4]);
    spec->calibrate.steps = atoi(arguments[5]);
    spec->calibrate.batch = 32;
    spec->calibrate.seed = 1;
    nq_distill ask = {.graph = graph, .spec = spec, .pool = pool, .progress = tell};
    nq_status status = nq_distill_images(&ask, &images, err);
    size_t count = (size_t)spec->calibrate.samples * nq_node_elements(&graph->nodes[0]);
    if (status == NQ_OK && fwrite(images, sizeof *images, count, stdout) != count)
        status = nq_fail(err, NQ_ERR_IO, "cannot write to stdout");
    free(images);
    free(spec);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: distill_dump ARCH CHECKPOINT LOSS INIT SAMPLES STEPS THREADS\n");
        return 2;
    }
    nq_error err = {0};
    nq_graph graph = {0};
    nq_pool *pool = NULL;
    nq_status status = load_graph(argv[1], argv[2], &graph, &err);
    if (status == NQ_OK)
        status = nq_pool_create(atoi(argv[7]), &pool, &err);
    if (status == NQ_OK)
        status = dump(argv + 1, &graph, pool, &err);
    nq_pool_free(pool);
    nq_graph_free(&graph);
    if (status != NQ_OK)
        fprintf(stderr, "%s\n", err.text);
    return status == NQ_OK ? 0 : 1;
}
