#include "worker/output/mixed_precision.h"

#include "common/chart.h"
#include "common/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_POINTS 200   /* of the frontier that are written down */
#define LEAST_KL    1e-12 /* what a logarithmic axis shows of 0 */
#define LABEL       96

/* ---- as JSON ---- */

static json_t *layer_to_json(const nq_mixed_precision *m, int node)
{
    const nq_node *n = &m->graph->nodes[node];
    json_t *list = json_array();
    for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++) {
        double kl = m->measured[node].kl[k];
        json_array_append_new(list, isfinite(kl) ? json_real(kl) : json_null());
    }
    return json_pack("{s:s, s:i, s:I, s:b, s:o}", "name", n->name, "bits", m->bits[node], "weights",
                     (json_int_t)nq_node_weights(m->graph, n), "kept", (int)m->widths[node].kept,
                     "kl", list);
}

static json_t *total_to_json(const nq_mixed_precision *m, nq_knapsack_choice total)
{
    uint64_t beside = m->size - nq_frontier_point(m->frontier, m->point).size;
    return json_pack("{s:I, s:f}", "size", (json_int_t)(total.size + beside), "kl", total.loss);
}

/* The first, the last, the chosen point, and others at even distances of size between. */
static json_t *frontier_to_json(const nq_mixed_precision *m)
{
    size_t count = nq_frontier_count(m->frontier);
    uint64_t least = nq_frontier_point(m->frontier, 0).size, next = least;
    uint64_t span = nq_frontier_point(m->frontier, count - 1).size - least;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        nq_knapsack_choice total = nq_frontier_point(m->frontier, i);
        if (total.size < next && i != m->point && i + 1 != count)
            continue;
        json_array_append_new(list, total_to_json(m, total));
        next = total.size + span / MOST_POINTS;
    }
    return list;
}

/* What it would be with every layer at one width. */
static json_t *uniform_to_json(const nq_mixed_precision *m)
{
    json_t *list = json_array();
    for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++) {
        nq_knapsack_choice sum = {0};
        for (int i = 0; i < m->graph->count; i++) {
            int width = m->widths[i].kept ? NQ_SENSITIVITY_WIDTHS - 1 : k;
            const nq_knapsack_choice *c = &m->choices[i * NQ_SENSITIVITY_WIDTHS + width];
            if (!nq_node_has_weight(&m->graph->nodes[i]))
                continue;
            sum.size += c->size;
            sum.loss += c->loss;
        }
        json_t *total = total_to_json(m, sum);
        json_object_set_new(total, "bits", json_integer(nq_sensitivity_bits[k]));
        json_array_append_new(list, total);
    }
    return list;
}

json_t *nq_mixed_precision_to_json(const nq_mixed_precision *m)
{
    json_t *layers = json_array(), *widths = json_array();
    for (int k = 0; k < NQ_SENSITIVITY_WIDTHS; k++)
        json_array_append_new(widths, json_integer(nq_sensitivity_bits[k]));
    for (int i = 0; i < m->graph->count; i++)
        if (nq_node_has_weight(&m->graph->nodes[i]))
            json_array_append_new(layers, layer_to_json(m, i));
    return json_pack("{s:I, s:I, s:f, s:I, s:I, s:o, s:o, s:o, s:o}", "budget",
                     (json_int_t)m->spec->weights.size_budget, "size", (json_int_t)m->size, "kl",
                     nq_frontier_point(m->frontier, m->point).loss, "samples",
                     (json_int_t)m->samples, "frontier_points",
                     (json_int_t)nq_frontier_count(m->frontier), "widths", widths, "layers", layers,
                     "uniform", uniform_to_json(m), "frontier", frontier_to_json(m));
}

/* ---- as a drawing ---- */

typedef struct {
    nq_chart_point *points;
    char (*labels)[LABEL];
    size_t count;
} drawing;

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static nq_chart_point *add_point(drawing *d, double x, double kl, bool frontier)
{
    d->points[d->count] = (nq_chart_point){
        .x = x, .y = fmax(kl, LEAST_KL), .label = d->labels[d->count], .frontier = frontier};
    return &d->points[d->count++];
}

static nq_chart_series begin(const drawing *d, const char *name, bool bare)
{
    return (nq_chart_series){.name = name,
                             .points = d->points + d->count,
                             .level = NAN,
                             .level_label = "",
                             .bare = bare};
}

#define SIZE_SERIES 3

static void draw_sizes(drawing *d, const json_t *mixed, nq_chart_series series[SIZE_SERIES])
{
    const json_t *frontier = json_object_get(mixed, "frontier");
    const json_t *uniform = json_object_get(mixed, "uniform");
    series[0] = begin(d, "frontier", true);
    for (size_t i = 0; i < json_array_size(frontier); i++, series[0].count++) {
        const json_t *at = json_array_get(frontier, i);
        add_point(d, number(at, "size") / 1e6, number(at, "kl"), true);
    }
    series[1] = begin(d, NULL, false);
    nq_chart_point *chosen = add_point(d, number(mixed, "size") / 1e6, number(mixed, "kl"), true);
    snprintf(d->labels[chosen - d->points], LABEL, "chosen: %.6f of %.6f MB",
             number(mixed, "size") / 1e6, number(mixed, "budget") / 1e6);
    series[1].name = chosen->label; /* the legend has room for it */
    series[1].count = 1;
    series[2] = begin(d, "one width", false);
    for (size_t i = 0; i < json_array_size(uniform); i++, series[2].count++) {
        const json_t *at = json_array_get(uniform, i);
        nq_chart_point *p = add_point(d, number(at, "size") / 1e6, number(at, "kl"), false);
        snprintf(d->labels[p - d->points], LABEL, "%.0f bits", number(at, "bits"));
    }
}

/* One series a width; filled where the layer got it. */
static void draw_layers(drawing *d, const json_t *mixed, char names[][LABEL],
                        nq_chart_series *series)
{
    const json_t *widths = json_object_get(mixed, "widths");
    const json_t *layers = json_object_get(mixed, "layers");
    for (size_t k = 0; k < json_array_size(widths); k++) {
        int bits = (int)json_integer_value(json_array_get(widths, k));
        snprintf(names[k], LABEL, "%d bits", bits);
        series[k] = begin(d, names[k], false);
        for (size_t i = 0; i < json_array_size(layers); i++) {
            const json_t *layer = json_array_get(layers, i);
            const json_t *kl = json_array_get(json_object_get(layer, "kl"), k);
            if (!json_is_number(kl))
                continue;
            bool chosen = number(layer, "bits") == bits;
            nq_chart_point *p = add_point(d, (double)i + 1, json_number_value(kl), chosen);
            snprintf(d->labels[p - d->points], LABEL, "%s",
                     json_string_value(json_object_get(layer, "name")));
            series[k].count++;
        }
    }
}

nq_status nq_frontier_write(const char *path, const json_t *mixed, const char *model, nq_error *err)
{
    size_t widths = json_array_size(json_object_get(mixed, "widths"));
    size_t layers = json_array_size(json_object_get(mixed, "layers"));
    size_t room = json_array_size(json_object_get(mixed, "frontier")) +
                  json_array_size(json_object_get(mixed, "uniform")) + 1 + widths * layers;
    char titles[2][2 * LABEL], names[NQ_SENSITIVITY_WIDTHS][LABEL];
    drawing d = {.points = calloc(room, sizeof *d.points),
                 .labels = calloc(room, sizeof *d.labels)};
    nq_chart_series sizes[SIZE_SERIES], each[NQ_SENSITIVITY_WIDTHS];
    char *svg = NULL;
    snprintf(titles[0], sizeof titles[0], "%s: size against summed sensitivity", model);
    snprintf(titles[1], sizeof titles[1], "%s: each layer alone", model);
    if (d.points && d.labels && widths <= NQ_SENSITIVITY_WIDTHS) {
        draw_sizes(&d, mixed, sizes);
        draw_layers(&d, mixed, names, each);
        const nq_chart charts[] = {{.title = titles[0],
                                    .x_title = "model.safetensors, MB",
                                    .y_title = "sum of the layers' KL, nats",
                                    .series = sizes,
                                    .count = SIZE_SERIES,
                                    .log_y = true,
                                    .less = true},
                                   {.title = titles[1],
                                    .x_title = "layer, in execution order",
                                    .y_title = "KL from the float network, nats",
                                    .series = each,
                                    .count = widths,
                                    .log_y = true,
                                    .scatter = true}};
        svg = nq_chart_svg(charts, sizeof charts / sizeof *charts);
    }
    nq_status status = svg ? nq_file_write_atomic(path, svg, strlen(svg), err)
                           : nq_fail_nomem(err, NQ_FRONTIER_SVG, room * sizeof *d.points);
    free(svg);
    free(d.points);
    free(d.labels);
    return status;
}
