/* server/protocol, server/text, server/progress, server/result: what strangers send. */
#include "tests/unit/nq_test.h"

#include "server/progress.h"
#include "server/protocol.h"
#include "server/result.h"
#include "server/text.h"

static nq_status parse(const char *line, nq_request *r, nq_error *err)
{
    return nq_request_parse(line, strlen(line), r, err);
}

static void requests(void **state)
{
    (void)state;
    nq_request r;
    nq_error err = {0};
    assert_ok(parse("{\"op\":\"status\",\"job\":12,\"id\":\"x\"}", &r, &err), &err);
    assert_int_equal(r.op, NQ_OP_STATUS);
    assert_int_equal(nq_request_int(&r, "job", 0), 12);
    assert_string_equal(json_string_value(r.id), "x");
    nq_request_clear(&r);
    assert_ok(parse("{\"op\":\"submit\",\"spec\":{\"model\":\"m\"},\"hold\":true}", &r, &err),
              &err);
    assert_true(nq_request_flag(&r, "hold"));
    assert_false(nq_request_flag(&r, "dry_run"));
    assert_string_equal(nq_request_text(&r, "token", "none"), "none");
    nq_request_clear(&r);
    assert_refused(parse("{\"op\":\"status\",\"id\":7,\"jobb\":1}", &r, &err), NQ_ERR_INPUT, &err,
                   "jobb: is not a key here; the nearest is \"job\"");
    assert_int_equal(json_integer_value(r.id), 7); /* so that the error can carry it */
    nq_request_clear(&r);
    for (int op = 0; op < NQ_OP_COUNT; op++)
        assert_non_null(nq_op_name((nq_op)op));
}

static void reply_lines(void **state)
{
    (void)state;
    size_t size;
    json_t *id = json_integer(3);
    char *line = nq_reply_line(id, json_pack("{s:i}", "a", 1), &size);
    assert_int_equal(size, strlen("{\"id\":3,\"ok\":true,\"a\":1}\n"));
    assert_memory_equal(line, "{\"id\":3,\"ok\":true,\"a\":1}\n", size);
    free(line);
    line = nq_error_line(NULL, "io", "a\xff\xfe b", &size);
    assert_memory_equal(line, "{\"ok\":false,\"error\":{\"code\":\"io\",\"message\":\"a?? b\"}}\n",
                        size);
    free(line);
    json_decref(id);
    assert_string_equal(nq_protocol_code(NQ_ERR_INPUT), "bad_request");
    assert_string_equal(nq_protocol_code(NQ_ERR_DENIED), "denied");
}

static void foreign_bytes(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"plain", "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"cut \xe2\x82", "cut ??"},
        {"overlong \xc0\xaf", "overlong ??"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
        {"beyond \xf4\x90\x80\x80", "beyond ????"},
        {"lone \x80", "lone ?"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        json_t *value = nq_text_json(pairs[i][0]);
        assert_non_null(value);
        assert_string_equal(json_string_value(value), pairs[i][1]);
        json_decref(value);
    }
}

/* ---- progress ---- */

static unsigned feed(nq_progress_state *s, const char *text, double now)
{
    return nq_progress_feed(s, text, strlen(text), now);
}

static void progress_lines(void **state)
{
    (void)state;
    nq_progress_state s = {0};
    json_t *none = nq_progress_to_json(&s);
    assert_true(json_is_null(none));
    json_decref(none);
    assert_int_equal(feed(&s, "{\"stage\":\"score\",\"do", 10), 0);
    assert_int_equal(feed(&s, "ne\":100,\"total\":600,\"more\":[]}\n", 10), 1);
    assert_string_equal(s.stage, "score");
    assert_int_equal(s.done, 100);
    assert_int_equal(feed(&s, "{\"stage\":\"score\",\"done\":300,\"total\":600}\n", 12), 1);
    json_t *json = nq_progress_to_json(&s);
    assert_float_equal(json_real_value(json_object_get(json, "rate")), 100.0, 1e-9);
    assert_float_equal(json_real_value(json_object_get(json, "eta_s")), 3.0, 1e-9);
    json_decref(json);
    assert_int_equal(feed(&s, "{\"stage\":\"write\",\"done\":0,\"total\":0}\n", 13), 1);
    assert_float_equal(s.rate, 0.0, 0.0);
    json = nq_progress_to_json(&s);
    assert_true(json_is_null(json_object_get(json, "eta_s")));
    assert_true(json_is_null(json_object_get(json, "loss")));
    json_decref(json);
    assert_int_equal(s.messages, 3);
    feed(&s, "{\"stage\":\"distill\",\"done\":1,\"total\":9,\"loss\":4.25e+01}\n", 14);
    json = nq_progress_to_json(&s);
    assert_float_equal(json_real_value(json_object_get(json, "loss")), 42.5, 0.0);
    json_decref(json);
    feed(&s, "{\"stage\":\"distill\",\"done\":2,\"total\":9,\"loss\":\"low\"}\n", 15);
    json = nq_progress_to_json(&s);
    assert_true(json_is_null(json_object_get(json, "loss")));
    json_decref(json);
    assert_int_equal(s.messages, 5);
    assert_int_equal(s.garbage, 0);
}

static void progress_garbage(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\n",
        "x\n",
        "[]\n",
        "{}\n",
        "null\n",
        "{\"stage\":1,\"done\":1,\"total\":1}\n",
        "{\"stage\":\"\",\"done\":1,\"total\":1}\n",
        "{\"stage\":\"a b\",\"done\":1,\"total\":1}\n",
        "{\"stage\":\"a\",\"done\":-1,\"total\":1}\n",
        "{\"stage\":\"a\",\"done\":1.5,\"total\":1}\n",
        "{\"stage\":\"a\",\"done\":1,\"total\":9007199254740993}\n",
        "{\"stage\":\"a\",\"done\":1,\"done\":1,\"total\":1}\n",
        "{\"stage\":\"0123456789012345678901234567890123456789\",\"done\":1,\"total\":1}\n"};
    size_t count = sizeof lines / sizeof lines[0];
    nq_progress_state s = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(feed(&s, lines[i], 1), 0);
    assert_int_equal(s.garbage, count);
    char *endless = calloc(1, 100001);
    memset(endless, '{', 100000);
    assert_int_equal(feed(&s, endless, 1), 0);
    assert_true(s.used <= NQ_PROGRESS_LINE);
    free(endless);
    assert_int_equal(feed(&s, "\n{\"stage\":\"a\",\"done\":1,\"total\":2}\n", 1), 1);
    assert_int_equal(s.garbage, count + 1);
    assert_string_equal(s.stage, "a");
}

/* ---- result.json ---- */

#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD  "{\"format\":1,\"job\":12,\"fingerprint\":\"" PRINT "\",\"state\":"
#define SUMMARY                                                                                    \
    "\"summary\":{\"images\":10,\"top1_right\":5,\"top5_right\":8,\"unreadable\":1,"               \
    "\"original_model_size\":100,\"new_model_size\":25,\"agreement_same\":null,"                   \
    "\"agreement_images\":0,\"seconds\":1.5}"
#define ARTIFACT "{\"name\":\"output.txt\",\"bytes\":7,\"sha256\":\"" PRINT "\"}"

static nq_status parse_result(const char *text, nq_ending *ending, nq_error *err)
{
    return nq_result_parse(text, strlen(text), 12, PRINT, ending, err);
}

static void results(void **state)
{
    (void)state;
    nq_ending e;
    nq_error err = {0};
    assert_ok(parse_result(HEAD "\"done\",\"artifacts\":[" ARTIFACT "]," SUMMARY "}", &e, &err),
              &err);
    assert_int_equal(e.state, NQ_STATE_DONE);
    assert_int_equal(e.attempts, 1);
    assert_int_equal(e.artifact_count, 1);
    assert_string_equal(e.artifacts[0].name, "output.txt");
    assert_int_equal(e.artifacts[0].bytes, 7);
    assert_int_equal(e.summary.agreement_same, -1);
    assert_int_equal(e.summary.new_model_size, 25);
    free(e.artifacts);
    assert_ok(
        parse_result(HEAD "\"failed\",\"code\":\"io\",\"reason\":\"a\\u001b[2Jb\"}", &e, &err),
        &err);
    assert_int_equal(e.state, NQ_STATE_FAILED);
    assert_string_equal(e.reason, "a?[2Jb");
    free(e.artifacts);
}

static void wrong_results(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "is not a JSON object"},
        {"[]", "is an array"},
        {"{\"format\":2}", "format: 2 is not 1"},
        {"{\"format\":1,\"job\":13}", "job: 13 is not 12"},
        {"{\"format\":1,\"job\":12,\"fingerprint\":\"x\"}", "fingerprint: is not the job's"},
        {HEAD "\"running\"}", "neither done nor failed"},
        {HEAD "\"failed\"}", "must say why"},
        {HEAD "\"failed\",\"reason\":7}", "reason: must be a string"},
        {HEAD "\"done\",\"artifacts\":[]}", "summary: is missing"},
        {HEAD "\"done\"," SUMMARY "}", "artifacts: is missing"},
        {HEAD "\"done\",\"artifacts\":{}," SUMMARY "}", "artifacts: must be an array"},
        {HEAD "\"done\",\"artifacts\":[" ARTIFACT "," ARTIFACT "]," SUMMARY "}", "listed twice"},
        {HEAD "\"done\",\"artifacts\":[{\"name\":\"../x\",\"bytes\":1,\"sha256\":\"" PRINT
              "\"}]," SUMMARY "}",
         "is not a name"},
        {HEAD "\"done\",\"artifacts\":[{\"name\":\".x\",\"bytes\":1,\"sha256\":\"" PRINT
              "\"}]," SUMMARY "}",
         "is not a name"},
        {HEAD "\"done\",\"artifacts\":[{\"name\":\"x\",\"bytes\":-1,\"sha256\":\"" PRINT
              "\"}]," SUMMARY "}",
         "bytes: -1"},
        {HEAD "\"done\",\"artifacts\":[{\"name\":\"x\",\"bytes\":1,\"sha256\":\"XY\"}]," SUMMARY
              "}",
         "sha256: is not a SHA-256"},
        {HEAD "\"done\",\"artifacts\":[],\"summary\":{\"images\":10,\"top1_right\":9,"
              "\"top5_right\":8,\"unreadable\":0,\"original_model_size\":1,\"new_model_size\":1,"
              "\"agreement_images\":0,\"seconds\":1}}",
         "agreement_same: is missing"},
        {HEAD "\"done\",\"artifacts\":[],\"summary\":{\"images\":10,\"top1_right\":9,"
              "\"top5_right\":8,\"unreadable\":0,\"original_model_size\":1,\"new_model_size\":1,"
              "\"agreement_same\":null,\"agreement_images\":0,\"seconds\":1}}",
         "contradict"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nq_ending e;
        nq_error err = {0};
        assert_refused(parse_result(cases[i].text, &e, &err), NQ_ERR_INPUT, &err, cases[i].words);
        free(e.artifacts);
    }
}

static void artifact_names(void **state)
{
    (void)state;
    assert_true(nq_artifact_name_valid("output.txt"));
    assert_true(nq_artifact_name_valid("a-b_C.9"));
    assert_false(nq_artifact_name_valid(""));
    assert_false(nq_artifact_name_valid("."));
    assert_false(nq_artifact_name_valid(".hidden"));
    assert_false(nq_artifact_name_valid("a/b"));
    assert_false(nq_artifact_name_valid("a b"));
    assert_false(nq_artifact_name_valid("\xc3\xa4"));
    char name[NQ_ARTIFACT_NAME + 1];
    memset(name, 'a', sizeof name);
    name[NQ_ARTIFACT_NAME] = 0;
    assert_false(nq_artifact_name_valid(name));
    name[NQ_ARTIFACT_NAME - 1] = 0;
    assert_true(nq_artifact_name_valid(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),         cmocka_unit_test(reply_lines),
        cmocka_unit_test(foreign_bytes),    cmocka_unit_test(progress_lines),
        cmocka_unit_test(progress_garbage), cmocka_unit_test(results),
        cmocka_unit_test(wrong_results),    cmocka_unit_test(artifact_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
