#include "common/spec.h"

#include <stddef.h>

#define QUANTIZE (1u << NQ_JOB_QUANTIZE)
#define SCORE    (1u << NQ_JOB_QUANTIZED_FILE)
#define ANY      (QUANTIZE | SCORE | (1u << NQ_JOB_FLOAT))

#define MEMBER(name)                offsetof(nq_spec, name), sizeof(((nq_spec *)0)->name)
#define NAME(standard)              NQ_FIELD_STRING, ANY, 0, 0, NULL, standard
#define PATH(kinds)                 NQ_FIELD_PATH, kinds, 0, 0, NULL, NULL
#define NUMBER(low, high, standard) low, high, NULL, standard
#define ONE_OF(choices, standard)   0, 0, choices, standard
#define OFF                         NQ_FIELD_BOOL, QUANTIZE, 0, 0, NULL, "false"
#define SWITCH                      NQ_FIELD_BOOL, QUANTIZE, 0, 1, NULL, "false"

static const char *const granularities[] = {"per_tensor", "per_channel", NULL};
static const char *const weight_ranges[] = {"minmax", "mse", NULL};
static const char *const ranges[] = {"minmax", "percentile", "mse",    "l24",
                                     "kl",     "aciq",       "output", NULL};
static const char *const percentiles[] = {"99", "99.9", "99.99", "99.999", "99.9999", NULL};
static const char *const roundings[] = {"nearest", "squant", "gptq", NULL};
static const char *const dampings[] = {"0.002", "0.005", "0.01", "0.02", "0.05", "0.1", NULL};
static const char *const targets[] = {"0", "0.25", "0.5", "0.75", "1", NULL};
static const char *const ridges[] = {"auto", "0.03", "0.1", "0.3", "1", "3", NULL};
static const char *const shrinkages[] = {"auto", "0", "0.05", "0.1", "0.2", "0.3", NULL};
static const char *const qmaxes[] = {"127", "255", NULL};
static const char *const range_sources[] = {"data", "bn", NULL};
static const char *const equalize_bys[] = {"weights", "activations", NULL};
static const char *const sources[] = {"none", "gaussian", "uniform", "file", "distill", NULL};
static const char *const losses[] = {"batch", "zeroq", NULL};
static const char *const inits[] = {"smooth", "gaussian", "zeroq", "leaves", NULL};
static const char *const exponents[] = {"auto", "0", "0.25", "0.5", "0.75", "1", NULL};
static const char *const unreadables[] = {"fail", "wrong", NULL};

const nq_spec_field nq_spec_fields[] = {
    {"model", NAME(NULL),
     "The network: a model that the daemon's configuration names (netqctl models lists them), or, "
     "together with checkpoint, an architecture. Must be given.",
     MEMBER(model)},
    {"checkpoint", PATH(ANY),
     "A torchvision state_dict (.pth) under one of the daemon's allowed roots, instead of the "
     "model's own.",
     MEMBER(checkpoint)},
    {"preset", NAME("baseline"),
     "The scheme to start from; every other key overrides it. Where quantized is given, the "
     "default is the preset of that name.",
     MEMBER(preset)},
    {"quantized", PATH(SCORE),
     "The model.safetensors of an earlier job, to be scored as it is (preset quantized).",
     MEMBER(quantized)},
    {"weights.bits", NQ_FIELD_INT_OR_AUTO, QUANTIZE, NUMBER(2, 8, "8"),
     "Bits of a weight. They are symmetric: b bits hold -2^(b-1) to 2^(b-1)-1. auto gives each "
     "layer 2, 3, 4, 5, 6 or 8 bits: those with which the network's outputs on the calibration "
     "samples, as far as the layers' errors add up, change least, while the model fits "
     "weights.size_budget_mb (mixed precision as in ZeroQ, CVPR 2020; keep_8bit holds as ever).",
     MEMBER(weights.bits)},
    {"weights.size_budget_mb", NQ_FIELD_MEGABYTES, QUANTIZE, 1, 1000000000000, NULL, NULL,
     "With weights.bits auto: what model.safetensors may take, in MB of 1,000,000 bytes. The whole "
     "file counts, as it does for the compression ratio: packed weights, their scales, biases, "
     "activation parameters and the header. A budget that no choice of bits fits fails the job, "
     "which names the smallest that one does.",
     MEMBER(weights.size_budget)},
    {"weights.granularity", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(granularities, "per_tensor"),
     "One scale for a layer's whole weight tensor, or one for each of its output channels.",
     MEMBER(weights.granularity)},
    {"weights.range", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(weight_ranges, "minmax"),
     "What a weight scale is taken from: minmax is the largest magnitude, mse the scale of least "
     "squared rounding error among 81 fractions of it.",
     MEMBER(weights.range)},
    {"weights.rounding", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(roundings, "nearest"),
     "How a weight becomes an integer: nearest rounds to the nearest one, ties to even; squant "
     "then "
     "flips weights by one step so that the errors of each kernel and each output channel cancel "
     "(SQuant, ICLR 2022; no data, milliseconds); gptq goes layer by layer and lets the weights "
     "not "
     "yet rounded make up for each rounding error on the calibration samples (GPTQ, ICLR 2023).",
     MEMBER(weights.rounding)},
    {"activations.bits", NQ_FIELD_INT, QUANTIZE, NUMBER(2, 8, "8"),
     "Bits of an activation at the inputs of convolutions and linear layers. The input image "
     "always has 8.",
     MEMBER(activations.bits)},
    {"activations.qmax", NQ_FIELD_INT, QUANTIZE, 127, 255, qmaxes, "127",
     "Upper end of the range that the scales of 8-bit activations are computed from: 127 leaves "
     "values up to twice the largest calibrated one unclamped (the challenge's baseline does "
     "so). Tensors of fewer bits always use their whole range.",
     MEMBER(activations.qmax)},
    {"activations.range", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(ranges, "minmax"),
     "What an activation scale is taken from: minmax is the smallest and largest value seen in "
     "calibration; percentile leaves out the tails; mse and l24 make the mean squared error (or "
     "its power 2.4) smallest, kl the divergence of the histograms, aciq the expected error of a "
     "fitted Gaussian or Laplace distribution; output, below 8 bit, makes the error of the layer "
     "that reads the tensor smallest, going layer by layer. All but minmax need activations.qmax "
     "255.",
     MEMBER(activations.range)},
    {"activations.percentile", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(percentiles, "99.99"),
     "With activations.range percentile: the percentile that the upper end is; the lower end is "
     "its mirror.",
     MEMBER(activations.percentile)},
    {"activations.shortcut_bits", NQ_FIELD_INT, QUANTIZE, NUMBER(2, 8, "8"),
     "Bits of the operands and results of residual adds, concatenations and pools.",
     MEMBER(activations.shortcut_bits)},
    {"activations.source", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(range_sources, "data"),
     "Where activation ranges come from: data is the calibration samples; bn is the statistics in "
     "the network's batch norms, carried through the graph, and no sample is drawn (DFQ, ICCV "
     "2019; calibrate.source must be none).",
     MEMBER(activations.source)},
    {"calibrate.source", NQ_FIELD_ENUM, ANY, ONE_OF(sources, "gaussian"),
     "Where calibration samples come from: gaussian draws each value from N(0,1), uniform from "
     "[-sqrt(3), sqrt(3)), which has the same mean and variance, file reads calibrate.file, "
     "distill makes "
     "images that give the network's batch norms the statistics they expect. none "
     "is for jobs that calibrate nothing: presets float and quantized, and activations.source bn.",
     MEMBER(calibrate.source)},
    {"calibrate.file", PATH(QUANTIZE),
     "With calibrate.source file: a .npy (float32, shape (N,3,224,224)), the calibration.png of "
     "a job that distilled images, or a folder of JPEG images, under one of the daemon's allowed "
     "roots.",
     MEMBER(calibrate.file)},
    {"calibrate.synthetic", NQ_FIELD_BOOL, QUANTIZE, 0, 1, NULL, "false",
     "With calibrate.source file: its images were distilled from a network, as in the "
     "calibration.npy or .png of another job. What such images cannot show, the ranges of "
     "photographs' pixels and logits, then comes from where a distilling job takes it.",
     MEMBER(calibrate.synthetic)},
    {"calibrate.samples", NQ_FIELD_INT, QUANTIZE, NUMBER(0, 1000000, "1000"),
     "How many samples to calibrate with. With a file: at most so many, its first ones; 0, the "
     "default there, is all of it. With distill the default is 64, the most 1024.",
     MEMBER(calibrate.samples)},
    {"calibrate.seed", NQ_FIELD_INT, QUANTIZE, NUMBER(0, INT64_MAX, "1"),
     "Everything random in the job comes from this number.", MEMBER(calibrate.seed)},
    {"calibrate.views", NQ_FIELD_INT, QUANTIZE, NUMBER(1, 16, "1"),
     "How many views of each calibration sample are used: the sample itself, then moved by up to "
     "24 pixels, every other one turned left to right. Few images go further.",
     MEMBER(calibrate.views)},
    {"calibrate.loss", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(losses, "batch"),
     "With calibrate.source distill: whose statistics are to match. batch is all images of a batch "
     "together, each rolled and mirrored at every step, Adam at 0.1 with cosine decay, pixels "
     "between black and white; zeroq is each image by itself, as published (ZeroQ, CVPR 2020).",
     MEMBER(calibrate.loss)},
    {"calibrate.init", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(inits, "leaves"),
     "With calibrate.source distill: what the images start from. smooth is noise of several sizes, "
     "gaussian N(0,1), zeroq what the authors' code draws: uniform in +-0.0235, nearly grey; "
     "leaves is pictures of shapes that "
     "hide one another.",
     MEMBER(calibrate.init)},
    {"calibrate.steps", NQ_FIELD_INT, QUANTIZE, NUMBER(0, 100000, "200"),
     "With calibrate.source distill: steps of gradient descent for each batch; 0 takes the images "
     "as they start, which makes sense with calibrate.init leaves.",
     MEMBER(calibrate.steps)},
    {"calibrate.batch", NQ_FIELD_INT, QUANTIZE, NUMBER(1, 1024, "32"),
     "With calibrate.source distill: how many images are made together.", MEMBER(calibrate.batch)},
    {"repair.equalize", SWITCH,
     "Scales the channels between neighbouring layers, which changes nothing in float, so that "
     "they "
     "quantize better.",
     MEMBER(repair.equalize)},
    {"repair.equalize_by", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(equalize_bys, "weights"),
     "With repair.equalize: what is made equal. weights is cross-layer equalization of the weight "
     "ranges (DFQ, ICCV 2019); activations makes the channels of what is quantized alike, as "
     "measured on the calibration samples, or by batch norms where activations.source is bn.",
     MEMBER(repair.equalize_by)},
    {"repair.equalize_exponent", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(exponents, "auto"),
     "With repair.equalize_by activations: how far, 1 makes the channels that a dense convolution "
     "reads fully alike and 0 leaves them; what a depthwise one reads is always made alike. auto "
     "is 0.5 below 8-bit activations (below 6 where activations.source is bn), else 0.",
     MEMBER(repair.equalize_exponent)},
    {"repair.absorb_bias", SWITCH,
     "High-bias absorption: moves what a channel exceeds zero by, three standard deviations below "
     "its mean, from a layer's bias into the next layer's (DFQ).",
     MEMBER(repair.absorb_bias)},
    {"repair.correct_bias", SWITCH,
     "Takes out of each bias the mean error that quantization adds: from the batch norm statistics "
     "where activations.source is bn (DFQ's analytic bias correction), measured layer by layer on "
     "the calibration samples otherwise.",
     MEMBER(repair.correct_bias)},
    {"repair.correct_stats", NQ_FIELD_BOOL, QUANTIZE, 0, 1, NULL, "false",
     "Statistics correction: layer by layer, a gain and a shift for each output channel give the "
     "quantized network the float network's mean and standard deviation on the calibration "
     "samples. All logits share one gain; where gptq.target moves the weights, the gain goes half "
     "of the way.",
     MEMBER(repair.correct_stats)},
    {"gptq.damping", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(dampings, "0.02"),
     "With weights.rounding gptq: what is added to the diagonal of a layer's second moments, as a "
     "share of its mean.",
     MEMBER(gptq.damping)},
    {"gptq.target", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(targets, "0"),
     "With weights.rounding gptq: how far the weights move, before they are rounded, towards those "
     "that give the float network's outputs on the quantized network's inputs; 0 leaves them where "
     "they are.",
     MEMBER(gptq.target)},
    {"gptq.ridge", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(ridges, "auto"),
     "With weights.rounding gptq and a target above 0: the ridge of that least-squares problem, as "
     "a share of the mean of the diagonal. auto is 64 c / n for a layer that reads c channels "
     "and has n places of output on all samples, views not counted.",
     MEMBER(gptq.ridge)},
    {"gptq.shrinkage", NQ_FIELD_ENUM, QUANTIZE, ONE_OF(shrinkages, "auto"),
     "With weights.rounding gptq: how much the second moments are shrunk towards their diagonal; "
     "auto is 2 c / (2 c + n), c and n as for gptq.ridge.",
     MEMBER(gptq.shrinkage)},
    {"gptq.sweeps", NQ_FIELD_INT, QUANTIZE, NUMBER(0, 20, "2"),
     "With weights.rounding gptq: sweeps of coordinate descent over each layer's integers, each "
     "followed by new scales.",
     MEMBER(gptq.sweeps)},
    {"keep_8bit", NQ_FIELD_LIST, QUANTIZE, ONE_OF(NULL, ""),
     "Layers whose weights and inputs stay at 8 bit whatever the bits above say: names such as "
     "layer1.0.conv1, or first and last. An array; on the command line separated by commas.",
     MEMBER(keep_8bit)},
    {"dataset", NAME("imagenet"),
     "The labelled images to score: a dataset that the daemon's configuration names (netqctl "
     "datasets lists them).",
     MEMBER(dataset)},
    {"dataset_path", PATH(ANY),
     "Instead of a named dataset, a folder with one folder of images a class, under one of the "
     "daemon's allowed roots. The first class list of the configuration (wnids) holds for it, too.",
     MEMBER(dataset_path)},
    {"limit", NQ_FIELD_INT, ANY, NUMBER(0, 1000000000, "0"),
     "Score only so many images, the first in the challenge's order; 0 is all. Such a job is "
     "partial and never ranks.",
     MEMBER(limit)},
    {"unreadable", NQ_FIELD_ENUM, ANY, ONE_OF(unreadables, "fail"),
     "What an image that cannot be decoded does: fail the job, naming the file, or count as wrong "
     "and be reported.",
     MEMBER(unreadable)},
};
const size_t nq_spec_field_count = sizeof nq_spec_fields / sizeof *nq_spec_fields;

/* The defaults of the table are the baseline's. */
static const char *const baseline[] = {NULL};
static const char *const float_only[] = {"calibrate.source", "none", NULL};
#define FULL_RANGE "weights.granularity", "per_channel", "activations.qmax", "255"
static const char *const w8a8[] = {FULL_RANGE, NULL};
static const char *const w6a6[] = {FULL_RANGE, "weights.bits", "6", "activations.bits", "6", NULL};
static const char *const w4a8[] = {FULL_RANGE, "weights.bits", "4", NULL};
static const char *const w4a4[] = {FULL_RANGE, "weights.bits", "4",          "activations.bits",
                                   "4",        "keep_8bit",    "first,last", NULL};

#define DATA_FREE FULL_RANGE, "activations.source", "bn", "calibrate.source", "none"
static const char *const dfq[] = {DATA_FREE, "repair.equalize",     "true", "repair.absorb_bias",
                                  "true",    "repair.correct_bias", "true", NULL};
/* clang-format off */
#define ROUNDED_BY_SQUANT \
    "weights.rounding", "squant", \
    "repair.equalize", "true", \
    "repair.equalize_by", "activations", \
    "repair.correct_bias", "true"
#define ENDS_AT_8_BIT "keep_8bit", "first,last"
static const char *const squant[] = {DATA_FREE, ROUNDED_BY_SQUANT, NULL};
static const char *const fast[] = {DATA_FREE, ENDS_AT_8_BIT, ROUNDED_BY_SQUANT, NULL};

#define LAYER_BY_LAYER \
    FULL_RANGE, \
    ENDS_AT_8_BIT, \
    "weights.range", "mse", \
    "calibrate.source", "distill", \
    "weights.rounding", "gptq", \
    "activations.range", "output", \
    "gptq.target", "1", \
    "repair.equalize", "true", \
    "repair.equalize_by", "activations", \
    "repair.correct_stats", "true"
static const char *const gptq[] = {LAYER_BY_LAYER, NULL};
static const char *const balanced[] = {
    LAYER_BY_LAYER,
    "calibrate.loss", "batch",
    "calibrate.init", "leaves",
    "calibrate.samples", "64",
    "calibrate.batch", "32",
    "calibrate.steps", "200",
    "calibrate.views", "4",
    NULL};
static const char *const zeroq[] = {
    FULL_RANGE,
    "activations.range", "percentile",
    "activations.percentile", "99.999",
    "weights.rounding", "squant",
    "repair.equalize", "true",
    "calibrate.source", "distill",
    "calibrate.loss", "zeroq",
    "calibrate.init", "zeroq",
    "calibrate.steps", "500",
    "calibrate.batch", "32",
    "calibrate.samples", "32",
    NULL};
/* clang-format on */

const nq_preset nq_presets[] = {
    {"baseline", NQ_JOB_QUANTIZE,
     "The challenge's own scheme: 8-bit weights with one scale a layer, activations in the reduced "
     "range 0..127, calibrated on 1,000 samples of Gaussian noise (PyTorch's default_qconfig for "
     "fbgemm).",
     baseline},
    {"w8a8", NQ_JOB_QUANTIZE,
     "8-bit weights with one scale a channel, 8-bit activations in the full range; plain rounding.",
     w8a8},
    {"w6a6", NQ_JOB_QUANTIZE, "The same at 6 bits for weights and activations.", w6a6},
    {"w4a8", NQ_JOB_QUANTIZE, "4-bit weights with one scale a channel, 8-bit activations.", w4a8},
    {"w4a4", NQ_JOB_QUANTIZE,
     "4 bits for weights and activations, the first and the last layer at 8 as papers have it.",
     w4a4},
    {"dfq", NQ_JOB_QUANTIZE,
     "Data-free quantization: equalized weights, absorbed high biases, analytic bias correction, "
     "ranges from batch norms alone (Nagel et al., ICCV 2019). No sample is drawn.",
     dfq},
    {"squant", NQ_JOB_QUANTIZE,
     "SQuant's flips (Guo et al., ICLR 2022); ranges, equalized activations and bias correction "
     "from "
     "batch norms alone. No sample is drawn.",
     squant},
    {"zeroq", NQ_JOB_QUANTIZE,
     "ZeroQ (CVPR 2020): ranges of 8-bit activations from 32 images distilled as published, all "
     "but a hundred-thousandth of the values; 8-bit weights with one scale a channel, equalized "
     "as in DFQ and rounded by SQuant.",
     zeroq},
    {"gptq", NQ_JOB_QUANTIZE,
     "Layer by layer on calibration samples: activations equalized, ranges by the reader's output "
     "error, second-order rounding with coordinate descent (GPTQ, ICLR 2023; QuantEase), "
     "statistics "
     "corrected; the first and the last layer at 8 bit. On images distilled from the network, or "
     "better, a folder of images (calibrate.source file).",
     gptq},
    {"fast", NQ_JOB_QUANTIZE,
     "In seconds and without a sample: the preset squant, the first and the last layer at 8 bit.",
     fast},
    {"balanced", NQ_JOB_QUANTIZE,
     "In minutes and without data: the preset gptq on four views each of 64 images distilled from "
     "the network, one set of knobs for every network and every pair of bit widths.",
     balanced},
    {"float", NQ_JOB_FLOAT,
     "No quantization: scores the float network, the reference row of every table.", float_only},
    {"quantized", NQ_JOB_QUANTIZED_FILE,
     "Scores a model.safetensors that an earlier job wrote (the key quantized).", float_only},
};
const size_t nq_preset_count = sizeof nq_presets / sizeof *nq_presets;
