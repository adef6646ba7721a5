#include "common/arch.h"
#include "worker/model/graph.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_PARAMETERS 7
#define KEY_SIZE        (NQ_NODE_NAME + 24)
#define SHAPE_TEXT      128

/* One tensor that the architecture wants. */
typedef struct {
    char key[KEY_SIZE];
    int dims;
    int64_t shape[4];
    float **target; /* NULL: num_batches_tracked, looked at but not kept */
    bool variance;
} parameter;

static void add_vector(parameter *out, int *count, const char *stem, const char *suffix,
                       int channels, float **target)
{
    parameter *p = &out[(*count)++];
    *p = (parameter){.dims = 1, .shape = {channels}, .target = target};
    snprintf(p->key, sizeof p->key, "%s%s", stem, suffix);
}

/* All parameters of a node, in the order of a state_dict. */
static int list_parameters(const nq_graph *graph, nq_node *node, parameter out[NODE_PARAMETERS])
{
    int count = 0;
    if (!nq_node_has_weight(node))
        return 0;
    int in = nq_node_in_channels(graph, node, 0) / node->groups;
    parameter *weight = &out[count++];
    *weight = (parameter){.dims = node->op == NQ_OP_CONV ? 4 : 2,
                          .shape = {node->channels, in, node->kernel_h, node->kernel_w},
                          .target = &node->weight};
    snprintf(weight->key, sizeof weight->key, "%s", node->weight_key);
    if (node->norm_key[0] == '\0') {
        add_vector(out, &count, node->name, ".bias", node->channels, &node->bias);
        return count;
    }
    add_vector(out, &count, node->norm_key, ".weight", node->channels, &node->norm.gamma);
    add_vector(out, &count, node->norm_key, ".bias", node->channels, &node->norm.beta);
    add_vector(out, &count, node->norm_key, ".running_mean", node->channels, &node->norm.mean);
    add_vector(out, &count, node->norm_key, ".running_var", node->channels, &node->norm.var);
    out[count - 1].variance = true;
    add_vector(out, &count, node->norm_key, ".num_batches_tracked", 0, NULL);
    out[count - 1].dims = 0;
    return count;
}

/* One kind of mismatch: how many, and the first of them in words. */
#define SHOWN 2
typedef struct {
    int count;
    char text[2 * (KEY_SIZE + SHAPE_TEXT)];
} findings;

typedef struct {
    findings missing, unexpected, shape, type;
} report;

static void __attribute__((format(printf, 2, 3))) note(findings *f, const char *format, ...)
{
    if (f->count++ >= SHOWN)
        return;
    size_t used = strlen(f->text);
    if (f->count > 1)
        used += (size_t)snprintf(f->text + used, sizeof f->text - used, ", ");
    if (used >= sizeof f->text)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text + used, sizeof f->text - used, format, arguments);
    va_end(arguments);
}

static const char *shape_text(int dims, const int64_t *shape, char out[SHAPE_TEXT])
{
    size_t used = (size_t)snprintf(out, SHAPE_TEXT, "[");
    for (int d = 0; d < dims && used < SHAPE_TEXT; d++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, "%s%lld", d ? ", " : "",
                                 (long long)shape[d]);
    if (used < SHAPE_TEXT)
        snprintf(out + used, SHAPE_TEXT - used, "]");
    return out;
}

static void check_parameter(const parameter *p, const nq_tensor *tensor, report *r)
{
    char is[SHAPE_TEXT], wanted[SHAPE_TEXT];
    nq_dtype dtype = p->target ? NQ_F32 : NQ_I64;
    if (!tensor) {
        if (p->target) /* files of before PyTorch 0.4.1 have no num_batches_tracked */
            note(&r->missing, "\"%s\"", p->key);
        return;
    }
    if (tensor->dims != p->dims ||
        memcmp(tensor->shape, p->shape, (size_t)p->dims * sizeof *p->shape) != 0)
        note(&r->shape, "\"%s\" is %s, not %s", p->key, shape_text(tensor->dims, tensor->shape, is),
             shape_text(p->dims, p->shape, wanted));
    if (tensor->dtype != dtype)
        note(&r->type, "\"%s\" is %s, not %s", p->key, nq_dtype_name(tensor->dtype),
             nq_dtype_name(dtype));
}

static nq_status check_all(nq_graph *graph, const nq_checkpoint *checkpoint, report *r,
                           nq_error *err)
{
    parameter parameters[NODE_PARAMETERS];
    bool *used = calloc(checkpoint->count + 1, sizeof *used);
    if (!used)
        return nq_fail_nomem(err, "the names in use", checkpoint->count + 1);
    *r = (report){0};
    for (int i = 0; i < graph->count; i++) {
        int count = list_parameters(graph, &graph->nodes[i], parameters);
        for (int k = 0; k < count; k++) {
            const nq_tensor *tensor = nq_checkpoint_find(checkpoint, parameters[k].key);
            if (tensor)
                used[tensor - checkpoint->tensors] = true;
            check_parameter(&parameters[k], tensor, r);
        }
    }
    for (size_t i = 0; i < checkpoint->count; i++)
        if (!used[i])
            note(&r->unexpected, "\"%.*s\"", KEY_SIZE, checkpoint->tensors[i].name);
    free(used);
    return NQ_OK;
}

static bool fits(const report *r)
{
    return r->missing.count + r->unexpected.count + r->shape.count + r->type.count == 0;
}

/* The structure with as many classes as the last weight of the file has rows. */
static nq_status build_for(const char *arch, const nq_checkpoint *checkpoint, nq_graph *graph,
                           nq_error *err)
{
    nq_status status = nq_graph_build(arch, 1000, graph, err);
    if (status != NQ_OK)
        return status;
    const char *key = graph->nodes[graph->count - 1].weight_key;
    const nq_tensor *last = nq_checkpoint_find(checkpoint, key);
    if (!last || last->dims != 2 || last->shape[0] == graph->classes)
        return NQ_OK; /* what is wrong with it, check_all() will say */
    if (last->shape[0] < 1 || last->shape[0] > 65536)
        status = nq_fail(err, NQ_ERR_INPUT, "%s: \"%s\" has %lld rows: not 1 to 65536 classes",
                         arch, key, (long long)last->shape[0]);
    nq_graph_free(graph);
    return status != NQ_OK ? status : nq_graph_build(arch, (int)last->shape[0], graph, err);
}

/* The name of another architecture that the file fits, NULL when there is none. */
static const char *fitting_arch(const nq_checkpoint *checkpoint)
{
    for (size_t i = 0; i < nq_arch_count; i++) {
        nq_graph graph;
        report r;
        if (build_for(nq_archs[i].name, checkpoint, &graph, NULL) != NQ_OK)
            continue;
        bool fit = check_all(&graph, checkpoint, &r, NULL) == NQ_OK && fits(&r);
        nq_graph_free(&graph);
        if (fit)
            return nq_archs[i].name;
    }
    return NULL;
}

/* "module." where every name of the file begins with it, as DataParallel saves them; else "". */
static void common_prefix(const nq_checkpoint *checkpoint, char prefix[NQ_NODE_NAME])
{
    prefix[0] = '\0';
    const char *first = checkpoint->count ? checkpoint->tensors[0].name : "";
    const char *dot = strchr(first, '.');
    size_t length = dot ? (size_t)(dot - first) + 1 : 0;
    if (length == 0 || length >= NQ_NODE_NAME)
        return;
    for (size_t i = 1; i < checkpoint->count; i++)
        if (strncmp(checkpoint->tensors[i].name, first, length) != 0)
            return;
    memcpy(prefix, first, length);
    prefix[length] = '\0';
}

static void add_findings(char *sentence, size_t size, const findings *f, const char *kind)
{
    size_t used = strlen(sentence);
    if (f->count == 0 || used + 1 >= size)
        return;
    char more[32] = "";
    if (f->count > SHOWN)
        snprintf(more, sizeof more, " and %d more", f->count - SHOWN);
    snprintf(sentence + used, size - used, "; %d %s (%s%s)", f->count, kind, f->text, more);
}

static nq_status refuse(const char *arch, const nq_checkpoint *checkpoint, const report *r,
                        nq_error *err)
{
    char sentence[sizeof err->text], prefix[NQ_NODE_NAME];
    const char *other = fitting_arch(checkpoint);
    common_prefix(checkpoint, prefix);
    size_t used =
        (size_t)snprintf(sentence, sizeof sentence, "the checkpoint does not fit %s", arch);
    if (other)
        snprintf(sentence + used, sizeof sentence - used, ", it is one of %s", other);
    else if (prefix[0])
        snprintf(sentence + used, sizeof sentence - used,
                 ": every name begins with \"%s\": save the state_dict of the module inside",
                 prefix);
    add_findings(sentence, sizeof sentence, &r->missing, "missing");
    add_findings(sentence, sizeof sentence, &r->unexpected, "unexpected");
    add_findings(sentence, sizeof sentence, &r->shape, "of wrong shape");
    add_findings(sentence, sizeof sentence, &r->type, "of wrong type");
    return nq_fail(err, NQ_ERR_INPUT, "%s", sentence);
}

static nq_status check_values(const parameter *p, const float *values, size_t count, nq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return nq_fail(err, NQ_ERR_INPUT,
                           "\"%s\" holds a value that is not finite (element "
                           "%zu)",
                           p->key, i);
        if (p->variance && values[i] < 0)
            return nq_fail(err, NQ_ERR_INPUT, "\"%s\" holds a negative variance (channel %zu)",
                           p->key, i);
    }
    return NQ_OK;
}

/* [O][I][H][W] to [O][H][W][I]; shorter shapes are the same in both. */
static void copy_values(const parameter *p, const float *from, float *to)
{
    size_t in = p->dims > 1 ? (size_t)p->shape[1] : 1;
    size_t area = p->dims > 2 ? (size_t)p->shape[2] * (size_t)p->shape[3] : 1;
    for (size_t o = 0; o < (size_t)p->shape[0]; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t a = 0; a < area; a++)
                to[(o * area + a) * in + i] = from[(o * in + i) * area + a];
}

static nq_status copy_node(nq_graph *graph, nq_node *node, const nq_checkpoint *checkpoint,
                           nq_error *err)
{
    parameter parameters[NODE_PARAMETERS];
    int count = list_parameters(graph, node, parameters);
    for (int k = 0; k < count; k++) {
        const parameter *p = &parameters[k];
        if (!p->target)
            continue;
        const nq_tensor *tensor = nq_checkpoint_find(checkpoint, p->key);
        if (!tensor)
            return nq_fail(err, NQ_ERR_INTERNAL, "\"%s\" vanished", p->key);
        nq_status status = check_values(p, tensor->data, tensor->count, err);
        if (status != NQ_OK)
            return status;
        *p->target = malloc(tensor->count * sizeof **p->target);
        if (!*p->target)
            return nq_fail_nomem(err, p->key, tensor->count * sizeof **p->target);
        copy_values(p, tensor->data, *p->target);
    }
    return NQ_OK;
}

nq_status nq_graph_load(const char *arch, const nq_checkpoint *checkpoint, nq_graph *graph,
                        nq_error *err)
{
    report r;
    nq_status status = build_for(arch, checkpoint, graph, err);
    if (status == NQ_OK)
        status = check_all(graph, checkpoint, &r, err);
    if (status == NQ_OK && !fits(&r))
        status = refuse(arch, checkpoint, &r, err);
    for (int i = 0; i < graph->count && status == NQ_OK; i++)
        status = copy_node(graph, &graph->nodes[i], checkpoint, err);
    if (status != NQ_OK)
        nq_graph_free(graph);
    return status;
}
