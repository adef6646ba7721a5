#include "worker/quantize/bn_ranges.h"

#include <math.h>
#include <stdlib.h>

#define UNIT 0x1p40 /* of a histogram's counts: all of a node's values */

double nq_bn_sigmas(int bits)
{
    return fmax(0.75 * bits, 2);
}

static nq_range of_channels(const nq_normal *channel, int count, double sigmas)
{
    double low = INFINITY, high = -INFINITY;
    for (int c = 0; c < count; c++) {
        double reach = sigmas * channel[c].sd, floor = channel[c].clipped ? 0 : -INFINITY;
        low = fmin(low, fmax(channel[c].mean - reach, floor));
        high = fmax(high, fmax(channel[c].mean + reach, floor));
    }
    return (nq_range){.low = (float)low, .high = (float)high};
}

/* Logits that are bounded together, so that a feature's moments are asked for seldom. */
enum { CLASSES = 256 };

/* Adds a feature's least and largest part in the logits of `count` classes: see the header. weight:
 * the first one's, others follow every `stride`. */
static void add_feature(const float *weight, size_t stride, int count, nq_normal feature,
                        double *against, double *in_favour)
{
    double mean = nq_normal_mean(feature), sd = sqrt(nq_normal_variance(feature));
    for (int c = 0; c < count; c++) {
        double w = (double)weight[(size_t)c * stride];
        if (feature.clipped) {
            in_favour[c] += w > 0 ? 2 * w * mean : 0;
            against[c] += w < 0 ? w * mean : 0;
        } else {
            in_favour[c] += w * mean + fabs(w) * sd;
            against[c] += w * mean - fabs(w) * sd;
        }
    }
}

static nq_range of_linear(const nq_node *node, const nq_normal *features, int inputs)
{
    double low = INFINITY, high = -INFINITY, against[CLASSES], in_favour[CLASSES];
    for (int first = 0; first < node->channels; first += CLASSES) {
        int count = node->channels - first < CLASSES ? node->channels - first : CLASSES;
        for (int c = 0; c < count; c++)
            against[c] = in_favour[c] = node->bias ? (double)node->bias[first + c] : 0;
        for (int i = 0; i < inputs; i++)
            add_feature(node->weight + (size_t)first * (size_t)inputs + i, (size_t)inputs, count,
                        features[i], against, in_favour);
        for (int c = 0; c < count; c++) {
            low = fmin(low, against[c]);
            high = fmax(high, in_favour[c]);
        }
    }
    if (node->relu)
        low = fmax(low, 0), high = fmax(high, 0);
    return (nq_range){.low = (float)low, .high = (float)high};
}

/* The distribution function of a Laplace distribution with mean 0 and variance 1, on a grid: a
 * histogram asks for it thousands of times a channel. */
enum { STEPS = 64, REACH = 16, POINTS = 2 * STEPS * REACH + 2 };

static void fill_table(double table[POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        double z = (double)i / STEPS - REACH, tail = nq_portable_exp(-M_SQRT2 * fabs(z)) / 2;
        table[i] = z < 0 ? tail : 1 - tail;
    }
}

static double look_up(const double table[POINTS], double z)
{
    double at = (z + REACH) * STEPS;
    if (!(at > 0))
        return 0;
    if (at >= POINTS - 2)
        return 1;
    int i = (int)at;
    return table[i] + (at - i) * (table[i + 1] - table[i]);
}

/* A channel's mass below a bin's upper edge, less what was below its lower one. What lies outside
 * the range goes to the bins at its ends. */
static void add_channel(nq_normal n, nq_range range, const double table[POINTS], double *mass)
{
    double low = (double)range.low, width = ((double)range.high - low) / NQ_HISTOGRAM_BINS;
    double sd = n.sd > 0 ? n.sd : 1e-30, below = 0;
    int first = 0;
    if (n.clipped) {
        double zero = width > 0 ? -low / width : 0;
        first = zero < NQ_HISTOGRAM_BINS ? (int)zero : NQ_HISTOGRAM_BINS - 1;
    }
    for (int bin = first; bin < NQ_HISTOGRAM_BINS; bin++) {
        double edge = low + (bin + 1) * width;
        double all = bin == NQ_HISTOGRAM_BINS - 1 ? 1 : look_up(table, (edge - n.mean) / sd);
        mass[bin] += all - below;
        below = all;
    }
}

static void count_node(const nq_node *node, const nq_normal *channel, nq_range range,
                       const double table[POINTS], double *mass, uint64_t *histogram)
{
    for (int i = 0; i < NQ_HISTOGRAM_BINS; i++)
        mass[i] = 0;
    for (int c = 0; node->op != NQ_OP_LINEAR && c < node->channels; c++)
        add_channel(channel[c], range, table, mass);
    for (int i = 0; i < NQ_HISTOGRAM_BINS; i++)
        histogram[i] = node->op == NQ_OP_LINEAR ? (uint64_t)(UNIT / NQ_HISTOGRAM_BINS)
                                                : (uint64_t)(mass[i] / node->channels * UNIT + 0.5);
}

nq_range nq_bn_range(const nq_graph *graph, const nq_bn_moments *moments, int node, nq_range whole,
                     int bits)
{
    const nq_node *n = &graph->nodes[node];
    return n->op == NQ_OP_INPUT || n->op == NQ_OP_LINEAR
               ? whole
               : of_channels(moments->channel[node], n->channels, nq_bn_sigmas(bits));
}

nq_status nq_bn_ranges(const nq_graph *graph, const nq_bn_moments *moments, nq_range input,
                       nq_range *ranges, uint64_t *histograms, nq_error *err)
{
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        if (node->op == NQ_OP_INPUT)
            ranges[i] = input;
        else if (node->op == NQ_OP_LINEAR)
            ranges[i] = of_linear(node, moments->channel[node->input[0]],
                                  nq_node_in_channels(graph, node, 0));
        else
            ranges[i] = of_channels(moments->channel[i], node->channels, nq_bn_sigmas(8));
    }
    if (!histograms)
        return NQ_OK;
    double *table = malloc((POINTS + NQ_HISTOGRAM_BINS) * sizeof *table);
    if (!table)
        return nq_fail_nomem(err, "expected histograms", POINTS * sizeof *table);
    fill_table(table);
    for (int i = 0; i < graph->count; i++)
        count_node(&graph->nodes[i], moments->channel[i], ranges[i], table, table + POINTS,
                   histograms + (size_t)i * NQ_HISTOGRAM_BINS);
    free(table);
    return NQ_OK;
}

void nq_bn_ranges_complete(const nq_graph *graph, const nq_bn_moments *moments, nq_range input,
                           nq_range *ranges, uint64_t *histograms)
{
    for (int i = 0; i < graph->count; i++) {
        const nq_node *node = &graph->nodes[i];
        if (node->op == NQ_OP_INPUT)
            ranges[i] = input;
        if (node->op != NQ_OP_LINEAR)
            continue;
        nq_range expected =
            of_linear(node, moments->channel[node->input[0]], nq_node_in_channels(graph, node, 0));
        ranges[i].low = fminf(ranges[i].low, expected.low);
        ranges[i].high = fmaxf(ranges[i].high, expected.high);
        for (int bin = 0; histograms && bin < NQ_HISTOGRAM_BINS; bin++)
            histograms[(size_t)i * NQ_HISTOGRAM_BINS + (size_t)bin] =
                (uint64_t)(UNIT / NQ_HISTOGRAM_BINS);
    }
}
