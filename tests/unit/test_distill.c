/* Distilled images: losses and their gradients against double precision, one step of the optimizer,
 * the schedule, the views; that neither threads nor a stop half-way change a byte. */
#include "tests/unit/float_reference.h"

#include "common/file.h"
#include "worker/calibrate/distill.h"
#include "worker/calibrate/distill_image.h"
#include "worker/calibrate/distill_kernels.h"
#include "worker/calibrate/distill_loss.h"
#include "worker/imagenet/crop.h"

/* ---- the losses ---- */

/* Mean and standard deviation of channel c over images first .. first + images - 1. */
static void statistics(const nq_node *n, const double *kept, size_t first, size_t images, size_t c,
                       bool unbiased, double epsilon, double *mean, double *deviation)
{
    size_t pixels = (size_t)n->height * (size_t)n->width, channels = (size_t)n->channels;
    double sum = 0, square = 0, count = (double)(images * pixels);
    const double *from = kept + first * pixels * channels + c;
    for (size_t p = 0; p < images * pixels; p++)
        sum += from[p * channels];
    *mean = sum / count;
    for (size_t p = 0; p < images * pixels; p++)
        square += pow(from[p * channels] - *mean, 2);
    *deviation = sqrt(square / (unbiased ? count - 1 : count) + epsilon);
}

/* As distill.h says it, of the first `images` of the slice. */
static double reference_loss(const nq_graph *g, nq_loss_kind kind, const double *images,
                             size_t count)
{
    reference r = reference_run(g, images);
    double loss = 0, sites = 1;
    for (int i = 1; i < g->count; i++)
        sites += g->nodes[i].norm.gamma != NULL;
    for (int i = 0; i < g->count; i++) {
        const nq_node *n = &g->nodes[i];
        if (i > 0 && !n->norm.gamma)
            continue;
        for (size_t k = 0; k < REFERENCE_BATCH * nq_node_elements(n); k++)
            r.before[i][k] = reference_kept(n, k, r.before[i][k]);
        for (size_t c = 0; c < (size_t)n->channels; c++) {
            double variance = i ? (double)n->norm.var[c] : 1, mean, deviation;
            if (i && n->norm.gamma[c] == 0.0f)
                continue;
            for (size_t b = 0; kind == NQ_LOSS_ZEROQ && b < count; b++) {
                statistics(n, r.before[i], b, 1, c, true, 1e-6, &mean, &deviation);
                loss += (mean * mean + pow(deviation - sqrt(variance + 1e-6), 2)) / (double)count;
            }
            if (kind == NQ_LOSS_ZEROQ)
                continue;
            statistics(n, r.before[i], 0, count, c, false, 1e-5, &mean, &deviation);
            loss += (mean * mean + pow(deviation - sqrt(variance + 1e-5), 2)) / (variance + 1e-5) /
                    (n->channels * sites);
        }
    }
    reference_free(&r);
    return loss;
}

/* The slope of the reference along a few directions against what the hooks make of it. */
static void check_loss(nq_loss_kind kind, size_t count)
{
    nq_error err = {0};
    uint32_t state = 3;
    nq_graph g = reference_normed_graph();
    size_t all = REFERENCE_BATCH * nq_node_elements(&g.nodes[0]);
    float *images = small_values(all, 2.0f, &state);
    double *doubles = reference_images(&g, images), *moved = malloc(all * sizeof *moved);
    nq_grad_net *net = NULL;
    nq_grad_run *run = NULL;
    nq_distill_target target;
    nq_distill_room room;

    assert_ok(nq_distill_target_create(&g, kind, (int)count, REFERENCE_BATCH, &target, &err), &err);
    assert_ok(nq_distill_room_create(&target, &room, &err), &err);
    assert_ok(nq_grad_net_create(&g, REFERENCE_BATCH, (nq_grad_wanted){true, false}, &net, &err),
              &err);
    assert_ok(nq_grad_run_create(net, &run, &err), &err);
    memcpy(nq_grad_run_input(run), images, all * sizeof *images);
    room.images = (int)count;
    assert_ok(nq_grad_run_forward(run, nq_distill_observe, &room, &err), &err);
    nq_distill_balance(&room, room.sum, (int)count);
    assert_ok(nq_grad_run_backward(run, nq_distill_pull, &room, &err), &err);

    double want = reference_loss(&g, kind, doubles, count);
    assert_true(fabs(room.loss / want - 1) < 1e-4);
    if (kind == NQ_LOSS_BATCH)
        assert_true(fabs(nq_distill_batch_loss(&target, room.sum, (int)count) / want - 1) < 1e-4);
    const float *gradient = nq_grad_run_input_gradient(run);
    for (int trial = 0; trial < 5; trial++) {
        double slope = 0, ends[2];
        uint32_t begin = state;
        for (int side = 0; side < 2; side++) {
            state = begin;
            slope = 0;
            for (size_t k = 0; k < all; k++) {
                double direction = (double)small_random(&state);
                moved[k] = doubles[k] + (side ? 1e-6 : -1e-6) * direction;
                slope += direction * (double)gradient[k];
            }
            ends[side] = reference_loss(&g, kind, moved, count);
        }
        double found = (ends[1] - ends[0]) / 2e-6;
        if (!(fabs(slope - found) <= 1e-3 * (fabs(found) + 0.02)))
            fail_msg("slope %.9g, gradient %.9g", found, slope);
    }
    free(images);
    free(doubles);
    free(moved);
    nq_distill_room_free(&room);
    nq_distill_target_free(&target);
    nq_grad_run_free(run);
    nq_grad_net_free(net);
    nq_graph_free(&g);
}

static void zeroq_looks_at_each_image(void **unused)
{
    (void)unused;
    check_loss(NQ_LOSS_ZEROQ, REFERENCE_BATCH);
    check_loss(NQ_LOSS_ZEROQ, 2); /* the third only fills the slice */
}

static void batch_looks_at_all_images(void **unused)
{
    (void)unused;
    check_loss(NQ_LOSS_BATCH, REFERENCE_BATCH);
    check_loss(NQ_LOSS_BATCH, 2);
}

static void a_network_without_batch_norms_is_refused(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = small_every_kind();
    nq_distill_target target;
    assert_refused(nq_distill_target_create(&g, NQ_LOSS_BATCH, 4, 2, &target, &err), NQ_ERR_INPUT,
                   &err, "small has no batch norm");
    nq_distill_target_free(&target);
    nq_graph_free(&g);
}

/* ---- the optimizer ---- */

static void adam_moves_as_the_paper_says(void **unused)
{
    (void)unused;
    uint32_t state = 1;
    float *image = small_values(NQ_SAMPLE_FLOATS, 1.0f, &state);
    float *first = calloc(NQ_SAMPLE_FLOATS, sizeof(float));
    float *second = calloc(NQ_SAMPLE_FLOATS, sizeof(float));
    double m[64] = {0}, v[64] = {0}, x[64];
    for (int k = 0; k < 64; k++)
        x[k] = (double)image[k * 1001];
    for (int step = 0; step < 5; step++) {
        float *gradient = small_values(NQ_SAMPLE_FLOATS, 0.01f, &state);
        nq_distill_move(gradient, step, 0.3, false, first, second, image);
        for (int k = 0; k < 64; k++) {
            double g = (double)gradient[k * 1001];
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            x[k] -= 0.3 * (m[k] / (1 - pow(0.9, step + 1))) /
                    (sqrt(v[k] / (1 - pow(0.999, step + 1))) + 1e-8);
            assert_true(fabs(x[k] - (double)image[k * 1001]) < 1e-5);
        }
        free(gradient);
    }
    for (size_t k = 0; k < NQ_SAMPLE_FLOATS; k++)
        first[k] = k % 2 ? 1e3f : -1e3f; /* far beyond black and white */
    float table[3][256];
    nq_pixel_table(table);
    nq_distill_move(second, 1, 1e3, true, first, second, image);
    for (size_t k = 0; k < NQ_SAMPLE_FLOATS; k++)
        assert_true(image[k] == table[k % 3][k % 2 ? 0 : 255]);
    free(image);
    free(first);
    free(second);
}

static void the_rate_falls_where_nothing_is_gained(void **unused)
{
    (void)unused;
    nq_distill_rate r = nq_distill_rate_begin(NQ_LOSS_ZEROQ);
    assert_true(r.rate == 0.5);
    nq_distill_rate_next(&r, NQ_LOSS_ZEROQ, 7.0, 1, 500);
    for (int i = 0; i < 100; i++)
        nq_distill_rate_next(&r, NQ_LOSS_ZEROQ, 7.0 * (1 - 0.9e-4), 2, 500);
    assert_true(r.rate == 0.5); /* a hundred steps' patience */
    nq_distill_rate_next(&r, NQ_LOSS_ZEROQ, 7.0, 2, 500);
    assert_true(fabs(r.rate - 0.05) < 1e-12);
    nq_distill_rate_next(&r, NQ_LOSS_ZEROQ, 6.99, 2, 500);
    for (int i = 0; i < 1000; i++)
        nq_distill_rate_next(&r, NQ_LOSS_ZEROQ, 8.0, 2, 500);
    assert_true(r.rate == 1e-4);

    r = nq_distill_rate_begin(NQ_LOSS_BATCH);
    assert_true(r.rate == 0.1);
    nq_distill_rate_next(&r, NQ_LOSS_BATCH, 1.0, 50, 100);
    assert_true(fabs(r.rate - 0.05) < 1e-12);
    nq_distill_rate_next(&r, NQ_LOSS_BATCH, 1.0, 100, 100);
    assert_true(fabs(r.rate) < 1e-12);
}

/* ---- images ---- */

static void a_view_is_undone(void **unused)
{
    (void)unused;
    uint32_t state = 6;
    float *image = small_values(NQ_SAMPLE_FLOATS, 1.0f, &state);
    float *seen = malloc(NQ_SAMPLE_FLOATS * sizeof *seen);
    float *back = malloc(NQ_SAMPLE_FLOATS * sizeof *back);
    bool mirrored[2] = {false}, down[33] = {false};
    for (int step = 0; step < 400; step++) {
        nq_distill_view v = nq_distill_view_draw(9, 5, step);
        nq_distill_view again = nq_distill_view_draw(9, 5, step);
        int shift = (v.down + 16) % NQ_SAMPLE_SIDE;
        assert_true(shift >= 0 && shift <= 32 && (v.right + 16) % NQ_SAMPLE_SIDE <= 32);
        assert_true(again.down == v.down && again.right == v.right && again.mirror == v.mirror);
        mirrored[v.mirror] = down[shift] = true;
        if (step >= 4)
            continue;
        nq_distill_view_apply(v, image, seen);
        int column = v.mirror ? NQ_SAMPLE_SIDE - 1 - 30 : 30;
        size_t at = (size_t)(100 + v.down) % NQ_SAMPLE_SIDE * NQ_SAMPLE_SIDE +
                    (size_t)(column + v.right) % NQ_SAMPLE_SIDE;
        assert_true(seen[(100 * NQ_SAMPLE_SIDE + 30) * 3 + 1] == image[at * 3 + 1]);
        nq_distill_view_undo(v, seen, back);
        assert_memory_equal(back, image, NQ_SAMPLE_FLOATS * sizeof *image);
    }
    for (int i = 0; i < 33; i++)
        assert_true(down[i]);
    assert_true(mirrored[0] && mirrored[1]);
    free(image);
    free(seen);
    free(back);
}

static void measure(const float *image, double *mean, double *variance)
{
    *mean = *variance = 0;
    for (size_t k = 0; k < NQ_SAMPLE_FLOATS; k++)
        *mean += (double)image[k] / (double)NQ_SAMPLE_FLOATS;
    for (size_t k = 0; k < NQ_SAMPLE_FLOATS; k++)
        *variance += pow((double)image[k] - *mean, 2) / (double)NQ_SAMPLE_FLOATS;
}

static void images_start_from_noise(void **unused)
{
    (void)unused;
    nq_error err = {0};
    float *image = malloc(NQ_SAMPLE_FLOATS * sizeof *image);
    double mean, variance, neighbours = 0;
    assert_ok(nq_distill_start(NQ_INIT_GAUSSIAN, 1, 0, image, &err), &err);
    measure(image, &mean, &variance);
    assert_true(fabs(mean) < 0.01 && fabs(variance - 1) < 0.02);

    assert_ok(nq_distill_start(NQ_INIT_ZEROQ, 1, 0, image, &err), &err);
    measure(image, &mean, &variance);
    assert_true(fabs(mean + 0.5 / 5418.75) < 1e-4);
    assert_true(fabs(sqrt(variance) - sqrt((255.0 * 255 - 1) / 12) / 5418.75) < 1e-4);

    assert_ok(nq_distill_start(NQ_INIT_SMOOTH, 1, 0, image, &err), &err);
    measure(image, &mean, &variance);
    assert_true(variance > 0.2 && variance < 1.2);
    for (size_t k = 0; k + 3 < NQ_SAMPLE_FLOATS; k++)
        neighbours += pow((double)(image[k + 3] - image[k]), 2) / (double)NQ_SAMPLE_FLOATS;
    assert_true(neighbours < 0.3 * variance);
    free(image);
}

/* ---- the whole of it, on a network that takes milliseconds ---- */

static nq_graph quick_graph(void)
{
    nq_error err = {0};
    uint32_t state = 12;
    nq_graph g = small_graph(NQ_SAMPLE_SIDE, NQ_SAMPLE_SIDE, 3);
    int stem = small_conv(
        &g, NQ_OP_CONV, "stem", 0,
        (small_layer){.channels = 8, .kernel = 7, .stride = 8, .pad = 3, .relu = true}, &state);
    small_conv(&g, NQ_OP_CONV, "next", stem,
               (small_layer){.channels = 12, .kernel = 3, .stride = 2, .pad = 1}, &state);
    reference_add_norm(&g, "stem", &state);
    reference_add_norm(&g, "next", &state);
    for (size_t k = 0; k < nq_node_weights(&g, &g.nodes[stem]); k++)
        g.nodes[stem].weight[k] *= 0.2f; /* what the norm expects is within reach */
    assert_ok(nq_graph_fold(&g, &err), &err);
    return g;
}

typedef struct {
    size_t stop; /* after so many steps; 0: never */
    size_t seen, total;
    double first, last;
} watching;

static nq_status watch(void *context, size_t done, size_t total, double loss, nq_error *err)
{
    watching *w = context;
    w->first = w->seen++ == 0 ? loss : w->first;
    w->last = loss;
    w->total = total;
    return w->stop == done ? nq_fail(err, NQ_ERR_CANCELLED, "enough") : NQ_OK;
}

/* 5 images in batches of 3, 12 steps each. */
static nq_status distill(const nq_graph *g, nq_loss_kind loss, int threads, const char *state,
                         watching *w, float **images)
{
    nq_error err = {0};
    nq_pool *pool = NULL;
    nq_spec *spec = calloc(1, sizeof *spec);
    spec->calibrate.loss = loss;
    spec->calibrate.init = NQ_INIT_SMOOTH;
    spec->calibrate.samples = 5;
    spec->calibrate.batch = 3;
    spec->calibrate.steps = 12;
    spec->calibrate.seed = 4;
    assert_ok(nq_pool_create(threads, &pool, &err), &err);
    nq_distill ask = {
        .graph = g, .spec = spec, .pool = pool, .state = state, .progress = watch, .context = w};
    nq_status status = nq_distill_images(&ask, images, &err);
    nq_pool_free(pool);
    free(spec);
    return status;
}

#define IMAGES_BYTES (5 * NQ_SAMPLE_FLOATS * sizeof(float))

static void threads_do_not_matter(void **unused)
{
    (void)unused;
    nq_graph g = quick_graph();
    for (int loss = NQ_LOSS_BATCH; loss <= NQ_LOSS_ZEROQ; loss++) {
        watching w = {0}, w3 = {0};
        float *one = NULL, *three = NULL;
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 1, NULL, &w, &one), NQ_OK);
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 3, NULL, &w3, &three), NQ_OK);
        assert_memory_equal(one, three, IMAGES_BYTES);
        assert_true(w.last == w3.last && w.seen == 24 && w.total == 24);
        free(one);
        free(three);
    }
    nq_graph_free(&g);
}

static void images_come_closer_to_the_statistics(void **unused)
{
    (void)unused;
    nq_graph g = quick_graph();
    float table[3][256], *images = NULL;
    nq_pixel_table(table);
    watching w = {.stop = 12};
    assert_int_equal(distill(&g, NQ_LOSS_BATCH, 2, NULL, &w, &images), NQ_ERR_CANCELLED);
    assert_null(images);
    assert_true(w.last < 0.85 * w.first);
    w = (watching){0};
    assert_int_equal(distill(&g, NQ_LOSS_BATCH, 2, NULL, &w, &images), NQ_OK);
    for (size_t k = 0; k < 5 * NQ_SAMPLE_FLOATS; k++)
        assert_true(images[k] >= table[k % 3][0] && images[k] <= table[k % 3][255]);
    free(images);
    nq_graph_free(&g);
}

/* Stopped after every so many steps, and with a damaged file: the same bytes in the end. */
static void a_second_start_goes_on(void **unused)
{
    (void)unused;
    nq_error err = {0};
    nq_graph g = quick_graph();
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "state.bin");
    for (int loss = NQ_LOSS_BATCH; loss <= NQ_LOSS_ZEROQ; loss++) {
        watching w = {0};
        float *whole = NULL, *parts = NULL;
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 2, NULL, &w, &whole), NQ_OK);
        const size_t stops[] = {5, 11, 13, 18};
        for (size_t i = 0; i < 4; i++) {
            w = (watching){.stop = stops[i]};
            assert_int_equal(distill(&g, (nq_loss_kind)loss, 2, path, &w, &parts),
                             NQ_ERR_CANCELLED);
        }
        w = (watching){0};
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 2, path, &w, &parts), NQ_OK);
        assert_int_equal(w.seen, 24 - 17); /* the state of the step before the last stop */
        assert_memory_equal(whole, parts, IMAGES_BYTES);
        free(parts);

        w = (watching){0}; /* all is done: nothing is left to do */
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 2, path, &w, &parts), NQ_OK);
        assert_int_equal(w.seen, 0);
        assert_memory_equal(whole, parts, IMAGES_BYTES);
        free(parts);

        uint8_t *data = NULL;
        size_t size = 0;
        assert_ok(nq_file_read(path, 1 << 28, &data, &size, &err), &err);
        data[size / 2] ^= 1;
        assert_ok(nq_file_write_atomic(path, data, size, &err), &err);
        w = (watching){0};
        assert_int_equal(distill(&g, (nq_loss_kind)loss, 1, path, &w, &parts), NQ_OK);
        assert_int_equal(w.seen, 24);
        assert_memory_equal(whole, parts, IMAGES_BYTES);
        assert_ok(nq_file_write_atomic(path, data, size / 3, &err), &err);
        free(parts);
        free(whole);
        free(data);
    }
    nq_dir_remove(folder, &err);
    free(folder);
    free(path);
    nq_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroq_looks_at_each_image),
        cmocka_unit_test(batch_looks_at_all_images),
        cmocka_unit_test(a_network_without_batch_norms_is_refused),
        cmocka_unit_test(adam_moves_as_the_paper_says),
        cmocka_unit_test(the_rate_falls_where_nothing_is_gained),
        cmocka_unit_test(a_view_is_undone),
        cmocka_unit_test(images_start_from_noise),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(images_come_closer_to_the_statistics),
        cmocka_unit_test(a_second_start_goes_on),
    };
    return cmocka_run_group_tests_name("distill", tests, NULL, NULL);
}
