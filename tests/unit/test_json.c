/* common/json: objects from bounded bytes, getters whose sentences name the key. */
#include "tests/unit/nq_test.h"

#include "common/file.h"
#include "common/json.h"

static json_t *parse(const char *text)
{
    nq_error err = {0};
    json_t *object;
    assert_ok(nq_json_parse(text, strlen(text), 1000, "text", &object, &err), &err);
    return object;
}

static void only_one_whole_object(void **state)
{
    (void)state;
    nq_error err = {0};
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "text: is not a JSON object"},
        {"[1]", "text: is an array, not a JSON object"},
        {"3", "not a JSON object"},
        {"{\"a\":1", "(byte 6)"},
        {"{\"a\":1} {}", "text: is not a JSON object"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"a\":\"\xff\"}", "0xff"},
        {"{\"a\":\"\\u0000\"}", "text: is not a JSON object"},
        {"{\"a\":99999999999999999999}", "text: is not a JSON object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *object = (json_t *)&bad;
        assert_refused(nq_json_parse(bad[i].text, strlen(bad[i].text), 1000, "text", &object, &err),
                       NQ_ERR_INPUT, &err, bad[i].words);
        assert_null(object);
    }
    json_t *object;
    assert_refused(nq_json_parse("{\"a\":1}", 7, 6, "text", &object, &err), NQ_ERR_INPUT, &err,
                   "text: has 7 bytes, at most 6");
    json_decref(parse("{\"a\":1}"));
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    nq_error err = {0};
    char *text = malloc(2 * DEPTH + 8);
    json_t *object;
    int at = sprintf(text, "{\"a\":");
    memset(text + at, '[', DEPTH);
    memset(text + at + DEPTH, ']', DEPTH);
    strcpy(text + at + 2 * DEPTH, "}");
    assert_refused(nq_json_parse(text, strlen(text), 1 << 20, "text", &object, &err), NQ_ERR_INPUT,
                   &err, "depth");
    free(text);
}

static void getters_keep_defaults_and_name_keys(void **state)
{
    (void)state;
    nq_error err = {0};
    json_t *o = parse("{\"n\":7,\"r\":0.5,\"s\":\"x\",\"b\":true,\"o\":{},\"a\":[],\"z\":null}");
    long long n = 1;
    double r = 1;
    const char *s = "default";
    bool b = false;
    json_t *object = NULL, *array = NULL;
    assert_ok(nq_json_get_int(o, "gone", 0, 9, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_ok(nq_json_get_int(o, "n", 0, 9, &n, &err), &err);
    assert_int_equal(n, 7);
    assert_ok(nq_json_get_real(o, "n", &r, &err), &err);
    assert_true(r == 7);
    assert_ok(nq_json_get_string(o, "s", &s, &err), &err);
    assert_string_equal(s, "x");
    assert_ok(nq_json_get_bool(o, "b", &b, &err), &err);
    assert_true(b);
    assert_ok(nq_json_get_object(o, "o", &object, &err), &err);
    assert_non_null(object);
    assert_ok(nq_json_get_array(o, "a", &array, &err), &err);
    assert_non_null(array);
    assert_refused(nq_json_get_int(o, "n", 0, 6, &n, &err), NQ_ERR_INPUT, &err,
                   "n: 7 is not in 0..6");
    assert_refused(nq_json_get_int(o, "r", 0, 9, &n, &err), NQ_ERR_INPUT, &err,
                   "r: must be a whole number, not a number with a fraction");
    assert_refused(nq_json_get_real(o, "s", &r, &err), NQ_ERR_INPUT, &err, "s: must be a number");
    assert_refused(nq_json_get_string(o, "n", &s, &err), NQ_ERR_INPUT, &err, "n: must be a string");
    assert_refused(nq_json_get_bool(o, "z", &b, &err), NQ_ERR_INPUT, &err,
                   "z: must be true or false, not null");
    assert_refused(nq_json_get_object(o, "a", &object, &err), NQ_ERR_INPUT, &err,
                   "a: must be an object, not an array");
    assert_refused(nq_json_get_array(o, "o", &array, &err), NQ_ERR_INPUT, &err, "o: must be");
    assert_int_equal(n, 7);
    assert_ok(nq_json_require(o, "n", &err), &err);
    assert_refused(nq_json_require(o, "gone", &err), NQ_ERR_INPUT, &err, "gone: is missing");
    json_decref(o);
}

static void unknown_keys_have_a_neighbour(void **state)
{
    (void)state;
    nq_error err = {0};
    static const char *const keys[] = {"spec", "priority", "hold", "token", NULL};
    static const char *const none[] = {NULL};
    json_t *good = parse("{\"hold\":1,\"spec\":2}"), *bad = parse("{\"spec\":1,\"prioritiy\":2}");
    assert_ok(nq_json_check_keys(good, keys, &err), &err);
    assert_refused(nq_json_check_keys(bad, keys, &err), NQ_ERR_INPUT, &err,
                   "prioritiy: is not a key here; the nearest is \"priority\"");
    assert_refused(nq_json_check_keys(bad, none, &err), NQ_ERR_INPUT, &err, "spec");
    json_decref(good);
    json_decref(bad);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(nq_edit_distance("", ""), 0);
    assert_int_equal(nq_edit_distance("", "abc"), 3);
    assert_int_equal(nq_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(nq_edit_distance("bits", "bist"), 1);
    assert_int_equal(nq_edit_distance("wieghts", "weights"), 1);
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(nq_edit_distance(longer, ""), 63);
}

static void files(void **state)
{
    (void)state;
    nq_error err = {0};
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "spec.json");
    json_t *object;
    assert_refused(nq_json_load(path, 100, &object, &err), NQ_ERR_MISSING, &err, "spec.json");
    assert_ok(nq_file_write_atomic(path, "{\"a\":}", 6, &err), &err);
    assert_refused(nq_json_load(path, 100, &object, &err), NQ_ERR_INPUT, &err, "spec.json: is not");
    assert_ok(nq_file_write_atomic(path, "{\"a\":1}\n", 8, &err), &err);
    assert_ok(nq_json_load(path, 100, &object, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(object, "a")), 1);
    json_decref(object);
    nq_dir_remove(folder, &err);
    free(path), free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_whole_object),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(getters_keep_defaults_and_name_keys),
        cmocka_unit_test(unknown_keys_have_a_neighbour),
        cmocka_unit_test(distances),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
