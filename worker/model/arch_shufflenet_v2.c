/* ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164), as torchvision.models.quantization builds it. */
#include "worker/model/graph_build.h"

/* branch2 of both kinds of block: pointwise, depthwise, pointwise. */
static int branch2(nq_graph_builder *b, int x, int half, int stride)
{
    x = nq_build_conv(b, x, (nq_conv_shape){half, 1, 1, 1, true}, "branch2.0", "branch2.1");
    x = nq_build_conv(b, x, (nq_conv_shape){half, 3, stride, half, false}, "branch2.3",
                      "branch2.4");
    return nq_build_conv(b, x, (nq_conv_shape){half, 1, 1, 1, true}, "branch2.5", "branch2.6");
}

/* Figure 3 (d): both branches see the whole input and halve its resolution. */
static int down_block(nq_graph_builder *b, int x, int half)
{
    int in = nq_build_channels(b, x);
    int left = nq_build_conv(b, x, (nq_conv_shape){in, 3, 2, in, false}, "branch1.0", "branch1.1");
    left = nq_build_conv(b, left, (nq_conv_shape){half, 1, 1, 1, true}, "branch1.2", "branch1.3");
    int right = branch2(b, x, half, 2);
    return nq_build_cat(b, left, right, "cat");
}

/* Figure 3 (c): one half of the channels passes, the other goes through branch2. */
static int basic_block(nq_graph_builder *b, int x, int half)
{
    int left = nq_build_slice(b, x, 0, half, "chunk.0");
    int right = nq_build_slice(b, x, half, half, "chunk.1");
    return nq_build_cat(b, left, branch2(b, right, half, 1), "cat");
}

/* Table 5 of the paper: channels of the three stages, then of the last convolution. */
static void build(nq_graph_builder *b, const int stage_channels[3], int last, int classes)
{
    static const int repeats[3] = {4, 8, 4};
    int x = nq_build_conv(b, 0, (nq_conv_shape){24, 3, 2, 1, true}, "conv1.0", "conv1.1");
    x = nq_build_maxpool(b, x, 3, 2, 1, "maxpool");
    for (int stage = 0; stage < 3; stage++) {
        for (int block = 0; block < repeats[stage]; block++) {
            nq_build_block(b, "stage%d.%d.", stage + 2, block);
            int half = stage_channels[stage] / 2;
            x = block == 0 ? down_block(b, x, half) : basic_block(b, x, half);
            x = nq_build_shuffle(b, x, 2, "shuffle");
        }
    }
    nq_build_block(b, "%s", "");
    x = nq_build_conv(b, x, (nq_conv_shape){last, 1, 1, 1, true}, "conv5.0", "conv5.1");
    x = nq_build_avgpool(b, x, "avgpool");
    nq_build_linear(b, x, classes, "fc");
}

void nq_arch_shufflenet_v2_x1_0(nq_graph_builder *b, int classes)
{
    build(b, (const int[]){116, 232, 464}, 1024, classes);
}

void nq_arch_shufflenet_v2_x0_5(nq_graph_builder *b, int classes)
{
    build(b, (const int[]){48, 96, 192}, 1024, classes);
}
