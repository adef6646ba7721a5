#include "worker/quantize/equalize_bn.h"

#include "worker/quantize/bn_moments.h"
#include "worker/quantize/equalize_activations.h"

#include <math.h>

#define SIGMAS 3

static double expected_mean(const void *of, int node, int channel)
{
    const nq_bn_moments *moments = of;
    return nq_normal_mean(moments->channel[node][channel]);
}

static double expected_spread(const void *of, int node, int channel, double about)
{
    const nq_bn_moments *moments = of;
    nq_normal n = moments->channel[node][channel];
    double up = n.mean + SIGMAS * n.sd - about, down = about - (n.mean - SIGMAS * n.sd);
    return fmax(n.clipped ? up : fmax(up, down), 1e-12);
}

nq_status nq_equalize_by_bn(nq_graph *graph, double exponent, nq_error *err)
{
    nq_bn_moments moments;
    nq_status status = nq_bn_moments_derive(graph, &moments, err);
    nq_channel_view view = {.of = &moments, .mean = expected_mean, .spread = expected_spread};
    if (status == NQ_OK)
        status = nq_equalize_channels(graph, &view, exponent, err);
    nq_bn_moments_free(&moments);
    return status;
}
