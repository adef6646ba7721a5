/*
 * The engine against the formulas of each operator, written out here from the model alone. Each
 * node of each architecture runs by itself (nq_engine_run_node) and is checked at random places;
 * the whole network run at once must then give the bytes of the chain of single nodes.
 */
#include "common/arena.h"
#include "tests/unit/random_model.h"
#include "worker/imagenet/crop.h"
#include "worker/integer/engine.h"
#include "worker/integer/plan.h"
#include "worker/integer/tables.h"

enum { PROBES = 300, CLASSES = 13 };

static nq_random rng;

static int below(int n)
{
    return (int)(nq_random_u32(&rng) % (uint32_t)n);
}

static uint8_t quantized(float r, int zero, int low, int high)
{
    double q = nearbyint((double)r) + zero;
    return (uint8_t)(q < low ? low : q > high ? high : q);
}

/* Element (y, x, c) of a node's output from its inputs u8 [H][W][C]. */
static uint8_t layer_at(const nq_qmodel *m, int i, const uint8_t *in, int y, int x, int c)
{
    const nq_node *n = &m->graph.nodes[i], *from = &m->graph.nodes[n->input[0]];
    const nq_qnode *q = &m->nodes[i];
    nq_qparams a = m->nodes[n->input[0]].out, to = q->out;
    uint8_t table[256];
    if (q->has_table) {
        nq_table_requantize(a, q->in, table);
        a = q->in;
    }
    int each = from->channels / n->groups, first = c / (n->channels / n->groups) * each;
    int32_t acc = 0;
    for (int ky = 0; ky < n->kernel_h; ky++)
        for (int kx = 0; kx < n->kernel_w; kx++)
            for (int k = 0; k < each; k++) {
                int iy = y * n->stride - n->pad_h + ky, ix = x * n->stride - n->pad_w + kx;
                if (iy < 0 || iy >= from->height || ix < 0 || ix >= from->width)
                    continue;
                int v = in[(iy * from->width + ix) * from->channels + first + k];
                v = q->has_table ? table[v] : v;
                acc += (v - a.zero_point) *
                       q->weight[((c * n->kernel_h + ky) * n->kernel_w + kx) * each + k];
            }
    float bias = q->bias ? q->bias[c] : 0.0f, r;
    if (q->scales == 1) {
        float s = a.scale * q->weight_scale[0], m1 = s / to.scale;
        r = fmaf(bias, 1.0f / s, (float)acc) * m1;
    } else {
        float s = a.scale * q->weight_scale[c], m1 = s / to.scale;
        float term = bias / s;
        r = ((float)acc + term) * m1;
    }
    return quantized(r, to.zero_point, n->relu ? to.zero_point : 0, to.qmax);
}

static uint8_t add_at(const nq_qmodel *m, int i, const uint8_t *a, const uint8_t *b, size_t at)
{
    const nq_node *n = &m->graph.nodes[i];
    nq_qparams pa = m->nodes[n->input[0]].out, pb = m->nodes[n->input[1]].out, to = m->nodes[i].out;
    float offset_a = pa.scale * (float)pa.zero_point, offset_b = pb.scale * (float)pb.zero_point;
    float sum = fmaf(pa.scale, a[at], -offset_a) + fmaf(pb.scale, b[at], -offset_b);
    if (n->relu && sum < 0)
        sum = 0;
    return quantized(sum * (1.0f / to.scale), to.zero_point, 0, to.qmax);
}

static uint8_t cat_at(const nq_qmodel *m, int i, const uint8_t *const in[], size_t pixel, int c)
{
    const nq_node *n = &m->graph.nodes[i];
    int k = 0;
    for (; c >= m->graph.nodes[n->input[k]].channels; k++)
        c -= m->graph.nodes[n->input[k]].channels;
    uint8_t v = in[k][pixel * (size_t)m->graph.nodes[n->input[k]].channels + (size_t)c];
    nq_qparams from = m->nodes[n->input[k]].out, to = m->nodes[i].out;
    if (from.scale == to.scale && from.zero_point == to.zero_point)
        return v;
    float offset = from.scale * (float)from.zero_point;
    return quantized(fmaf(from.scale, v, -offset) * (1.0f / to.scale), to.zero_point, 0, to.qmax);
}

static uint8_t pool_at(const nq_qmodel *m, int i, const uint8_t *in, int y, int x, int c)
{
    const nq_node *n = &m->graph.nodes[i], *from = &m->graph.nodes[n->input[0]];
    int best = 0, sum = 0, zero = m->nodes[i].out.zero_point;
    if (n->op == NQ_OP_AVGPOOL) {
        for (int p = 0; p < from->height * from->width; p++)
            sum += in[p * n->channels + c] - zero;
        return quantized((float)sum / (float)(from->height * from->width), zero, 0, 255);
    }
    for (int ky = 0; ky < n->kernel_h; ky++)
        for (int kx = 0; kx < n->kernel_w; kx++) {
            int iy = y * n->stride - n->pad_h + ky, ix = x * n->stride - n->pad_w + kx;
            if (iy < 0 || iy >= from->height || ix < 0 || ix >= from->width)
                continue;
            int v = in[(iy * from->width + ix) * n->channels + c];
            best = v > best ? v : best;
        }
    return (uint8_t)best;
}

static uint8_t node_at(const nq_qmodel *m, int i, const uint8_t *const in[], int y, int x, int c)
{
    const nq_node *n = &m->graph.nodes[i];
    size_t pixel = (size_t)(y * n->width + x), at = pixel * (size_t)n->channels + (size_t)c;
    int channels = n->inputs ? m->graph.nodes[n->input[0]].channels : 3;
    float pixels[3][256];
    switch (n->op) {
    case NQ_OP_INPUT:
        nq_pixel_table(pixels);
        return quantized(pixels[c][in[0][at]] * (1.0f / m->nodes[i].out.scale),
                         m->nodes[i].out.zero_point, 0, 255);
    case NQ_OP_CONV:
    case NQ_OP_LINEAR:
        return layer_at(m, i, in[0], y, x, c);
    case NQ_OP_ADD:
        return add_at(m, i, in[0], in[1], at);
    case NQ_OP_CAT:
        return cat_at(m, i, in, pixel, c);
    case NQ_OP_SLICE:
        return in[0][pixel * (size_t)channels + (size_t)(n->first + c)];
    case NQ_OP_SHUFFLE:
        return in[0][pixel * (size_t)channels +
                     (size_t)(c % n->groups * (channels / n->groups) + c / n->groups)];
    case NQ_OP_MAXPOOL:
    case NQ_OP_AVGPOOL:
        return pool_at(m, i, in[0], y, x, c);
    }
    return 0;
}

static void check_node(const nq_qmodel *m, int i, const uint8_t *const in[], const uint8_t *out)
{
    const nq_node *n = &m->graph.nodes[i];
    for (int probe = 0; probe < PROBES; probe++) {
        /* borders more often than elsewhere */
        int y = below(2) ? below(n->height) : below(2) * (n->height - 1);
        int x = below(2) ? below(n->width) : below(2) * (n->width - 1), c = below(n->channels);
        int got = out[(y * n->width + x) * n->channels + c];
        int want = node_at(m, i, in, y, x, c);
        if (got != want)
            fail_msg("%s: (%d, %d, %d) is %d, not %d", n->name, y, x, c, got, want);
    }
}

static uint8_t *random_crop(void)
{
    uint8_t *crop = malloc(NQ_CROP_BYTES);
    assert_non_null(crop);
    for (int i = 0; i < NQ_CROP_BYTES; i++)
        crop[i] = (uint8_t)(128 + 60 * sin(i / 700.0) + below(60));
    return crop;
}

/* Runs every node alone; returns all outputs. */
static uint8_t **run_chain(const nq_qmodel *m, nq_engine *engine, const uint8_t *crop)
{
    const int count = m->graph.count;
    uint8_t **out = calloc((size_t)count, sizeof *out);
    nq_error err = {0};
    assert_non_null(out);
    for (int i = 0; i < count; i++) {
        const nq_node *n = &m->graph.nodes[i];
        const uint8_t *in[NQ_NODE_INPUTS] = {crop};
        for (int k = 0; k < n->inputs; k++)
            in[k] = out[n->input[k]];
        out[i] = malloc(nq_node_elements(n));
        assert_non_null(out[i]);
        assert_ok(nq_engine_run_node(engine, i, in, out[i], &err), &err);
    }
    return out;
}

static void check_chain(const nq_qmodel *m, uint8_t *const *out, const uint8_t *crop)
{
    for (int i = 0; i < m->graph.count; i++) {
        const nq_node *n = &m->graph.nodes[i];
        const uint8_t *in[NQ_NODE_INPUTS] = {crop};
        for (int k = 0; k < n->inputs; k++)
            in[k] = out[n->input[k]];
        check_node(m, i, in, out[i]);
    }
}

static void free_chain(const nq_qmodel *m, uint8_t **chain)
{
    for (int i = 0; i < m->graph.count; i++)
        free(chain[i]);
    free(chain);
}

/* The node whose tensor a task makes: an interleaving one makes that of the shuffle behind it. */
static int task_node(const nq_qmodel *m, const nq_task *t)
{
    int node = t->step;
    while (t->kind == NQ_TASK_INTERLEAVE && m->graph.nodes[node].op != NQ_OP_SHUFFLE)
        node++;
    return node;
}

/* Each unit leaves, in the arena, the bytes that its last node makes alone. */
static void check_units(const nq_qmodel *m, const nq_plan *plan, nq_engine *engine,
                        uint8_t *const *chain, const uint8_t *crop)
{
    for (int u = 0; u < plan->unit_count; u++) {
        const nq_unit *unit = &plan->units[u];
        const nq_task *last = &plan->tasks[unit->first + unit->count - 1];
        const uint8_t *out = nq_engine_run_unit(engine, u, crop);
        if (last->kind == NQ_TASK_REQUANTIZE)
            continue; /* belongs to no node alone */
        int node = task_node(m, last);
        if (memcmp(out, chain[node], nq_node_elements(&m->graph.nodes[node])) != 0)
            fail_msg("unit %d (%d stripes): %s differs", u, unit->stripes,
                     m->graph.nodes[node].name);
    }
}

static void spread(const uint8_t *logits)
{
    int distinct = 0;
    for (int c = 1; c < CLASSES; c++)
        distinct += logits[c] != logits[0];
    assert_true(distinct > 2); /* otherwise the comparison says little */
}

/* Machines with a taste for other units: whole tensors, as many stripes as can be, between; and for
 * batches. */
enum { WHOLE, ROWS, BETWEEN, MACHINES };
static const nq_machine machines[MACHINES] = {
    [WHOLE] = {1u << 30, 1u << 30, 1, 1, 1000, 1},
    [ROWS] = {1u << 30, 1u << 30, 1, 1, -1000, 2},
    [BETWEEN] = {16 << 10, 128 << 10, 8, 1, 100, 5},
};

/* The image among others, in any place of a call with any number of them. */
static void check_batches(const nq_plan *plan, nq_engine *engine, const uint8_t *crop,
                          const uint8_t *expected)
{
    int batch = nq_plan_batch(plan);
    uint8_t *crops = malloc((size_t)batch * NQ_CROP_BYTES);
    uint8_t *logits = malloc((size_t)batch * CLASSES);
    assert_true(crops && logits);
    for (int round = 0; round < 2; round++) {
        int n = round == 0 ? batch : 1 + below((batch + 1) / 2), at = below(n);
        for (int i = 0; i < n * NQ_CROP_BYTES; i++)
            crops[i] = (uint8_t)(i * 7 / (round + 1));
        memcpy(crops + (size_t)at * NQ_CROP_BYTES, crop, NQ_CROP_BYTES);
        memset(logits, 0, (size_t)batch * CLASSES);
        nq_engine_run(engine, crops, n, logits);
        assert_memory_equal(logits + at * CLASSES, expected, CLASSES);
        for (int i = n * CLASSES; i < batch * CLASSES; i++)
            assert_int_equal(logits[i], 0);
    }
    free(crops);
    free(logits);
}

static void check_plan(const nq_qmodel *m, const nq_kernels *k, const nq_machine *machine,
                       uint8_t *const *chain, const uint8_t *crop)
{
    nq_error err = {0};
    nq_plan *plan;
    nq_engine *engine;
    assert_ok(nq_plan_create_for(m, k, machine, &plan, &err), &err);
    assert_ok(nq_engine_create(plan, &engine, &err), &err);
    assert_int_equal(nq_plan_classes(plan), CLASSES);
    assert_int_equal(nq_plan_batch(plan), machine->batch);
    check_units(m, plan, engine, chain, crop);
    check_batches(plan, engine, crop, chain[m->graph.count - 1]);
    nq_engine_free(engine);
    nq_plan_free(plan);
}

static void check_network(const char *arch, random_shape shape)
{
    static size_t turn = 0; /* each version of the kernels meets each machine on some network */
    nq_qmodel m = random_model(arch, CLASSES, shape, 3);
    nq_error err = {0};
    uint8_t *crop = random_crop(), **chain;
    nq_plan *plan;
    nq_engine *engine;
    assert_ok(nq_plan_create(&m, nq_kernels_at(0), &plan, &err), &err);
    assert_ok(nq_engine_create(plan, &engine, &err), &err);
    chain = run_chain(&m, engine, crop);
    check_chain(&m, chain, crop);
    spread(chain[m.graph.count - 1]);
    nq_engine_free(engine);
    nq_plan_free(plan);
    const nq_kernels *k;
    for (size_t i = 0; (k = nq_kernels_at(i)) != NULL; i++) {
        if (!k->supported())
            continue;
        if (i > 0 || !nq_kernels_at(1)) /* the plain kernels take their time */
            check_plan(&m, k, &nq_usual_machine, chain, crop);
        check_plan(&m, k, &machines[turn++ % MACHINES], chain, crop);
    }
    free(crop);
    free_chain(&m, chain);
    nq_qmodel_free(&m);
}

static const random_shape baseline = {.bits = 8, .activation = 8};
static const random_shape narrow_weights = {.bits = 4, .activation = 8, .per_channel = true};
static const random_shape narrow = {
    .bits = 4, .activation = 4, .per_channel = true, .without_bias = true};

static void resnet18(void **state)
{
    check_network("resnet18", *(const random_shape *)*state);
}

static void mobilenet_v2(void **state)
{
    check_network("mobilenet_v2", *(const random_shape *)*state);
}

static void shufflenet_v2(void **state)
{
    check_network("shufflenet_v2_x1_0", *(const random_shape *)*state);
}

static void shufflenet_v2_half(void **state)
{
    check_network("shufflenet_v2_x0_5", *(const random_shape *)*state);
}

static void only_what_is_needed_runs(void **state)
{
    (void)state;
    nq_qmodel m = random_model("shufflenet_v2_x1_0", CLASSES, baseline, 1);
    nq_error err = {0};
    nq_plan *plan;
    assert_ok(nq_plan_create_for(&m, nq_kernels_at(0), &machines[ROWS], &plan, &err), &err);
    int interleaved = 0, stripes = 0;
    for (int i = 0; i < plan->task_count; i++) {
        nq_op op = plan->steps[plan->tasks[i].step].op;
        assert_true(op != NQ_OP_SLICE && op != NQ_OP_SHUFFLE);
        interleaved += plan->tasks[i].kind == NQ_TASK_INTERLEAVE;
    }
    assert_int_equal(interleaved, 16); /* the network's units */
    for (int u = 0; u < plan->unit_count; u++)
        stripes += plan->units[u].stripes;
    assert_true(stripes > 400); /* whole tensors would be one a task, 90 */
    nq_plan_free(plan);
    nq_qmodel_free(&m);
}

static void requantization_tables(void **state)
{
    (void)state;
    nq_qparams from = {.scale = 0.1f, .zero_point = 100, .qmax = 255};
    nq_qparams to = {.scale = 0.8f, .zero_point = 6, .qmax = 15};
    uint8_t table[256];
    nq_table_requantize(from, to, table);
    assert_int_equal(table[100], 6);
    assert_int_equal(table[104], 6 + 0); /* 4 * 0.1 / 0.8 = 0.5 */
    assert_int_equal(table[116], 6 + 2);
    assert_int_equal(table[0], 0);
    assert_int_equal(table[255], 15);
    nq_table_concatenate(from, from, table);
    for (int q = 0; q < 256; q++)
        assert_int_equal(table[q], q);
    to = (nq_qparams){.scale = 0.2f, .zero_point = 50, .qmax = 255};
    nq_table_concatenate(from, to, table);
    assert_int_equal(table[0], 0);
    assert_int_equal(table[100], 50);
    assert_int_equal(table[110], 55);
    nq_table_requantize((nq_qparams){.scale = 1e12f, .zero_point = 1, .qmax = 255},
                        (nq_qparams){.scale = 1e-12f, .zero_point = 1, .qmax = 7}, table);
    assert_int_equal(table[0], 0);
    assert_int_equal(table[1], 1);
    assert_int_equal(table[255], 7);
}

static void input_table(void **state)
{
    (void)state;
    uint8_t table[3][256];
    nq_input_table((nq_qparams){.scale = 0.05f, .zero_point = 60, .qmax = 255}, table);
    /* (p / 255 - mean) / std / 0.05 + 60, by hand */
    assert_int_equal(table[0][0], 18);    /* -2.1179 -> -42.36 */
    assert_int_equal(table[1][128], 64);  /* 0.2052 -> 4.10 */
    assert_int_equal(table[2][255], 113); /* 2.64 -> 52.8 */
}

static void blocks_in_use_do_not_overlap(void **state)
{
    (void)state;
    nq_random_init(&rng, 5, 0);
    for (int round = 0; round < 200; round++) {
        nq_span blocks[40];
        int count = 1 + below(40);
        size_t sum = 0;
        for (int i = 0; i < count; i++) {
            int first = below(30);
            blocks[i] = (nq_span){.bytes = (size_t)below(1000), .first = first};
            blocks[i].last = first + below(8);
            sum += (blocks[i].bytes + NQ_ALIGN - 1) / NQ_ALIGN * NQ_ALIGN;
        }
        size_t total = nq_arena_assign(blocks, count);
        assert_true(total <= sum);
        for (int i = 0; i < count; i++) {
            assert_int_equal(blocks[i].offset % NQ_ALIGN, 0);
            assert_true(blocks[i].offset + blocks[i].bytes <= total);
            for (int j = 0; j < i; j++) {
                const nq_span *a = &blocks[i], *b = &blocks[j];
                bool same_time = a->first <= b->last && b->first <= a->last;
                bool same_place =
                    a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
                assert_false(same_time && same_place);
            }
        }
    }
}

static void memory_is_reused(void **state)
{
    (void)state;
    nq_qmodel m = random_model("mobilenet_v2", CLASSES, baseline, 1);
    nq_error err = {0};
    nq_plan *plan;
    size_t sum = 0;
    for (int i = 0; i < m.graph.count; i++)
        sum += nq_node_elements(&m.graph.nodes[i]);
    assert_ok(nq_plan_create_for(&m, nq_kernels_at(0), &machines[WHOLE], &plan, &err), &err);
    assert_true(nq_plan_arena_bytes(plan) < sum / 3);
    assert_true(nq_plan_weight_bytes(plan) > 0);
    nq_plan_free(plan);
    assert_ok(nq_plan_create(&m, nq_kernels_at(0), &plan, &err), &err);
    assert_true(nq_plan_arena_bytes(plan) < 2 << 20);
    nq_plan_free(plan);
    nq_qmodel_free(&m);
}

static void probe_times_and_skips(void **state)
{
    (void)state;
    nq_qmodel m = random_model("shufflenet_v2_x0_5", CLASSES, baseline, 1);
    nq_error err = {0};
    nq_plan *plan;
    nq_engine *engine;
    assert_ok(nq_plan_create(&m, nq_kernels_at(0), &plan, &err), &err);
    assert_ok(nq_engine_create(plan, &engine, &err), &err);
    size_t count = (size_t)m.graph.count;
    uint64_t *taken = calloc(count, sizeof *taken);
    bool *chosen = calloc(count, sizeof *chosen);
    uint8_t *crop = random_crop(), *other = random_crop(), plain[CLASSES], logits[CLASSES];
    assert_true(taken && chosen);
    nq_engine_run(engine, crop, 1, plain);

    nq_engine_set_probe(engine, (nq_engine_probe){.nanoseconds = taken});
    nq_engine_run(engine, crop, 1, logits);
    assert_memory_equal(logits, plain, CLASSES);
    for (size_t i = 0; i < count; i++)
        if (nq_node_has_weight(&m.graph.nodes[i]))
            assert_true(taken[i] > 0);

    /* the last layer alone sees what the last image left */
    memset(taken, 0, count * sizeof *taken);
    memset(logits, 0, sizeof logits);
    chosen[count - 1] = true;
    nq_engine_set_probe(engine, (nq_engine_probe){.nodes = chosen, .nanoseconds = taken});
    nq_engine_run(engine, other, 1, logits);
    assert_memory_equal(logits, plain, CLASSES);
    for (size_t i = 0; i + 1 < count; i++)
        assert_int_equal(taken[i], 0);

    nq_engine_set_probe(engine, (nq_engine_probe){NULL, NULL});
    nq_engine_run(engine, other, 1, logits);
    assert_memory_not_equal(logits, plain, CLASSES);
    free(taken), free(chosen), free(crop), free(other);
    nq_engine_free(engine);
    nq_plan_free(plan);
    nq_qmodel_free(&m);
}

static void what_check_refuses_makes_no_plan(void **state)
{
    (void)state;
    nq_qmodel m = random_model("shufflenet_v2_x0_5", CLASSES, baseline, 1);
    nq_error err = {0};
    nq_plan *plan;
    nq_engine *engine;
    assert_ok(nq_plan_create(&m, nq_kernels_at(0), &plan, &err), &err);
    assert_ok(nq_engine_create(plan, &engine, &err), &err);
    uint8_t byte = 0;
    const uint8_t *in[1] = {&byte};
    assert_refused(nq_engine_run_node(engine, m.graph.count, in, &byte, &err), NQ_ERR_INPUT, &err,
                   "is not in 0..");
    assert_refused(nq_engine_run_node(engine, -1, in, &byte, &err), NQ_ERR_INPUT, &err, "node -1");
    nq_engine_free(engine);
    nq_plan_free(plan);
    m.nodes[1].out.scale = NAN;
    assert_refused(nq_plan_create(&m, nq_kernels_at(0), &plan, &err), NQ_ERR_INPUT, &err,
                   m.graph.nodes[1].name);
    assert_null(plan);
    nq_qmodel_free(&m);
}

#define NETWORK(arch, shape)                                                                       \
    {                                                                                              \
#arch " " #shape, arch, NULL, NULL, (void *)&(shape)                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETWORK(resnet18, baseline),
        NETWORK(resnet18, narrow_weights),
        NETWORK(resnet18, narrow),
        NETWORK(mobilenet_v2, baseline),
        NETWORK(mobilenet_v2, narrow_weights),
        NETWORK(mobilenet_v2, narrow),
        NETWORK(shufflenet_v2, baseline),
        NETWORK(shufflenet_v2, narrow_weights),
        NETWORK(shufflenet_v2, narrow),
        NETWORK(shufflenet_v2_half, narrow),
        cmocka_unit_test(only_what_is_needed_runs),
        cmocka_unit_test(requantization_tables),
        cmocka_unit_test(input_table),
        cmocka_unit_test(blocks_in_use_do_not_overlap),
        cmocka_unit_test(memory_is_reused),
        cmocka_unit_test(probe_times_and_skips),
        cmocka_unit_test(what_check_refuses_makes_no_plan),
    };
    nq_random_init(&rng, 1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
