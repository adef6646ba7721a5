/* float_dump ARCH CHECKPOINT IMAGES.npy THREADS: writes the float network's logits to stdout, raw
 * float32 [images][classes]. */
#include "tests/parity/float_side.h"

typedef struct {
    float_side *side;
    nq_float_run **runs;
    float *logits;
} scoring;

static nq_status score_slice(void *context, size_t item, int thread, nq_error *err)
{
    scoring *s = context;
    nq_float_run *run = s->runs[thread];
    size_t count = nq_samples_count(s->side->samples), first = item * BATCH;
    size_t images = count - first < BATCH ? count - first : BATCH;
    size_t image = nq_node_elements(&s->side->graph.nodes[0]);
    size_t classes = (size_t)s->side->graph.classes;
    nq_status status = NQ_OK;
    for (size_t i = 0; i < images && status == NQ_OK; i++)
        status = nq_samples_read(s->side->samples, first + i, thread,
                                 nq_float_run_input(run) + i * image, err);
    if (status == NQ_OK)
        status = nq_float_run_forward(run, NULL, NULL, err);
    if (status == NQ_OK)
        memcpy(s->logits + first * classes, nq_float_run_output(run),
               images * classes * sizeof *s->logits);
    return status;
}

static nq_status score(float_side *side, nq_error *err)
{
    int threads = nq_pool_threads(side->pool);
    size_t count = nq_samples_count(side->samples), values = count * (size_t)side->graph.classes;
    scoring s = {.side = side,
                 .runs = calloc((size_t)threads, sizeof *s.runs),
                 .logits = malloc(values * sizeof *s.logits)};
    nq_status status =
        s.runs && s.logits ? NQ_OK : nq_fail_nomem(err, "logits", values * sizeof *s.logits);
    for (int t = 0; t < threads && status == NQ_OK; t++)
        status = nq_float_run_create(side->net, &s.runs[t], err);
    if (status == NQ_OK)
        status = nq_pool_run(side->pool, (count + BATCH - 1) / BATCH, score_slice, &s, err);
    if (status == NQ_OK && fwrite(s.logits, sizeof *s.logits, values, stdout) != values)
        status = nq_fail(err, NQ_ERR_IO, "cannot write to stdout");
    for (int t = 0; s.runs && t < threads; t++)
        nq_float_run_free(s.runs[t]);
    free(s.runs);
    free(s.logits);
    return status;
}

int main(int argc, char **argv)
{
    return float_side_main(argc, argv, "IMAGES.npy", score);
}
