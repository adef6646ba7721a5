/* Grids of jobs: their cells, the frontier of what they reach, the drawing. */
#include "tests/unit/nq_test.h"

#include "client/grid.h"
#include "client/pareto.h"
#include "client/sweep.h"
#include "common/chart.h"
#include <math.h>

/* ---- the grid ---- */

typedef struct {
    const char *key, *text;
} words;

static nq_status make(const words *all, const char *base, json_t **cells, nq_error *err)
{
    json_t *axes = json_array(), *spec = json_loads(base, 0, NULL);
    nq_status status = NQ_OK;
    *cells = NULL;
    for (; all->key && status == NQ_OK; all++)
        status = nq_grid_add(axes, all->key, all->text, err);
    if (status == NQ_OK)
        status = nq_grid_cells(axes, spec, cells, err);
    json_decref(axes);
    json_decref(spec);
    return status;
}

static void expect_cells(const words *all, const char *base, const char *want)
{
    nq_error err = {0};
    json_t *cells, *parsed = json_loads(want, 0, NULL);
    assert_non_null(parsed);
    assert_ok(make(all, base, &cells, &err), &err);
    if (!json_equal(cells, parsed)) {
        char *text = json_dumps(cells, JSON_COMPACT);
        fail_msg("the cells are\n%s\nnot\n%s", text, want);
    }
    json_decref(cells);
    json_decref(parsed);
}

static void last_axis_runs_fastest(void **state)
{
    (void)state;
    expect_cells((const words[]){{"model", "a"},
                                 {"weights.bits", "4"},
                                 {"calibrate.seed", "1,2"},
                                 {"model", "b"},
                                 {NULL, NULL}},
                 "{\"weights\":{\"range\":\"mse\"}}",
                 "[{\"cell\":{\"model\":\"a\",\"weights.bits\":\"4\",\"calibrate.seed\":\"1\"},"
                 "\"spec\":{\"weights\":{\"range\":\"mse\",\"bits\":4},\"model\":\"a\","
                 "\"calibrate\":{\"seed\":1}}},"
                 "{\"cell\":{\"model\":\"a\",\"weights.bits\":\"4\",\"calibrate.seed\":\"2\"},"
                 "\"spec\":{\"weights\":{\"range\":\"mse\",\"bits\":4},\"model\":\"a\","
                 "\"calibrate\":{\"seed\":2}}},"
                 "{\"cell\":{\"model\":\"b\",\"weights.bits\":\"4\",\"calibrate.seed\":\"1\"},"
                 "\"spec\":{\"weights\":{\"range\":\"mse\",\"bits\":4},\"model\":\"b\","
                 "\"calibrate\":{\"seed\":1}}},"
                 "{\"cell\":{\"model\":\"b\",\"weights.bits\":\"4\",\"calibrate.seed\":\"2\"},"
                 "\"spec\":{\"weights\":{\"range\":\"mse\",\"bits\":4},\"model\":\"b\","
                 "\"calibrate\":{\"seed\":2}}}]");
}

static void float_cells_come_first_and_once(void **state)
{
    (void)state;
    expect_cells(
        (const words[]){{"preset", "w8a8,float"},
                        {"bits", "8/8,4/6"},
                        {"calibrate.source", "gaussian"},
                        {"keep_8bit", "first,last;"},
                        {"limit", "9"},
                        {NULL, NULL}},
        "{\"model\":\"m\"}",
        "[{\"cell\":{\"preset\":\"float\",\"limit\":\"9\"},"
        "\"spec\":{\"model\":\"m\",\"preset\":\"float\",\"limit\":9}},"
        "{\"cell\":{\"preset\":\"w8a8\",\"bits\":\"8/8\",\"calibrate.source\":\"gaussian\","
        "\"keep_8bit\":\"first,last\",\"limit\":\"9\"},"
        "\"spec\":{\"model\":\"m\",\"preset\":\"w8a8\",\"weights\":{\"bits\":8},"
        "\"activations\":{\"bits\":8},\"calibrate\":{\"source\":\"gaussian\"},"
        "\"keep_8bit\":[\"first\",\"last\"],\"limit\":9}},"
        "{\"cell\":{\"preset\":\"w8a8\",\"bits\":\"8/8\",\"calibrate.source\":\"gaussian\","
        "\"keep_8bit\":\"\",\"limit\":\"9\"},"
        "\"spec\":{\"model\":\"m\",\"preset\":\"w8a8\",\"weights\":{\"bits\":8},"
        "\"activations\":{\"bits\":8},\"calibrate\":{\"source\":\"gaussian\"},"
        "\"keep_8bit\":[],\"limit\":9}},"
        "{\"cell\":{\"preset\":\"w8a8\",\"bits\":\"4/6\",\"calibrate.source\":\"gaussian\","
        "\"keep_8bit\":\"first,last\",\"limit\":\"9\"},"
        "\"spec\":{\"model\":\"m\",\"preset\":\"w8a8\",\"weights\":{\"bits\":4},"
        "\"activations\":{\"bits\":6},\"calibrate\":{\"source\":\"gaussian\"},"
        "\"keep_8bit\":[\"first\",\"last\"],\"limit\":9}},"
        "{\"cell\":{\"preset\":\"w8a8\",\"bits\":\"4/6\",\"calibrate.source\":\"gaussian\","
        "\"keep_8bit\":\"\",\"limit\":\"9\"},"
        "\"spec\":{\"model\":\"m\",\"preset\":\"w8a8\",\"weights\":{\"bits\":4},"
        "\"activations\":{\"bits\":6},\"calibrate\":{\"source\":\"gaussian\"},"
        "\"keep_8bit\":[],\"limit\":9}}]");
    /* The same value twice is one cell. */
    expect_cells((const words[]){{"model", "m,m"}, {NULL, NULL}}, "{}",
                 "[{\"cell\":{\"model\":\"m\"},\"spec\":{\"model\":\"m\"}}]");
}

static void wrong_grids_are_refused(void **state)
{
    (void)state;
    const struct {
        words all[4];
        const char *sentence;
    } cases[] = {
        {{{"model", "m"}, {"weights.bits", "4,9"}}, "weights.bits: "},
        {{{"model", "m"}, {"weight.bits", "4"}}, "weights.bits"}, /* the nearest */
        {{{"model", "m"}, {"bits", "48"}}, "bits: \"48\" is not a pair"},
        {{{"model", "m"}, {"bits", "4/9"}}, "activations.bits: "},
        {{{"model", "m"}, {"bits", "4/8"}, {"weights.bits", "4"}}, "bits sets weights.bits, too"},
        {{{"weights.bits", "4"}}, "weights.bits=4: model: "},
        {{{"model", "m"}, {"preset", "w8a8,nope"}}, "m nope: preset: "},
        {{{"model", "m"}, {"preset", "baseline"}, {"activations.range", "minmax,kl"}},
         "m baseline activations.range=kl: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nq_error err = {0};
        json_t *cells;
        assert_refused(make(cases[i].all, "{}", &cells, &err), NQ_ERR_INPUT, &err,
                       cases[i].sentence);
        assert_null(cells);
    }
    char many[4096] = "1";
    for (int i = 2; i <= 101; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",%d", i);
    nq_error err = {0};
    json_t *cells;
    const words large[] = {{"model", "m"}, {"limit", many}, {"calibrate.seed", many}, {NULL, NULL}};
    assert_refused(make(large, "{}", &cells, &err), NQ_ERR_INPUT, &err, "more than 10000 cells");
}

/* ---- the frontier ---- */

static void frontier_of_known_points(void **state)
{
    (void)state;
    const nq_result_point points[] = {{75, 70}, {75, 69}, {87, 60}, {87, 60}, {80, 60},
                                      {70, 72}, {60, 72}, {90, 10}, {89, 9}};
    const bool want[] = {true, false, true, true, false, true, false, true, false};
    enum { COUNT = sizeof points / sizeof *points };
    bool on[COUNT];
    nq_pareto(points, COUNT, on);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(on[i], want[i]);
    nq_pareto(points, 0, on);
    nq_pareto(points, 1, on);
    assert_true(on[0]);
}

static int by_ratio(const void *p, const void *q)
{
    const nq_result_point *a = p, *b = q;
    if (a->ratio != b->ratio)
        return a->ratio > b->ratio ? -1 : 1;
    return (a->accuracy < b->accuracy) - (a->accuracy > b->accuracy);
}

/* From the highest ratio down, a point is on the frontier that raises the best accuracy so far. */
static void frontier_of_random_points(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    srand(5);
    for (int round = 0; round < 200; round++) {
        nq_result_point points[COUNT];
        bool on[COUNT];
        for (int i = 0; i < COUNT; i++)
            points[i] = (nq_result_point){rand() % 20, rand() % 20};
        qsort(points, COUNT, sizeof *points, by_ratio);
        nq_pareto(points, COUNT, on);
        double best = -1;
        for (int i = 0; i < COUNT; i++) {
            bool same = i > 0 && by_ratio(&points[i], &points[i - 1]) == 0;
            assert_int_equal(on[i], same ? on[i - 1] : points[i].accuracy > best);
            best = fmax(best, points[i].accuracy);
        }
    }
}

/* ---- results ---- */

#define JOB(number, model, preset, state, images, ratio, top1)                                     \
    "{\"job\":" #number ",\"model\":\"" model "\",\"preset\":\"" preset "\",\"state\":\"" state    \
    "\",\"dataset\":\"d\",\"result\":{\"images\":" #images ",\"compression_ratio\":" #ratio        \
    ",\"top1\":" #top1 "}}"

static void results_are_compared_by_model_and_images(void **state)
{
    (void)state;
    const char *cells_text = "[{\"cell\":{\"model\":\"a\",\"preset\":\"float\"}},"
                             "{\"cell\":{\"model\":\"a\",\"preset\":\"x\",\"limit\":\"0\"}},"
                             "{\"cell\":{\"model\":\"a\",\"preset\":\"y\",\"limit\":\"0\"}},"
                             "{\"cell\":{\"model\":\"b\",\"preset\":\"x\",\"limit\":\"0\"}},"
                             "{\"cell\":{\"model\":\"b\",\"preset\":\"y\",\"limit\":\"0\"}}]";
    const char *jobs_text[] = {
        JOB(1, "a", "float", "done", 50, 0, 90.5), JOB(2, "a", "x", "done", 50, 75, 88),
        JOB(3, "a", "y", "done", 50, 74, 80), JOB(4, "b", "x", "done", 50, 70, 10),
        "{\"job\":5,\"state\":\"failed\"}"};
    json_t *cells = json_loads(cells_text, 0, NULL), *jobs = json_array();
    nq_error err = {0};
    nq_sweep sweep;
    char name[NQ_GRID_NAME];
    size_t *members, count;
    for (int i = 0; i < 5; i++)
        assert_int_equal(json_array_append_new(jobs, json_loads(jobs_text[i], 0, NULL)), 0);
    assert_ok(nq_sweep_create(3, cells, jobs, &sweep, &err), &err);
    assert_int_equal(sweep.series_count, 2);
    assert_true(sweep.one_dataset);
    assert_string_equal(sweep.series[1].name, "b");
    assert_int_equal(sweep.series[0].reference, 0);
    assert_int_equal(sweep.series[1].reference, SIZE_MAX);
    const bool frontier[] = {false, true, false, true, false};
    for (int i = 0; i < 5; i++)
        assert_int_equal(sweep.cells[i].frontier, frontier[i]);
    assert_float_equal(sweep.cells[1].drop, 2.5, 0);
    assert_true(isnan(sweep.cells[0].drop) && isnan(sweep.cells[3].drop));
    nq_sweep_cell_name(&sweep, &sweep.cells[2], true, name);
    assert_string_equal(name, "y"); /* limit does not vary */
    nq_sweep_cell_name(&sweep, &sweep.cells[2], false, name);
    assert_string_equal(name, "a y");
    assert_ok(nq_sweep_frontier(&sweep, 0, &members, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(members[0], 1);
    free(members);
    nq_sweep_free(&sweep);
    json_decref(cells);
    json_decref(jobs);
}

/* ---- the drawing ---- */

static void chart_escapes_text(void **state)
{
    (void)state;
    const nq_chart_point points[] = {{75, 70, "a<b & \"c\"\x01", true}, {80, 65, "plain", true}};
    const nq_chart_series series = {"<script>", points, 2, 78.5, "float & more", false};
    const nq_chart chart = {"t > u", "x", "y", &series, 1, false, false, false};
    char *svg = nq_chart_svg(&chart, 1);
    assert_non_null(svg);
    assert_non_null(strstr(svg, "a&lt;b &amp; \"c\"?</title>"));
    assert_non_null(strstr(svg, "&lt;script&gt;"));
    assert_non_null(strstr(svg, "float &amp; more"));
    assert_non_null(strstr(svg, "t &gt; u"));
    assert_null(strstr(svg, "<script"));
    assert_non_null(strstr(svg, "</svg>\n"));
    free(svg);
}

/* The staircase goes down from a corner to the next one's height, then across. */
static void chart_draws_a_staircase(void **state)
{
    (void)state;
    const nq_chart_point points[] = {
        {80, 65, "b", true}, {75, 70, "a", true}, {76, 60, "c", false}};
    const nq_chart_series series = {"m", points, 3, NAN, "", false};
    const nq_chart chart = {"t", "x", "y", &series, 1, false, false, false};
    char *svg = nq_chart_svg(&chart, 1);
    float cx[3], cy[3], x, y, down, across;
    assert_non_null(svg);
    const char *at = svg;
    for (int i = 0; i < 3; i++) {
        at = strstr(at, "<circle cx=\"");
        while (at && strstr(at, "cy=\"44\"") && strstr(at, "cy=\"44\"") < strchr(at, '>'))
            at = strstr(at + 1, "<circle cx=\""); /* the legend's */
        assert_non_null(at);
        assert_int_equal(sscanf(at, "<circle cx=\"%f\" cy=\"%f\"", &cx[i], &cy[i]), 2);
        at++;
    }
    const char *path = strstr(svg, "<path d=\"M");
    path = path ? strstr(path + 1, "<path d=\"M") : NULL; /* the first are the axes */
    assert_non_null(path);
    assert_int_equal(sscanf(path, "<path d=\"M%f %fV%fH%f\"", &x, &y, &down, &across), 4);
    assert_float_equal(x, cx[1], 0.01);
    assert_float_equal(y, cy[1], 0.01);
    assert_float_equal(down, cy[0], 0.01);
    assert_float_equal(across, cx[0], 0.01);
    assert_true(cx[1] < cx[2] && cx[2] < cx[0] && cy[1] < cy[0] && cy[0] < cy[2]);
    assert_null(strstr(svg, "nan"));
    free(svg);
}

static void chart_of_nothing_and_of_one_point(void **state)
{
    (void)state;
    const nq_chart nothing = {"t", "x", "y", NULL, 0, false, false, false};
    const nq_chart_point point = {75, 70, "a", true};
    const nq_chart_series series = {"m", &point, 1, NAN, "", false};
    const nq_chart one = {"t", "x", "y", &series, 1, false, false, false};
    const nq_chart *const charts[] = {&nothing, &one};
    for (int i = 0; i < 2; i++) {
        char *svg = nq_chart_svg(charts[i], 1);
        assert_non_null(svg);
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        free(svg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_axis_runs_fastest),
        cmocka_unit_test(float_cells_come_first_and_once),
        cmocka_unit_test(wrong_grids_are_refused),
        cmocka_unit_test(frontier_of_known_points),
        cmocka_unit_test(frontier_of_random_points),
        cmocka_unit_test(results_are_compared_by_model_and_images),
        cmocka_unit_test(chart_escapes_text),
        cmocka_unit_test(chart_draws_a_staircase),
        cmocka_unit_test(chart_of_nothing_and_of_one_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
