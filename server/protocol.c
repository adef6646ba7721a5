#include "server/protocol.h"

#include "common/json.h"
#include "server/job.h"
#include "server/text.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum { WHOLE, NUMBER, TEXT, FLAG, OBJECT, ARRAY, TEXT_OR_ARRAY } value_type;

typedef struct {
    const char *key;
    value_type type;
    long long low, high; /* WHOLE: inclusive; TEXT: bytes */
} key_rule;

#define MOST_KEYS 10

typedef struct {
    const char *name;
    key_rule keys[MOST_KEYS];
    const char *one_of[3]; /* exactly one of these must be given */
} op_rule;

#define JOB                                                                                        \
    {                                                                                              \
        "job", WHOLE, 1, INT64_MAX                                                                 \
    }
#define GROUP                                                                                      \
    {                                                                                              \
        "group", WHOLE, 1, INT64_MAX                                                               \
    }

static const op_rule rules[NQ_OP_COUNT] = {
    [NQ_OP_HELLO] = {"hello", {{0}}, {0}},
    [NQ_OP_SUBMIT] = {"submit",
                      {{"spec", OBJECT, 0, 0},
                       {"specs", ARRAY, 0, 0},
                       {"priority", WHOLE, -1000, 1000},
                       {"hold", FLAG, 0, 0},
                       {"token", TEXT, 1, NQ_TOKEN_BYTES},
                       {"dry_run", FLAG, 0, 0}},
                      {"spec", "specs"}},
    [NQ_OP_STATUS] = {"status", {JOB}, {"job"}},
    [NQ_OP_LIST] = {"list",
                    {{"state", TEXT_OR_ARRAY, 0, 0},
                     {"model", TEXT, 0, NQ_SPEC_NAME},
                     {"preset", TEXT, 0, NQ_SPEC_NAME},
                     {"dataset", TEXT, 0, NQ_SPEC_PATH},
                     GROUP,
                     {"uid", WHOLE, 0, UINT32_MAX},
                     {"mine", FLAG, 0, 0},
                     {"since", NUMBER, 0, 0},
                     {"after", WHOLE, 0, INT64_MAX},
                     {"limit", WHOLE, 1, NQ_LIST_MOST}},
                    {0}},
    [NQ_OP_WATCH] = {"watch", {JOB, GROUP}, {0}},
    [NQ_OP_CANCEL] = {"cancel", {JOB, GROUP}, {"job", "group"}},
    [NQ_OP_HOLD] = {"hold", {JOB, GROUP}, {"job", "group"}},
    [NQ_OP_RELEASE] = {"release", {JOB, GROUP}, {"job", "group"}},
    [NQ_OP_GET] = {"get", {JOB, GROUP, {"file", TEXT, 1, NQ_SPEC_PATH}}, {"job", "group"}},
    [NQ_OP_LOGS] = {"logs", {JOB}, {"job"}},
    [NQ_OP_MODELS] = {"models", {{0}}, {0}},
    [NQ_OP_DATASETS] = {"datasets", {{"name", TEXT, 1, NQ_SPEC_NAME}}, {0}},
    [NQ_OP_LEADERBOARD] = {"leaderboard",
                           {{"dataset", TEXT, 1, NQ_SPEC_PATH}, {"model", TEXT, 1, NQ_SPEC_NAME}},
                           {0}},
    [NQ_OP_DIFF] = {"diff", {{"a", WHOLE, 1, INT64_MAX}, {"b", WHOLE, 1, INT64_MAX}}, {0}},
    [NQ_OP_CACHE] = {"cache", {{"build", FLAG, 0, 0}}, {0}},
    [NQ_OP_CACHE_BUILD] = {"cache_build", {{"dataset", TEXT, 1, NQ_SPEC_NAME}}, {"dataset"}},
    [NQ_OP_CACHE_DROP] = {"cache_drop",
                          {{"dataset", TEXT, 1, NQ_SPEC_PATH},
                           {"stale", FLAG, 0, 0},
                           {"all", FLAG, 0, 0}},
                          {"dataset", "stale", "all"}},
};

const char *nq_op_name(nq_op op)
{
    return rules[op].name;
}

static nq_status check_state(const json_t *value, nq_error *err)
{
    nq_job_state ignored;
    if (!json_is_string(value) || !nq_job_state_find(json_string_value(value), &ignored))
        return nq_fail(err, NQ_ERR_INPUT,
                       "state: must be queued, held, running, done, failed or cancelled");
    return NQ_OK;
}

static nq_status check_states(const json_t *value, nq_error *err)
{
    if (!json_is_array(value))
        return check_state(value, err);
    nq_status status = NQ_OK;
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)value, i, one)
    {
        if (status == NQ_OK)
            status = check_state(one, err);
    }
    return status;
}

static nq_status check_value(const json_t *object, const key_rule *rule, nq_error *err)
{
    long long number = 0;
    double real = 0;
    bool flag;
    const char *text = "";
    json_t *value = json_object_get(object, rule->key);
    if (!value)
        return NQ_OK;
    switch (rule->type) {
    case WHOLE:
        return nq_json_get_int(object, rule->key, rule->low, rule->high, &number, err);
    case NUMBER:
        if (nq_json_get_real(object, rule->key, &real, err) != NQ_OK)
            return err->status;
        return real >= 0 && real <= 1e12
                   ? NQ_OK
                   : nq_fail(err, NQ_ERR_INPUT, "%s: is not a time in seconds", rule->key);
    case TEXT:
        if (nq_json_get_string(object, rule->key, &text, err) != NQ_OK)
            return err->status;
        return strlen(text) >= (size_t)rule->low && strlen(text) <= (size_t)rule->high
                   ? NQ_OK
                   : nq_fail(err, NQ_ERR_INPUT, "%s: must have %lld to %lld bytes", rule->key,
                             rule->low, rule->high);
    case FLAG:
        return nq_json_get_bool(object, rule->key, &flag, err);
    case OBJECT:
        return nq_json_get_object(object, rule->key, &value, err);
    case ARRAY:
        return nq_json_get_array(object, rule->key, &value, err);
    case TEXT_OR_ARRAY:
        break;
    }
    return check_states(value, err);
}

/* At least one of the alternatives, and never two of them. */
static nq_status check_alternatives(const json_t *object, const op_rule *rule, nq_error *err)
{
    const char *const *names = rule->one_of;
    int given = 0;
    for (int i = 0; i < 3 && names[i]; i++)
        given += json_object_get(object, names[i]) != NULL;
    if (names[0] && given == 0)
        return names[1] ? nq_fail(err, NQ_ERR_INPUT, "%s: needs %s or %s", rule->name, names[0],
                                  names[1])
                        : nq_fail(err, NQ_ERR_INPUT, "%s: needs %s", rule->name, names[0]);
    if (given > 1)
        return nq_fail(err, NQ_ERR_INPUT, "%s: takes %s or %s, not both", rule->name, names[0],
                       names[1]);
    return NQ_OK;
}

static nq_status check_request(const json_t *object, nq_op op, nq_error *err)
{
    const op_rule *rule = &rules[op];
    const char *valid[MOST_KEYS + 3] = {"op", "id"};
    for (int i = 0; i < MOST_KEYS && rule->keys[i].key; i++)
        valid[i + 2] = rule->keys[i].key;
    nq_status status = nq_json_check_keys(object, valid, err);
    for (int i = 0; i < MOST_KEYS && rule->keys[i].key && status == NQ_OK; i++)
        status = check_value(object, &rule->keys[i], err);
    if (status == NQ_OK)
        status = check_alternatives(object, rule, err);
    if (status == NQ_OK && op == NQ_OP_WATCH && json_object_get(object, "job") &&
        json_object_get(object, "group"))
        status = nq_fail(err, NQ_ERR_INPUT, "watch: takes job or group, not both");
    if (status == NQ_OK && op == NQ_OP_DIFF) {
        status = nq_json_require(object, "a", err);
        if (status == NQ_OK)
            status = nq_json_require(object, "b", err);
    }
    size_t specs = json_array_size(json_object_get(object, "specs"));
    if (status == NQ_OK && op == NQ_OP_SUBMIT && json_object_get(object, "specs") &&
        (specs < 1 || specs > NQ_SPECS_MOST))
        status =
            nq_fail(err, NQ_ERR_INPUT, "specs: %zu specs are not 1 to %d", specs, NQ_SPECS_MOST);
    return status;
}

static nq_status take_id(nq_request *request, nq_error *err)
{
    json_t *id = json_object_get(request->object, "id");
    if (!id)
        return NQ_OK;
    if (!json_is_integer(id) && !(json_is_string(id) && json_string_length(id) <= NQ_ID_BYTES))
        return nq_fail(err, NQ_ERR_INPUT,
                       "id: must be a whole number or a string of up to %d bytes", NQ_ID_BYTES);
    request->id = json_incref(id);
    return NQ_OK;
}

static nq_status take_op(nq_request *request, nq_error *err)
{
    const char *names[NQ_OP_COUNT + 1] = {NULL};
    const char *name = "";
    nq_status status = nq_json_require(request->object, "op", err);
    if (status == NQ_OK)
        status = nq_json_get_string(request->object, "op", &name, err);
    if (status != NQ_OK)
        return status;
    for (int i = 0; i < NQ_OP_COUNT; i++) {
        names[i] = rules[i].name;
        if (strcmp(names[i], name) != 0)
            continue;
        request->op = (nq_op)i;
        return NQ_OK;
    }
    return nq_fail(err, NQ_ERR_INPUT, "op: \"%.60s\" is not known; the nearest is %s", name,
                   nq_nearest(name, names));
}

nq_status nq_request_parse(const char *line, size_t size, nq_request *request, nq_error *err)
{
    *request = (nq_request){0};
    nq_status status = nq_json_parse(line, size, size, "request", &request->object, err);
    if (status == NQ_OK)
        status = take_id(request, err);
    if (status == NQ_OK)
        status = take_op(request, err);
    return status == NQ_OK ? check_request(request->object, request->op, err) : status;
}

void nq_request_clear(nq_request *request)
{
    json_decref(request->id);
    json_decref(request->object);
    *request = (nq_request){0};
}

long long nq_request_int(const nq_request *request, const char *key, long long otherwise)
{
    const json_t *value = json_object_get(request->object, key);
    return value ? json_integer_value(value) : otherwise;
}

const char *nq_request_text(const nq_request *request, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(request->object, key);
    return value ? json_string_value(value) : otherwise;
}

int nq_request_flag(const nq_request *request, const char *key)
{
    return json_is_true(json_object_get(request->object, key));
}

const char *nq_protocol_code(nq_status status)
{
    return status == NQ_ERR_INPUT ? "bad_request" : nq_status_name(status);
}

static char *dump_line(json_t *object, size_t *size)
{
    size_t n = json_dumpb(object, NULL, 0, JSON_COMPACT);
    char *line = object && n ? malloc(n + 1) : NULL;
    if (!line || json_dumpb(object, line, n, JSON_COMPACT) != n) {
        free(line);
        return NULL;
    }
    line[n] = '\n';
    *size = n + 1;
    return line;
}

char *nq_reply_line(const json_t *id, json_t *fields, size_t *size)
{
    json_t *reply = json_object();
    int bad = !reply;
    if (reply && id)
        bad |= json_object_set(reply, "id", (json_t *)id);
    if (reply)
        bad |= json_object_set_new(reply, "ok", json_true());
    if (reply && fields)
        bad |= json_object_update(reply, fields);
    char *line = bad ? NULL : dump_line(reply, size);
    json_decref(fields);
    json_decref(reply);
    return line;
}

char *nq_error_line(const json_t *id, const char *code, const char *message, size_t *size)
{
    json_t *reply = json_object();
    int bad = !reply;
    if (reply && id)
        bad |= json_object_set(reply, "id", (json_t *)id);
    if (reply)
        bad |= json_object_set_new(reply, "ok", json_false());
    if (reply)
        bad |= json_object_set_new(
            reply, "error",
            json_pack("{s:s, s:o}", "code", code, "message", nq_text_json(message)));
    char *line = bad ? NULL : dump_line(reply, size);
    json_decref(reply);
    return line;
}
