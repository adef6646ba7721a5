#include "server/diff.h"

#include "server/text.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A label as text of `n` bytes. */
static bool parse_label(const char *text, size_t n, int32_t *label)
{
    bool negative = n > 0 && text[0] == '-';
    int64_t value = 0;
    size_t at = negative;
    if (n == at || n - at > 9)
        return false;
    for (; at < n; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        value = value * 10 + (text[at] - '0');
    }
    *label = (int32_t)(negative ? -value : value);
    return true;
}

nq_status nq_diff_parse(const char *text, size_t size, const char *name, int32_t **labels,
                        size_t *count, nq_error *err)
{
    static const char heading[] = "In (MB): ";
    size_t lines = 0, at = 0, n = 0;
    *count = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    *labels = calloc(lines + 1, sizeof **labels);
    if (!*labels)
        return nq_fail_nomem(err, name, lines * sizeof **labels);
    for (size_t line = 1; at < size; line++) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - text) - at : size - at;
        bool is_heading = line == 1 && length >= sizeof heading - 1 &&
                          memcmp(text + at, heading, sizeof heading - 1) == 0;
        if (!newline || (!is_heading && !parse_label(text + at, length, &(*labels)[n]))) {
            free(*labels);
            *labels = NULL;
            return nq_fail(err, NQ_ERR_INPUT, "%s: line %zu is not a label", name, line);
        }
        n += !is_heading;
        at += length + 1;
    }
    *count = n;
    return NQ_OK;
}

typedef struct {
    int32_t class;
    const char *name;
    int64_t images, changed, a_right, b_right;
    int64_t lost, won; /* right in a alone, in b alone */
} tally;

static int by_class(const void *p, const void *q)
{
    const tally *x = p, *y = q;
    return (x->class > y->class) - (x->class < y->class);
}

static int by_changes(const void *p, const void *q)
{
    const tally *x = p, *y = q;
    if (x->changed != y->changed)
        return x->changed > y->changed ? -1 : 1;
    return by_class(p, q);
}

/* One empty tally for each class that has images, by label. The dataset's names come in the same
 * order. *count: how many. NULL: out of memory. */
static tally *make_tallies(const nq_dataset *dataset, size_t *count)
{
    tally *t = calloc(dataset->count + 1, sizeof *t);
    size_t n = 0;
    if (!t)
        return NULL;
    for (size_t i = 0; i < dataset->count; i++)
        t[i] = (tally){.class = dataset->images[i].label, .name = ""};
    qsort(t, dataset->count, sizeof *t, by_class);
    for (size_t i = 0; i < dataset->count; i++)
        if (n == 0 || t[n - 1].class != t[i].class)
            t[n++] = t[i];
    for (size_t i = 0; i < n && i < dataset->class_count; i++)
        t[i].name = dataset->classes[i].name;
    *count = n;
    return t;
}

static int add_example(json_t *examples, const nq_image_file *image, int32_t a, int32_t b)
{
    if (json_array_size(examples) >= NQ_DIFF_EXAMPLES)
        return 0;
    return json_array_append_new(examples, json_pack("{s:o, s:i, s:i, s:i}", "image",
                                                     nq_text_json(image->path), "class",
                                                     (int)image->label, "a", (int)a, "b", (int)b));
}

static json_t *classes_json(tally *tallies, size_t count)
{
    json_t *classes = json_array();
    int bad = !classes;
    qsort(tallies, count, sizeof *tallies, by_changes);
    for (size_t i = 0; i < count && tallies[i].changed > 0 && !bad; i++) {
        const tally *t = &tallies[i];
        bad |= json_array_append_new(
            classes, json_pack("{s:i, s:o, s:I, s:I, s:I, s:I}", "class", (int)t->class, "name",
                               nq_text_json(t->name), "images", (json_int_t)t->images, "changed",
                               (json_int_t)t->changed, "a_right", (json_int_t)t->a_right, "b_right",
                               (json_int_t)t->b_right));
    }
    if (!bad)
        return classes;
    json_decref(classes);
    return NULL;
}

double nq_diff_error(int64_t lost, int64_t won, int64_t images)
{
    double b = (double)lost, c = (double)won, n = (double)images;
    return images > 0 ? sqrt(b + c - (b - c) * (b - c) / n) / n : 0;
}

static json_t *reply_json(const tally *sum, json_t *classes, json_t *examples)
{
    double images = sum->images > 0 ? (double)sum->images : 1;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "images",
                     (json_int_t)sum->images, "changed", (json_int_t)sum->changed, "a_right",
                     (json_int_t)sum->a_right, "b_right", (json_int_t)sum->b_right, "lost",
                     (json_int_t)sum->lost, "won", (json_int_t)sum->won, "drop",
                     100 * (double)(sum->lost - sum->won) / images, "standard_error",
                     100 * nq_diff_error(sum->lost, sum->won, sum->images), "classes", classes,
                     "examples", examples);
}

json_t *nq_diff_compare(const nq_dataset *dataset, const uint32_t *order, size_t count,
                        const int32_t *a, const int32_t *b)
{
    size_t tally_count = 0;
    tally *tallies = make_tallies(dataset, &tally_count), sum = {0};
    json_t *examples = json_array();
    int bad = !tallies || !examples;
    for (size_t i = 0; i < count && !bad; i++) {
        const nq_image_file *image = &dataset->images[order[i]];
        tally key = {.class = image->label};
        tally *t = bsearch(&key, tallies, tally_count, sizeof *tallies, by_class);
        bool changed = a[i] != b[i], a_right = a[i] == image->label, b_right = b[i] == image->label;
        t->images++;
        t->changed += changed;
        t->a_right += a_right;
        t->b_right += b_right;
        sum.images++;
        sum.changed += changed;
        sum.a_right += a_right;
        sum.b_right += b_right;
        sum.lost += a_right && !b_right;
        sum.won += b_right && !a_right;
        if (changed)
            bad |= add_example(examples, image, a[i], b[i]);
    }
    json_t *classes = bad ? NULL : classes_json(tallies, tally_count);
    free(tallies);
    if (!classes) {
        json_decref(examples);
        return NULL;
    }
    return reply_json(&sum, classes, examples);
}
