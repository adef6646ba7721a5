#include "server/config.h"

#include "common/arch.h"
#include "common/file.h"
#include "common/json.h"

#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST 4096

typedef enum { INTEGER, LONG, TEXT, PATH, PATHS, YES_NO, CHOICE, REAL } value_type;

typedef struct {
    const char *section, *key;
    value_type type;
    long low, high;
    size_t offset;
    const char *const *choices;
} config_key;

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const unreadables[] = {"fail", "wrong", NULL};

#define IN(type, member)   offsetof(type, member)
#define DAEMON(key, type)  "daemon", #key, type, 0, 0, IN(nq_config, key), NULL
#define LIMIT(key, type)   "limits", #key, type
#define CACHE(key, type)   "cache", #key, type
#define MODEL(key, type)   "model", #key, type, 0, 0, IN(nq_config_model, key), NULL
#define DATASET(key, type) "dataset", #key, type, 0, 0, IN(nq_config_dataset, key), NULL

static const config_key keys[] = {
    {DAEMON(socket, PATH)},
    {DAEMON(socket_group, TEXT)},
    {DAEMON(private, YES_NO)},
    {DAEMON(state, PATH)},
    {DAEMON(worker, PATH)},
    {"daemon", "log_level", CHOICE, 0, 0, IN(nq_config, log_level), log_levels},
    {"daemon", "jobs", INTEGER, 1, 64, IN(nq_config, jobs), NULL},
    {"daemon", "threads", INTEGER, 0, 256, IN(nq_config, threads), NULL},
    {LIMIT(line_bytes, LONG), 1024, 1 << 26, IN(nq_config, line_bytes), NULL},
    {LIMIT(connections, LONG), 1, 4096, IN(nq_config, connections), NULL},
    {LIMIT(queued_jobs, LONG), 1, 10000000, IN(nq_config, queued_jobs), NULL},
    {LIMIT(attempts, INTEGER), 1, 100, IN(nq_config, attempts), NULL},
    {LIMIT(job_seconds, INTEGER), 0, 100000000, IN(nq_config, job_seconds), NULL},
    {LIMIT(stall_seconds, INTEGER), 0, 100000000, IN(nq_config, stall_seconds), NULL},
    {LIMIT(memory_mb, INTEGER), 0, 1 << 24, IN(nq_config, memory_mb), NULL},
    {LIMIT(keep_days, INTEGER), 0, 100000, IN(nq_config, keep_days), NULL},
    {LIMIT(roots, PATHS), 0, 0, IN(nq_config, roots), NULL},
    {LIMIT(unreadable, CHOICE), 0, 0, IN(nq_config, unreadable), unreadables},
    {CACHE(directory, PATH), 0, 0, IN(nq_config, cache_directory), NULL},
    {CACHE(limit_mb, LONG), 0, 1 << 28, IN(nq_config, cache_limit_mb), NULL},
    {CACHE(keep_free_mb, LONG), 0, 1 << 28, IN(nq_config, cache_keep_free_mb), NULL},
    {MODEL(arch, TEXT)},
    {MODEL(checkpoint, PATH)},
    {"model", "float_top1", REAL, 0, 100, IN(nq_config_model, float_top1), NULL},
    {DATASET(path, PATH)},
    {DATASET(labels, PATH)},
    {DATASET(wnids, PATH)},
};
#define KEYS (sizeof keys / sizeof keys[0])

static const char *const sections[] = {"daemon", "limits", "cache", "model", "dataset", NULL};

typedef struct {
    const config_key *key;
    char *section;
} given;

typedef struct {
    nq_config *config;
    const char *name, *base;
    const char *text;
    size_t size, at;
    int line; /* of the line that inih is looking at: it asks for one at a time */
    given *given;
    size_t given_count;
    nq_status status;
    nq_error *err;
} parser;

/* Says what is wrong with the current line; the first complaint stays. */
static int refuse(parser *p, nq_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(parser *p, nq_status status, const char *format, ...)
{
    if (p->status != NQ_OK)
        return 0;
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    p->status = nq_fail(p->err, status, "%s:%d: %s", p->name, p->line, sentence);
    return 0;
}

static char *home_path(const char *rest)
{
    const char *home = getenv("HOME");
    return nq_path_join(home && *home ? home : "/", rest);
}

static char *absolute_path(const parser *p, const char *value)
{
    if (value[0] == '/')
        return strdup(value);
    if (strncmp(value, "~/", 2) == 0)
        return home_path(value + 2);
    return nq_path_join(p->base, value);
}

static nq_config_model *model_of(parser *p, const char *name)
{
    nq_config *c = p->config;
    for (size_t i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    nq_config_model *grown = realloc(c->models, (c->model_count + 1) * sizeof *grown);
    char *copy = strdup(name);
    if (grown)
        c->models = grown;
    if (!grown || !copy) {
        free(copy);
        return NULL;
    }
    c->models[c->model_count] = (nq_config_model){.name = copy};
    return &c->models[c->model_count++];
}

static nq_config_dataset *dataset_of(parser *p, const char *name)
{
    nq_config *c = p->config;
    for (size_t i = 0; i < c->dataset_count; i++)
        if (strcmp(c->datasets[i].name, name) == 0)
            return &c->datasets[i];
    nq_config_dataset *grown = realloc(c->datasets, (c->dataset_count + 1) * sizeof *grown);
    char *copy = strdup(name);
    if (grown)
        c->datasets = grown;
    if (!grown || !copy) {
        free(copy);
        return NULL;
    }
    c->datasets[c->dataset_count] = (nq_config_dataset){.name = copy};
    return &c->datasets[c->dataset_count++];
}

/* "model resnet18" is the section model of the name resnet18. */
static const char *split_section(const char *section, char kind[16])
{
    size_t n = strcspn(section, " \t");
    snprintf(kind, 16, "%.*s", (int)(n < 16 ? n : 15), section);
    return section + n + strspn(section + n, " \t");
}

static int check_section(parser *p, const char *section)
{
    char kind[16];
    const char *name = split_section(section, kind);
    bool named = strcmp(kind, "model") == 0 || strcmp(kind, "dataset") == 0;
    bool known = false;
    for (size_t i = 0; sections[i]; i++)
        known |= strcmp(kind, sections[i]) == 0;
    if (!known)
        return refuse(p, NQ_ERR_INPUT, "there is no section [%s]; the nearest is [%s]", section,
                      nq_nearest(kind, sections));
    if (named && !*name)
        return refuse(p, NQ_ERR_INPUT, "the section [%s] needs a name: [%s NAME]", kind, kind);
    if (named && !nq_spec_name_valid(name))
        return refuse(p, NQ_ERR_INPUT,
                      "[%s]: a name has 1 to 63 letters, digits and . _ - + : and begins with a "
                      "letter or digit",
                      section);
    if (!named && *name)
        return refuse(p, NQ_ERR_INPUT, "the section [%s] takes no name", kind);
    return 1;
}

static int take_integer(parser *p, const config_key *k, const char *value, void *owner)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || !*value || *end)
        return refuse(p, NQ_ERR_INPUT, "%s: \"%s\" is not a whole number", k->key, value);
    if (number < k->low || number > k->high)
        return refuse(p, NQ_ERR_INPUT, "%s: %lld is not in %ld..%ld", k->key, number, k->low,
                      k->high);
    void *member = (char *)owner + k->offset;
    if (k->type == LONG)
        *(long *)member = (long)number;
    else
        *(int *)member = (int)number;
    return 1;
}

static int take_real(parser *p, const config_key *k, const char *value, void *owner)
{
    char *end;
    double number = strtod(value, &end);
    if (!*value || *end || !(number >= (double)k->low && number <= (double)k->high))
        return refuse(p, NQ_ERR_INPUT, "%s: \"%s\" is not a number in %ld..%ld", k->key, value,
                      k->low, k->high);
    memcpy((char *)owner + k->offset, &number, sizeof number);
    ((nq_config_model *)owner)->has_float_top1 = true;
    return 1;
}

static int take_choice(parser *p, const config_key *k, const char *value, void *owner)
{
    for (int i = 0; k->choices[i]; i++) {
        if (strcmp(k->choices[i], value) != 0)
            continue;
        *(int *)((char *)owner + k->offset) = i;
        return 1;
    }
    return refuse(p, NQ_ERR_INPUT, "%s: \"%s\" is not known; the nearest is %s", k->key, value,
                  nq_nearest(value, k->choices));
}

static int take_yes_no(parser *p, const config_key *k, const char *value, void *owner)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return refuse(p, NQ_ERR_INPUT, "%s: \"%s\" is neither yes nor no", k->key, value);
    *(bool *)((char *)owner + k->offset) = yes;
    return 1;
}

/* "/srv/a:/srv/b" */
static int take_roots(parser *p, const char *value)
{
    nq_config *c = p->config;
    char *copy = strdup(value), *rest = copy;
    for (char *part; copy && (part = strsep(&rest, ":"));) {
        if (!*part)
            continue;
        char **grown = realloc(c->roots, (c->root_count + 1) * sizeof *grown);
        if (grown)
            c->roots = grown;
        char *path = grown ? absolute_path(p, part) : NULL;
        if (!path) {
            free(copy);
            return refuse(p, NQ_ERR_NOMEM, "out of memory");
        }
        c->roots[c->root_count++] = path;
    }
    free(copy);
    return copy ? 1 : refuse(p, NQ_ERR_NOMEM, "out of memory");
}

static int take_text(parser *p, const config_key *k, const char *value, void *owner)
{
    if (!*value)
        return refuse(p, NQ_ERR_INPUT, "%s: has no value", k->key);
    char **member = (char **)((char *)owner + k->offset);
    *member = k->type == PATH ? absolute_path(p, value) : strdup(value);
    return *member ? 1 : refuse(p, NQ_ERR_NOMEM, "out of memory");
}

static int take_value(parser *p, const config_key *k, const char *value, void *owner)
{
    switch (k->type) {
    case INTEGER:
    case LONG:
        return take_integer(p, k, value, owner);
    case REAL:
        return take_real(p, k, value, owner);
    case CHOICE:
        return take_choice(p, k, value, owner);
    case YES_NO:
        return take_yes_no(p, k, value, owner);
    case PATHS:
        return take_roots(p, value);
    case TEXT:
    case PATH:
        break;
    }
    return take_text(p, k, value, owner);
}

static const config_key *find_key(const char *section, const char *key, const char **nearest)
{
    const char *names[KEYS + 1];
    size_t n = 0;
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].section, section) != 0)
            continue;
        if (strcmp(keys[i].key, key) == 0)
            return &keys[i];
        names[n++] = keys[i].key;
    }
    names[n] = NULL;
    *nearest = nq_nearest(key, names);
    return NULL;
}

/* Keys are told apart by section and name, since the arrays of models and datasets move. */
static int note_given(parser *p, const config_key *k, const char *section)
{
    for (size_t i = 0; i < p->given_count; i++)
        if (p->given[i].key == k && strcmp(p->given[i].section, section) == 0)
            return refuse(p, NQ_ERR_INPUT, "%s: is given twice in [%s]", k->key, section);
    given *grown = realloc(p->given, (p->given_count + 1) * sizeof *grown);
    if (grown)
        p->given = grown;
    char *copy = grown ? strdup(section) : NULL;
    if (!copy)
        return refuse(p, NQ_ERR_NOMEM, "out of memory");
    p->given[p->given_count++] = (given){k, copy};
    return 1;
}

static int take_pair(void *user, const char *section, const char *key, const char *value)
{
    parser *p = user;
    char kind[16];
    const char *name = split_section(section, kind), *nearest = NULL;
    if (p->status != NQ_OK)
        return 0;
    if (!*section)
        return refuse(p, NQ_ERR_INPUT, "%s: stands before the first [section]", key);
    const config_key *k = find_key(kind, key, &nearest);
    if (!k)
        return refuse(p, NQ_ERR_INPUT, "%s: is not a key of [%s]; the nearest is %s", key, kind,
                      nearest ? nearest : "unknown");
    char canonical[LINE_MOST]; /* however many blanks there are between kind and name */
    snprintf(canonical, sizeof canonical, "%s%s%s", kind, *name ? " " : "", name);
    if (!note_given(p, k, canonical))
        return 0;
    void *owner = p->config;
    if (strcmp(kind, "model") == 0)
        owner = model_of(p, name);
    else if (strcmp(kind, "dataset") == 0)
        owner = dataset_of(p, name);
    if (!owner)
        return refuse(p, NQ_ERR_NOMEM, "out of memory");
    return take_value(p, k, value, owner);
}

/* fgets for inih; sees every line first, so that sections without keys are checked too. */
static char *next_line(char *out, int room, void *stream)
{
    parser *p = stream;
    if (p->at >= p->size || p->status != NQ_OK)
        return NULL;
    p->line++;
    const char *from = p->text + p->at;
    const char *newline = memchr(from, '\n', p->size - p->at);
    size_t n = newline ? (size_t)(newline - from) : p->size - p->at;
    p->at += n + (newline != NULL);
    if (n + 3 > (size_t)room || memchr(from, 0, n)) {
        refuse(p, NQ_ERR_INPUT, "the line is longer than %d bytes or holds a NUL", LINE_MOST - 3);
        return NULL;
    }
    memcpy(out, from, n);
    out[n] = 0;
    const char *start = out + strspn(out, " \t");
    const char *close = *start == '[' ? strchr(start, ']') : NULL;
    if (*start == '[' && !close) {
        refuse(p, NQ_ERR_INPUT, "the section's name has no ]");
        return NULL;
    }
    if (close) {
        char section[LINE_MOST];
        snprintf(section, sizeof section, "%.*s", (int)(close - start - 1), start + 1);
        if (strlen(section) >= 50)
            refuse(p, NQ_ERR_INPUT, "the section's name is longer than 49 bytes");
        else
            check_section(p, section);
        if (p->status != NQ_OK)
            return NULL;
    }
    return out;
}

static nq_status check_whole(parser *p)
{
    nq_config *c = p->config;
    for (size_t i = 0; i < c->model_count; i++) {
        nq_config_model *m = &c->models[i];
        if (!m->checkpoint)
            return nq_fail(p->err, NQ_ERR_INPUT, "%s: [model %s] has no checkpoint", p->name,
                           m->name);
        if (!m->arch && !(m->arch = strdup(m->name)))
            return nq_fail_nomem(p->err, m->name, strlen(m->name));
        if (!nq_arch_find(m->arch))
            return nq_fail(p->err, NQ_ERR_INPUT,
                           "%s: [model %s]: arch %s is not supported (docs/job-spec.md lists the "
                           "architectures)",
                           p->name, m->name, m->arch);
    }
    for (size_t i = 0; i < c->dataset_count; i++)
        if (!c->datasets[i].path)
            return nq_fail(p->err, NQ_ERR_INPUT, "%s: [dataset %s] has no path", p->name,
                           c->datasets[i].name);
    return NQ_OK;
}

nq_status nq_config_parse(const char *text, size_t size, const char *name, const char *base,
                          nq_config *config, nq_error *err)
{
    *config = (nq_config){.log_level = NQ_LOG_INFO,
                          .jobs = 1,
                          .line_bytes = 1 << 20,
                          .connections = 64,
                          .queued_jobs = 100000,
                          .attempts = 3,
                          .stall_seconds = 900,
                          .cache_limit_mb = 16000,
                          .cache_keep_free_mb = 1024,
                          .unreadable = NQ_UNREADABLE_FAIL};
    parser p = {
        .config = config, .name = name, .base = base, .text = text, .size = size, .err = err};
    config->file = strdup(name);
    if (!config->file)
        return nq_fail_nomem(err, name, strlen(name));
    ini_allow_multiline = false;
    ini_max_line = LINE_MOST;
    int line = ini_parse_stream(next_line, &p, take_pair, &p);
    if (p.status == NQ_OK && line < 0)
        p.status = nq_fail_nomem(err, name, size);
    else if (p.status == NQ_OK && line > 0)
        p.status =
            nq_fail(err, NQ_ERR_INPUT,
                    "%s:%d: neither \"[section]\" nor \"key = value\" nor a comment", name, line);
    if (p.status == NQ_OK)
        p.status = check_whole(&p);
    for (size_t i = 0; i < p.given_count; i++)
        free(p.given[i].section);
    free(p.given);
    return p.status;
}

const nq_config_model *nq_config_model_find(const nq_config *config, const char *name)
{
    for (size_t i = 0; i < config->model_count; i++)
        if (strcmp(config->models[i].name, name) == 0)
            return &config->models[i];
    return NULL;
}

const nq_config_dataset *nq_config_dataset_find(const nq_config *config, const char *name)
{
    for (size_t i = 0; i < config->dataset_count; i++)
        if (strcmp(config->datasets[i].name, name) == 0)
            return &config->datasets[i];
    return NULL;
}

void nq_config_free(nq_config *config)
{
    for (size_t i = 0; i < config->model_count; i++) {
        free(config->models[i].name);
        free(config->models[i].arch);
        free(config->models[i].checkpoint);
    }
    for (size_t i = 0; i < config->dataset_count; i++) {
        free(config->datasets[i].name);
        free(config->datasets[i].path);
        free(config->datasets[i].labels);
        free(config->datasets[i].wnids);
    }
    for (size_t i = 0; i < config->root_count; i++)
        free(config->roots[i]);
    free(config->models);
    free(config->datasets);
    free(config->roots);
    free(config->file);
    free(config->socket);
    free(config->socket_group);
    free(config->state);
    free(config->worker);
    free(config->cache_directory);
    *config = (nq_config){0};
}
