#include "tests/unit/random_model.h"

static const random_shape plain = {.bits = 8, .activation = 8};

static nq_qmodel model;

static int setup(void **state)
{
    (void)state;
    model = random_model("shufflenet_v2_x0_5", 10, plain, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nq_qmodel_free(&model);
    return 0;
}

static int first_of(nq_op op)
{
    for (int i = 0; i < model.graph.count; i++)
        if (model.graph.nodes[i].op == op)
            return i;
    fail_msg("no such node");
    return -1;
}

static void refused(int node, const char *words)
{
    nq_error err = {0};
    assert_refused(nq_qmodel_check(&model, &err), NQ_ERR_INPUT, &err, words);
    assert_non_null(strstr(err.text, model.graph.nodes[node].name));
}

static void a_whole_model_passes(void **state)
{
    (void)state;
    nq_error err = {0};
    assert_ok(nq_qmodel_check(&model, &err), &err);
}

static void create_makes_room(void **state)
{
    (void)state;
    nq_qmodel m;
    nq_error err = {0};
    assert_ok(nq_qmodel_create("resnet18", 7, &m, &err), &err);
    for (int i = 0; i < m.graph.count; i++) {
        bool layer = nq_node_has_weight(&m.graph.nodes[i]);
        assert_int_equal(m.nodes[i].weight != NULL, layer);
        assert_int_equal(m.nodes[i].bias != NULL, layer);
        assert_null(m.nodes[i].weight_scale);
        assert_int_equal(m.nodes[i].weight_bits, layer ? 8 : 0);
    }
    nq_qmodel_free(&m);
    assert_refused(nq_qmodel_create("resnet19", 7, &m, &err), NQ_ERR_MISSING, &err, "resnet19");
    assert_null(m.nodes);
    nq_qmodel_free(&m);
}

static void scales_are_one_or_all(void **state)
{
    (void)state;
    nq_error err = {0};
    int i = first_of(NQ_OP_CONV);
    assert_refused(nq_qnode_set_scales(&model, i, 2, &err), NQ_ERR_INTERNAL, &err,
                   "2 weight scales");
    assert_refused(nq_qnode_set_scales(&model, first_of(NQ_OP_CAT), 1, &err), NQ_ERR_INTERNAL, &err,
                   "weight scales");
    free(model.nodes[i].weight_scale);
    model.nodes[i].weight_scale = NULL;
    refused(i, "0 weight scales");
}

static void bad_scales(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_CONV);
    static const float bad[] = {0.0f, -1.0f, NAN, INFINITY, 1e-20f, 1e20f};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        float was = model.nodes[i].out.scale;
        model.nodes[i].out.scale = bad[k];
        refused(i, "scale of its output");
        model.nodes[i].out.scale = was;
        was = model.nodes[i].weight_scale[0];
        model.nodes[i].weight_scale[0] = bad[k];
        refused(i, "weight scale 0");
        model.nodes[i].weight_scale[0] = was;
    }
}

static void bad_integers(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_CAT);
    nq_qparams *p = &model.nodes[i].out, was = *p;
    p->zero_point = 256;
    refused(i, "zero point");
    p->zero_point = -1;
    refused(i, "zero point");
    *p = was;
    static const int bad[] = {-1, 0, 1, 2, 100, 256, 511};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        p->qmax = bad[k];
        refused(i, "largest integer");
    }
    p->qmax = 15;
    p->zero_point = 16;
    refused(i, "0..15");
}

static void bad_weights(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_LINEAR);
    nq_qnode *q = &model.nodes[i];
    q->weight_bits = 9;
    refused(i, "9 bits");
    q->weight_bits = 1;
    refused(i, "1 bits");
    q->weight_bits = 4;
    memset(q->weight, 7, nq_node_weights(&model.graph, &model.graph.nodes[i]));
    nq_error err = {0};
    assert_ok(nq_qmodel_check(&model, &err), &err);
    q->weight[3] = 8;
    refused(i, "weight 8 of channel 0 is not in -8..7");
    q->weight[3] = -9;
    refused(i, "weight -9");
}

static void bad_bias(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_CONV);
    model.nodes[i].bias[5] = NAN;
    refused(i, "bias of channel 5");
    free(model.nodes[i].bias);
    model.nodes[i].bias = NULL;
    nq_error err = {0};
    assert_ok(nq_qmodel_check(&model, &err), &err);
}

static void bad_table(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_LINEAR);
    model.nodes[i].has_table = true;
    model.nodes[i].in = (nq_qparams){.scale = 1, .zero_point = 3, .qmax = 15};
    nq_error err = {0};
    assert_ok(nq_qmodel_check(&model, &err), &err);
    model.nodes[i].in.scale = 0;
    refused(i, "requantized input");
}

static void data_movement_keeps_parameters(void **state)
{
    (void)state;
    static const nq_op ops[] = {NQ_OP_SHUFFLE, NQ_OP_SLICE, NQ_OP_MAXPOOL};
    for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
        int i = first_of(ops[k]);
        model.nodes[i].out.zero_point++;
        refused(i, "differ from those of its input");
        model.nodes[i].out.zero_point--;
    }
}

/* No supported architecture is deep enough, so the last layer is made to look it. */
static void accumulators_must_fit(void **state)
{
    (void)state;
    int i = first_of(NQ_OP_LINEAR), in = model.graph.nodes[i].input[0];
    nq_qnode *q = &model.nodes[i];
    model.graph.nodes[in].channels = 70000;
    size_t weights = nq_node_weights(&model.graph, &model.graph.nodes[i]);
    free(q->weight);
    q->weight = malloc(weights);
    assert_non_null(q->weight);
    memset(q->weight, -127, weights);
    nq_error err = {0};
    refused(i, "overflow 32 bits");
    memset(q->weight, -120, weights); /* 255 * 120 * 70000 < 2^31 */
    assert_ok(nq_qmodel_check(&model, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_model_passes, setup, teardown),
        cmocka_unit_test(create_makes_room),
        cmocka_unit_test_setup_teardown(scales_are_one_or_all, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_scales, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_bias, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_table, setup, teardown),
        cmocka_unit_test_setup_teardown(data_movement_keeps_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(accumulators_must_fit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
