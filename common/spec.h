/*
 * The job spec: what a job does, as one struct, one JSON form and one table that parsing, checking,
 * help texts and docs/job-spec.md all come from.
 *
 * A spec is built in layers: defaults, then a preset, then a spec file, then flags. The layers are
 * a JSON object of what the person wrote; nq_spec_resolve() turns it into the complete struct, or
 * says which key is wrong.
 */
#ifndef NQ_COMMON_SPEC_H
#define NQ_COMMON_SPEC_H

#include "common/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define NQ_SPEC_NAME 64 /* model, preset, dataset names */
#define NQ_SPEC_PATH 1024
#define NQ_SPEC_KEEP 128 /* entries of keep_8bit */

typedef enum { NQ_PER_TENSOR, NQ_PER_CHANNEL } nq_granularity;
typedef enum {
    NQ_RANGE_MINMAX,
    NQ_RANGE_PERCENTILE,
    NQ_RANGE_MSE,
    NQ_RANGE_L24,
    NQ_RANGE_KL,
    NQ_RANGE_ACIQ,
    NQ_RANGE_OUTPUT /* by the error of the layer that reads the tensor */
} nq_range_method;
typedef enum {
    NQ_SOURCE_DATA, /* the calibration samples */
    NQ_SOURCE_BN    /* batch norm statistics alone; calibrate.source is none */
} nq_range_source;
typedef enum { NQ_WEIGHT_MINMAX, NQ_WEIGHT_MSE } nq_weight_range;
typedef enum { NQ_ROUND_NEAREST, NQ_ROUND_SQUANT, NQ_ROUND_GPTQ } nq_rounding;
typedef enum { NQ_EQUALIZE_WEIGHTS, NQ_EQUALIZE_ACTIVATIONS } nq_equalize_by;
typedef enum {
    NQ_CALIBRATE_NONE,
    NQ_CALIBRATE_GAUSSIAN,
    NQ_CALIBRATE_UNIFORM, /* uniform in [-sqrt(3), sqrt(3)): zero mean, unit variance */
    NQ_CALIBRATE_FILE,    /* calibrate.file: .npy f32 [N][3][224][224], or an image folder */
    NQ_CALIBRATE_DISTILL  /* images made from the network's batch norm statistics */
} nq_calibrate_source;
typedef enum { NQ_LOSS_BATCH, NQ_LOSS_ZEROQ } nq_loss_kind;
typedef enum { NQ_INIT_SMOOTH, NQ_INIT_GAUSSIAN, NQ_INIT_ZEROQ, NQ_INIT_LEAVES } nq_init_kind;
typedef enum { NQ_UNREADABLE_FAIL, NQ_UNREADABLE_WRONG } nq_unreadable;
/* What kind of network is scored. */
typedef enum { NQ_JOB_QUANTIZE, NQ_JOB_FLOAT, NQ_JOB_QUANTIZED_FILE } nq_job_kind;

typedef struct {
    char model[NQ_SPEC_NAME];      /* a name of the config, or an architecture with `checkpoint` */
    char checkpoint[NQ_SPEC_PATH]; /* path under an allowed root; empty: the model's own */
    char preset[NQ_SPEC_NAME];
    nq_job_kind kind; /* from the preset: "float" and "quantized" are kinds of their own */
    char quantized[NQ_SPEC_PATH]; /* preset "quantized": the model.safetensors to score */
    struct {
        int bits; /* 2..8; 0: auto, each layer's own, so that the file fits size_budget */
        uint64_t size_budget; /* bytes of model.safetensors; 0: none */
        nq_granularity granularity;
        nq_weight_range range;
        nq_rounding rounding;
    } weights;
    struct {
        int bits; /* 2..8, at the inputs of convolutions and linear layers */
        int qmax; /* upper end that 8-bit scales are computed from: 127 (baseline) or 255 */
        nq_range_method range;
        int percentile; /* index into 99, 99.9, 99.99, 99.999, 99.9999 */
        nq_range_source source;
        int shortcut_bits; /* 2..8: adds, concatenations, pools and what they read */
    } activations;
    struct {
        nq_calibrate_source source;
        char file[NQ_SPEC_PATH];
        int synthetic; /* with a file: 1 where its images were distilled */
        int samples; /* 1..1000000; with a file: at most so many of its first, 0 = all; 0 with none
                      */
        uint64_t seed;
        int views; /* of each sample, 1..16 (0 is 1), see augment.h */
        /* with source distill */
        nq_loss_kind loss;
        nq_init_kind init;
        int steps, batch; /* of gradient descent, for each batch; images of a batch */
    } calibrate;
    struct {
        int equalize; /* this and the other bare names: 0 or 1 */
        nq_equalize_by equalize_by;
        int equalize_exponent; /* 0: auto; else an index into the key's choices */
        int absorb_bias, correct_bias, correct_stats;
    } repair;
    struct { /* with weights.rounding gptq; the first four index the key's choices */
        int damping, target, ridge, shrinkage; /* 0 of the last two: auto, see gptq_knobs.h */
        int sweeps;                            /* of coordinate descent */
    } gptq;
    size_t keep_count;
    char keep_8bit[NQ_SPEC_KEEP][NQ_SPEC_NAME]; /* layer names, "first", "last" */
    char dataset[NQ_SPEC_NAME];
    char dataset_path[NQ_SPEC_PATH]; /* a folder under an allowed root instead of a named dataset */
    uint32_t limit;                  /* 0: all; N: the first N of the sampler's order (partial) */
    nq_unreadable unreadable;
} nq_spec;

/* A row of the table. `key` is dotted ("weights.bits"); netqctl's flag is --weights-bits. */
typedef enum {
    NQ_FIELD_STRING, /* a name: see nq_spec_name_valid() */
    NQ_FIELD_PATH,
    NQ_FIELD_INT,
    NQ_FIELD_INT_OR_AUTO, /* "auto" is stored as 0 */
    NQ_FIELD_MEGABYTES,   /* a number of MB (1,000,000 bytes), stored as whole bytes, u64 */
    NQ_FIELD_BOOL,        /* low..high of 0 and 1: 0..0 takes false alone */
    NQ_FIELD_ENUM,
    NQ_FIELD_LIST
} nq_field_type;
typedef struct {
    const char *key;
    nq_field_type type;
    unsigned kinds;             /* bit 1 << nq_job_kind: the jobs that the key means something to */
    long long low, high;        /* of a number, inclusive; NQ_FIELD_MEGABYTES: bytes */
    const char *const *choices; /* NULL-terminated. NQ_FIELD_ENUM: in the order of the C enum;
                                   NQ_FIELD_INT: the only values, or NULL for all of low..high */
    const char *standard;       /* the default, as text; NULL: none */
    const char *help;           /* one or two sentences, also the documentation */
    size_t offset;              /* into nq_spec */
    size_t size;                /* of the member, for strings */
} nq_spec_field;
extern const nq_spec_field nq_spec_fields[];
extern const size_t nq_spec_field_count;

typedef struct {
    const char *name;
    nq_job_kind kind;
    const char *help;            /* one sentence and the paper, for help and docs */
    const char *const *settings; /* NULL-terminated pairs "weights.bits", "8", ... */
} nq_preset;
extern const nq_preset nq_presets[];
extern const size_t nq_preset_count;

/* Names of models, datasets, presets and layers: 1 to 63 letters, digits and any of ". _ - + :",
 * the first a letter or digit. The config's names must be such, or no job could ask for them. */
bool nq_spec_name_valid(const char *name);

/* The number that an enum of numbers stands for: nq_spec_choice("gptq.damping", 2) is 0.02. */
double nq_spec_choice(const char *key, int index);
/* The same, or `automatic` where the choice is "auto", the first of such a key. */
double nq_spec_choice_or(const char *key, int index, double automatic);

/* NULL where the table has no such key, or preset. */
const nq_spec_field *nq_spec_field_find(const char *key);
const nq_preset *nq_preset_find(const char *name);

/*
 * Puts the text of one flag into a spec object: nq_spec_set(obj, "weights.bits", "4"). Unknown keys
 * are errors that name the key and the nearest valid one; so is text that is not a value of the
 * key's type and range. keep_8bit takes a comma-separated list, "" for none.
 */
nq_status nq_spec_set(json_t *spec, const char *key, const char *text, nq_error *err);

/*
 * Checks `written` completely and fills `spec`: defaults, then its preset (not given: "quantized"
 * where the key `quantized` is, else "baseline"), then its own keys. Unknown keys (with the nearest
 * valid key), wrong types, values out of range and knobs that contradict each other are
 * NQ_ERR_INPUT: "weights.bits: 9 is not in 2..8". Whether a model or dataset exists is not its
 * question.
 */
nq_status nq_spec_resolve(const json_t *written, nq_spec *spec, nq_error *err);

/*
 * The resolved spec as the one canonical JSON object: every key that means something to its kind of
 * job, in the table's order, paths only where given. NULL: out of memory. nq_spec_resolve() of it
 * gives the same struct, byte for byte; so it does of its text with 15 digits or more, and with 15
 * (NQ_SPEC_DIGITS) every number is as short as it can be.
 */
#define NQ_SPEC_DIGITS JSON_REAL_PRECISION(15)
json_t *nq_spec_to_json(const nq_spec *spec);

/* What a key takes, in a few words: "2..8; default 8". */
#define NQ_SPEC_VALUES 256
void nq_spec_describe(const nq_spec_field *field, char text[NQ_SPEC_VALUES]);

/* The table as text for `netqctl spec` or (markdown != 0) as docs/job-spec.md. */
void nq_spec_print_help(FILE *out, int markdown);

#endif
