/* Making a job's model: what is frozen, what is kept, what is made again. */
#include "tests/unit/demo_graph.h"

#include "common/file.h"
#include "worker/make_model.h"

#include <unistd.h>

typedef struct {
    nq_graph graph;
    nq_job_file job;
    nq_pool *pool;
    nq_progress_report report;
    char *dir, *model, *layers;
} setup;

/* `bits` 0: auto. */
static void setup_create(setup *s, int bits)
{
    nq_error err = {0};
    memset(s, 0, sizeof *s);
    s->graph = demo_graph();
    json_t *spec = json_pack("{s:s, s:s, s:{s:i}}", "model", "demo", "preset", "w8a8", "calibrate",
                             "samples", 2);
    assert_ok(nq_spec_resolve(spec, &s->job.spec, &err), &err);
    json_decref(spec);
    s->job.spec.weights.bits = bits;
    s->job.spec.weights.size_budget = bits ? 0 : 250000;
    memset(s->job.fingerprint, 'a', NQ_SHA256_TEXT - 1);
    assert_ok(nq_pool_create(1, &s->pool, &err), &err);
    s->dir = nq_test_folder();
    char *state = nq_path_join(s->dir, "state");
    assert_ok(nq_dir_make(state, 0755, &err), &err);
    s->model = nq_path_join(state, "model-aaaaaaaaaaaaaaaa.safetensors");
    s->layers = nq_path_join(state, "layers-aaaaaaaaaaaaaaaa.json");
    free(state);
    nq_progress_open(&s->report);
}

static void setup_free(setup *s)
{
    nq_error err = {0};
    nq_dir_remove(s->dir, &err);
    nq_pool_free(s->pool);
    nq_graph_free(&s->graph);
    free(s->dir), free(s->model), free(s->layers);
}

static nq_status make(setup *s, nq_made_model *made, nq_error *err)
{
    *made = (nq_made_model){0};
    return nq_made_model_make(s->dir, &s->job, &s->graph, s->pool, &s->report, made, err);
}

/* Whether this start went through a stage. */
static bool went_through(const setup *s, const char *stage)
{
    for (int i = 0; i < s->report.stages; i++)
        if (strcmp(s->report.stage[i].name, stage) == 0)
            return true;
    return false;
}

static bool calibrated(const setup *s)
{
    return went_through(s, "calibrate");
}

static void second_start_takes_what_was_kept(void **state)
{
    (void)state;
    setup s;
    nq_error err = {0};
    nq_made_model first, second;
    setup_create(&s, 8);
    assert_ok(make(&s, &first, &err), &err);
    assert_true(calibrated(&s));
    nq_progress_open(&s.report);
    assert_ok(make(&s, &second, &err), &err);
    assert_false(calibrated(&s));
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.bytes, second.bytes, first.size);
    assert_true(json_equal(first.layers, second.layers));
    nq_made_model_free(&second);

    const char *const damaged[] = {s.model, s.layers};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(truncate(damaged[i], 100), 0);
        nq_progress_open(&s.report);
        assert_ok(make(&s, &second, &err), &err);
        assert_true(calibrated(&s));
        assert_memory_equal(first.bytes, second.bytes, first.size);
        assert_true(json_equal(first.layers, second.layers));
        nq_made_model_free(&second);
    }
    nq_made_model_free(&first);
    setup_free(&s);
}

static void chosen_widths_are_kept_too(void **state)
{
    (void)state;
    setup s;
    nq_error err = {0};
    nq_made_model first, second;
    setup_create(&s, 0);
    assert_ok(make(&s, &first, &err), &err);
    assert_true(went_through(&s, "sensitivity") && first.size <= 250000);
    assert_non_null(first.mixed);
    for (int whole = 1; whole >= 0; whole--) {
        if (!whole) { /* a report that says nothing of the widths */
            const char *text = "{\"layers\":[]}";
            assert_ok(nq_file_write_atomic(s.layers, text, strlen(text), &err), &err);
        }
        nq_progress_open(&s.report);
        assert_ok(make(&s, &second, &err), &err);
        assert_true(went_through(&s, "sensitivity") == !whole);
        assert_memory_equal(first.bytes, second.bytes, first.size);
        assert_true(json_equal(first.layers, second.layers));
        assert_true(json_equal(first.mixed, second.mixed));
        nq_made_model_free(&second);
    }
    nq_made_model_free(&first);
    setup_free(&s);
}

static void changed_samples_are_refused(void **state)
{
    (void)state;
    setup s;
    nq_error err = {0};
    nq_made_model made;
    setup_create(&s, 8);
    char *samples = nq_path_join(s.dir, "samples");
    assert_ok(nq_dir_make(samples, 0755, &err), &err);
    s.job.calibration = (nq_place){.root = s.dir, .path = "samples"};
    memset(s.job.calibration_sha256, '0', NQ_SHA256_TEXT - 1);
    assert_refused(make(&s, &made, &err), NQ_ERR_INPUT, &err, "samples changed since");
    nq_made_model_free(&made);
    free(samples);
    setup_free(&s);
}

static void a_changed_file_is_refused(void **state)
{
    (void)state;
    nq_error err = {0};
    const char *abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_ok(nq_check_frozen("the checkpoint", "x.pth", "abc", 3, abc, &err), &err);
    assert_ok(nq_check_frozen("the checkpoint", "x.pth", "abd", 3, "", &err), &err);
    assert_refused(nq_check_frozen("the checkpoint", "x.pth", "abd", 3, abc, &err), NQ_ERR_INPUT,
                   &err, "the checkpoint x.pth changed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_start_takes_what_was_kept),
        cmocka_unit_test(chosen_widths_are_kept_too),
        cmocka_unit_test(changed_samples_are_refused),
        cmocka_unit_test(a_changed_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
