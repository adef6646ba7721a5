/*
 * MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), as torchvision.models.quantization builds
 * it: ReLU wherever the paper has ReLU6.
 */
#include "worker/model/graph_build.h"

/* Table 2 of the paper: expansion, channels, repeats, first stride. */
static const struct {
    int expand, channels, repeats, stride;
} stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
              {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

static int inverted_residual(nq_graph_builder *b, int x, int expand, int channels, int stride)
{
    int in = nq_build_channels(b, x);
    int hidden = in * expand;
    int y = x;
    if (expand != 1)
        y = nq_build_conv(b, y, (nq_conv_shape){hidden, 1, 1, 1, true}, "conv.0.0", "conv.0.1");
    nq_conv_shape depthwise = {hidden, 3, stride, hidden, true};
    nq_conv_shape project = {channels, 1, 1, 1, false};
    if (expand != 1) {
        y = nq_build_conv(b, y, depthwise, "conv.1.0", "conv.1.1");
        y = nq_build_conv(b, y, project, "conv.2", "conv.3");
    } else {
        y = nq_build_conv(b, y, depthwise, "conv.0.0", "conv.0.1");
        y = nq_build_conv(b, y, project, "conv.1", "conv.2");
    }
    if (stride == 1 && in == channels)
        return nq_build_add(b, x, y, false, "skip_add");
    return y;
}

void nq_arch_mobilenet_v2(nq_graph_builder *b, int classes)
{
    int feature = 0;
    nq_build_block(b, "features.%d.", feature++);
    int x = nq_build_conv(b, 0, (nq_conv_shape){32, 3, 2, 1, true}, "0", "1");
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++) {
        for (int i = 0; i < stages[s].repeats; i++) {
            nq_build_block(b, "features.%d.", feature++);
            x = inverted_residual(b, x, stages[s].expand, stages[s].channels,
                                  i == 0 ? stages[s].stride : 1);
        }
    }
    nq_build_block(b, "features.%d.", feature);
    x = nq_build_conv(b, x, (nq_conv_shape){1280, 1, 1, 1, true}, "0", "1");
    nq_build_block(b, "%s", "");
    x = nq_build_avgpool(b, x, "avgpool");
    nq_build_linear(b, x, classes, "classifier.1");
}
