/* ResNet (He et al. 2016, arXiv:1512.03385), as torchvision.models.quantization builds it. */
#include "worker/model/graph_build.h"

static int basic_block(nq_graph_builder *b, int x, int channels, int stride)
{
    int identity = x;
    int y = nq_build_conv(b, x, (nq_conv_shape){channels, 3, stride, 1, true}, "conv1", "bn1");
    y = nq_build_conv(b, y, (nq_conv_shape){channels, 3, 1, 1, false}, "conv2", "bn2");
    if (stride != 1 || nq_build_channels(b, x) != channels)
        identity = nq_build_conv(b, x, (nq_conv_shape){channels, 1, stride, 1, false},
                                 "downsample.0", "downsample.1");
    return nq_build_add(b, y, identity, true, "add_relu");
}

void nq_arch_resnet18(nq_graph_builder *b, int classes)
{
    int x = nq_build_conv(b, 0, (nq_conv_shape){64, 7, 2, 1, true}, "conv1", "bn1");
    x = nq_build_maxpool(b, x, 3, 2, 1, "maxpool");
    for (int stage = 0; stage < 4; stage++) {
        for (int block = 0; block < 2; block++) {
            nq_build_block(b, "layer%d.%d.", stage + 1, block);
            x = basic_block(b, x, 64 << stage, stage > 0 && block == 0 ? 2 : 1);
        }
    }
    nq_build_block(b, "%s", "");
    x = nq_build_avgpool(b, x, "avgpool");
    nq_build_linear(b, x, classes, "fc");
}
