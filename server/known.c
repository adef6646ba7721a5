#include "server/known.h"

#include <math.h>
#include <string.h>

#define LEAST_POINTS    5.0
#define STANDARD_ERRORS 4.0
#define LEAST_IMAGES    50

/* The start of the sha256 is in the published file's name. Top-1 on the 50,000 images; MobileNetV2
 * with ReLU for ReLU6 differs from its figure by far less than LEAST_POINTS. */
static const struct {
    const char *arch, *sha256;
    double top1;
} published[] = {
    {"resnet18", "f37072fd", 69.758},             /* resnet18-f37072fd.pth */
    {"mobilenet_v2", "b0353104", 71.878},         /* mobilenet_v2-b0353104.pth */
    {"shufflenet_v2_x1_0", "5666bf0f80", 69.362}, /* shufflenetv2_x1-5666bf0f80.pth */
    {"shufflenet_v2_x0_5", "f707e7126e", 60.552}, /* shufflenetv2_x0.5-f707e7126e.pth */
};

bool nq_known_top1(const nq_config *config, const char *model, const char *sha256, double *top1)
{
    const nq_config_model *m = nq_config_model_find(config, model);
    if (m && m->has_float_top1) {
        *top1 = m->float_top1;
        return true;
    }
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        if (strncmp(sha256, published[i].sha256, strlen(published[i].sha256)) != 0)
            continue;
        *top1 = published[i].top1;
        return true;
    }
    return false;
}

bool nq_known_plausible(int64_t right, int64_t images, double expected)
{
    double p = expected / 100, n = (double)images;
    double error = 100 * sqrt(p * (1 - p) / n);
    double margin = fmax(LEAST_POINTS, STANDARD_ERRORS * error);
    return 100 * (double)right / n >= expected - margin;
}

bool nq_known_hopeless(const char *arch, int64_t right, int64_t images, double *top1)
{
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        if (strcmp(arch, published[i].arch) != 0)
            continue;
        *top1 = published[i].top1;
        return images >= LEAST_IMAGES && 100 * (double)right / (double)images < *top1 / 2;
    }
    return false;
}
