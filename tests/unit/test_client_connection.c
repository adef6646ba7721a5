/* client/connection, download: lines, chunks, and daemons that break every rule. */
#include "tests/unit/fake_daemon.h"

#include "client/connection.h"
#include "client/download.h"
#include "client/job.h"
#include "common/hash.h"
#include "common/random.h"
#include <fcntl.h>

static nq_connection *connect_to(const fake_daemon *d)
{
    nq_connection *connection;
    nq_error err = {0};
    assert_ok(nq_connection_open(d->path, &connection, &err), &err);
    return connection;
}

static void a_question_and_its_answer(void **state)
{
    (void)state;
    static const fake_row script[] = {
        {"hello", "{\"id\":$,\"ok\":true,\"version\":\"1\"}\n", 0, FAKE_KEEP},
        {"hello",
         "{\"id\":$,\"ok\":false,\"error\":{\"code\":\"bad_spec\",\"message\":\"no "
         "\\u001b[31m\"}}\n",
         0, FAKE_KEEP},
        {NULL}};
    fake_daemon *d = fake_start(script);
    nq_connection *c = connect_to(d);
    nq_error err = {0};
    json_t *reply;
    assert_ok(nq_connection_ask(c, nq_request("hello"), &reply, &err), &err);
    assert_string_equal(json_string_value(json_object_get(reply, "version")), "1");
    json_decref(reply);
    assert_refused(nq_connection_ask(c, nq_request("hello"), &reply, &err), NQ_ERR_INPUT, &err,
                   "no ?[31m");
    assert_null(reply);
    assert_false(nq_connection_lost(c));
    nq_connection_close(c);
    fake_stop(d);
    assert_string_equal(d->requests, "{\"op\":\"hello\",\"id\":1}\n{\"op\":\"hello\",\"id\":2}\n");
    fake_free(d);
}

static void codes_become_statuses(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        nq_status status;
    } codes[] = {{"bad_request", NQ_ERR_INPUT},
                 {"denied", NQ_ERR_DENIED},
                 {"missing", NQ_ERR_MISSING},
                 {"wrong_state", NQ_ERR_STATE},
                 {"too_large", NQ_ERR_INPUT},
                 {"busy", NQ_ERR_STATE},
                 {"io", NQ_ERR_IO},
                 {"no_memory", NQ_ERR_NOMEM},
                 {"internal", NQ_ERR_INTERNAL},
                 {"something new", NQ_ERR_INTERNAL}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "{\"id\":$,\"ok\":false,\"error\":{\"code\":\"%s\",\"message\":\"why\"}}\n",
                 codes[i].code);
        const fake_row script[] = {{"hello", text, 0, FAKE_KEEP}, {NULL}};
        fake_daemon *d = fake_start(script);
        nq_connection *c = connect_to(d);
        nq_error err = {0};
        json_t *reply;
        assert_refused(nq_connection_ask(c, nq_request("hello"), &reply, &err), codes[i].status,
                       &err, "why");
        nq_connection_close(c);
        fake_stop(d);
        fake_free(d);
    }
}

static void broken_replies_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
        fake_then then;
        bool lost;
    } bad[] = {
        {"not json\n", "the daemon's reply: is not a JSON object", FAKE_KEEP, false},
        {"\n", "the daemon's reply: is not a JSON object", FAKE_KEEP, false},
        {"[]\n", "is an array", FAKE_KEEP, false},
        {"{}\n", "not one to this request", FAKE_KEEP, false},
        {"{\"ok\":true}\n", "not one to this request", FAKE_KEEP, false},
        {"{\"ok\":true,\"id\":99}\n", "not one to this request", FAKE_KEEP, false},
        {"{\"ok\":1,\"id\":$}\n", "not one to this request", FAKE_KEEP, false},
        {"{\"ok\":false,\"id\":$}\n", "did not say why", FAKE_KEEP, false},
        {"{\"ok\":false,\"error\":[]}\n", "did not say why", FAKE_KEEP, false},
        {"{\"ok\":false,\"error\":{\"code\":1,\"message\":2}}\n", "did not say", FAKE_KEEP, false},
        {"", "closed the connection", FAKE_HANG_UP, true},
        {"{\"id\":$,\"ok\":tr", "closed the connection", FAKE_HANG_UP, true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const fake_row script[] = {{"hello", bad[i].bytes, 0, bad[i].then}, {NULL}};
        fake_daemon *d = fake_start(script);
        nq_connection *c = connect_to(d);
        nq_error err = {0};
        json_t *reply = NULL;
        nq_status want = bad[i].lost ? NQ_ERR_IO : NQ_ERR_INTERNAL;
        assert_refused(nq_connection_ask(c, nq_request("hello"), &reply, &err), want, &err,
                       bad[i].words);
        assert_int_equal(nq_connection_lost(c), bad[i].lost);
        nq_connection_close(c);
        fake_stop(d);
        fake_free(d);
    }
}

/* A thread that writes spaces for as long as somebody reads. */
static void *flood(void *context)
{
    static char spaces[1 << 16];
    memset(spaces, ' ', sizeof spaces);
    while (send(*(int *)context, spaces, sizeof spaces, MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

static void an_endless_line_is_refused(void **state)
{
    (void)state;
    int fds[2];
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(pthread_create(&thread, NULL, flood, &fds[1]), 0);
    nq_connection *c = nq_connection_adopt(fds[0]);
    nq_error err = {0};
    json_t *object;
    assert_refused(nq_connection_line(c, &object, &err), NQ_ERR_INTERNAL, &err,
                   "line of more than 67108864 bytes");
    nq_connection_close(c);
    pthread_join(thread, NULL);
    close(fds[1]);
}

static void no_daemon(void **state)
{
    (void)state;
    nq_error err = {0};
    nq_connection *c;
    assert_refused(nq_connection_open("/nowhere/at/all", &c, &err), NQ_ERR_IO, &err,
                   "no daemon answers at /nowhere/at/all");
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_refused(nq_connection_open(longer, &c, &err), NQ_ERR_IO, &err, "longer than");
    assert_null(c);
}

static void where_the_socket_is(void **state)
{
    (void)state;
    char *folder = nq_test_folder(), *own = nq_path_join(folder, "netq.sock");
    setenv("XDG_RUNTIME_DIR", folder, 1);
    setenv("NETQ_SOCKET", "/named", 1);
    char *path = nq_socket_path("/option");
    assert_string_equal(path, "/option");
    free(path);
    path = nq_socket_path(NULL);
    assert_string_equal(path, "/named");
    free(path);
    unsetenv("NETQ_SOCKET");
    close(creat(own, 0600));
    path = nq_socket_path(NULL);
    assert_string_equal(path, own);
    free(path);
    unsetenv("XDG_RUNTIME_DIR");
    path = nq_socket_path(NULL);
    assert_string_equal(path, "/run/netq/netq.sock");
    free(path);
    nq_error err = {0};
    nq_dir_remove(folder, &err);
    free(own), free(folder);
}

/* ---- downloads ---- */

#define SHA_OF_HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HEAD(bytes, sha)                                                                           \
    "{\"id\":$,\"ok\":true,\"name\":\"output.txt\",\"bytes\":" bytes ",\"sha256\":" sha "}\n"
#define BYTES(text) text, sizeof text - 1

static nq_status fetch(const char *bytes, size_t size, fake_then then, char **got, bool *lost,
                       nq_error *err)
{
    const fake_row script[] = {{"get", bytes, size, then}, {NULL}};
    fake_daemon *d = fake_start(script);
    size_t length;
    FILE *out = open_memstream(got, &length);
    nq_client client = {.out = out, .messages = stderr, .socket_option = d->path};
    json_t *reply = NULL;
    uint64_t total = 0;
    nq_status status = nq_client_ask(&client, nq_request("get"), &reply, err);
    if (status == NQ_OK)
        status = nq_download_stream(&client, reply, out, 0, &total, err);
    fclose(out);
    *lost = client.lost;
    json_decref(reply);
    nq_client_close(&client);
    fake_stop(d);
    fake_free(d);
    return status;
}

static void downloads_that_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } good[] = {
        {BYTES(HEAD("5", "\"" SHA_OF_HELLO "\"") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n")},
        {BYTES(HEAD("5", "\"" SHA_OF_HELLO "\"") "\0\0\0\2he\0\0\0\3llo\0\0\0\0{\"end\":true}\n")},
        {BYTES(HEAD("null", "null") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n")},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char *got = NULL;
        bool lost;
        nq_error err = {0};
        assert_ok(fetch(good[i].bytes, good[i].size, FAKE_KEEP, &got, &lost, &err), &err);
        assert_string_equal(got, "hello");
        free(got);
    }
}

static void downloads_that_are_not(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        nq_status status;
        const char *words;
        bool lost;
    } bad[] = {
        {BYTES(HEAD("5", "\"00\"") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n"), NQ_ERR_IO,
         "output.txt: its sha256 is " SHA_OF_HELLO ", not 00", false},
        {BYTES(HEAD("6", "null") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n"), NQ_ERR_IO,
         "5 bytes came, 6 were announced", false},
        {BYTES(HEAD("5", "null") "\0\0\0\5hello\0\0\0\0{\"error\":{\"code\":\"io\",\"message\":"
                                 "\"disk\"}}\n"),
         NQ_ERR_IO, "disk", false},
        {BYTES(HEAD("5", "null") "\0\0\0\5hello\0\0\0\0{\"error\":7}\n"), NQ_ERR_INTERNAL,
         "did not say why", false},
        {BYTES(HEAD("5", "null") "\0\0\0\5hello\0\0\0\0{}\n"), NQ_ERR_INTERNAL, "does not end",
         false},
        {BYTES(HEAD("5", "null") "\0\1\0\1hello"), NQ_ERR_INTERNAL, "a chunk of 65537 bytes",
         false},
        {BYTES(HEAD("5", "null") "\xff\xff\xff\xff"), NQ_ERR_INTERNAL, "4294967295 bytes", false},
        {BYTES(HEAD("5", "null") "\0\0\0\5hel"), NQ_ERR_IO, "closed the connection", true},
        {BYTES(HEAD("5", "null") "\0\0"), NQ_ERR_IO, "closed the connection", true},
        {BYTES(HEAD("5", "null") "\0\0\0\5hello"), NQ_ERR_IO, "closed the connection", true},
        {BYTES(HEAD("5", "null") "\0\0\0\5hello\0\0\0\0{\"en"), NQ_ERR_IO, "closed", true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *got = NULL;
        bool lost;
        nq_error err = {0};
        assert_refused(fetch(bad[i].bytes, bad[i].size, FAKE_HANG_UP, &got, &lost, &err),
                       bad[i].status, &err, bad[i].words);
        assert_int_equal(lost, bad[i].lost);
        free(got);
    }
}

static void a_full_chunk_crosses_buffers(void **state)
{
    (void)state;
    static char bytes[3 * (NQ_CHUNK_MAX + 4) + 400];
    size_t at = (size_t)sprintf(bytes, HEAD("196608", "null"));
    for (int i = 0; i < 3; i++) {
        memcpy(bytes + at, "\0\1\0\0", 4);
        memset(bytes + at + 4, 'a' + i, NQ_CHUNK_MAX);
        at += NQ_CHUNK_MAX + 4;
    }
    memcpy(bytes + at, "\0\0\0\0{\"end\":true}\n", 17);
    char *got = NULL;
    bool lost;
    nq_error err = {0};
    assert_ok(fetch(bytes, at + 17, FAKE_KEEP, &got, &lost, &err), &err);
    assert_int_equal(strlen(got), 3 * NQ_CHUNK_MAX);
    assert_int_equal(got[NQ_CHUNK_MAX - 1], 'a');
    assert_int_equal(got[NQ_CHUNK_MAX], 'b');
    assert_int_equal(got[3 * NQ_CHUNK_MAX - 1], 'c');
    free(got);
}

static void a_file_is_replaced_only_by_the_whole(void **state)
{
    (void)state;
    static const fake_row script[] = {
        {"get", BYTES(HEAD("5", "\"00\"") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n"), FAKE_KEEP},
        {"get", BYTES(HEAD("5", "\"" SHA_OF_HELLO "\"") "\0\0\0\5hello\0\0\0\0{\"end\":true}\n"),
         FAKE_KEEP},
        {NULL}};
    fake_daemon *d = fake_start(script);
    char *path = nq_path_join(d->folder, "file");
    nq_client client = {.out = stdout, .messages = stderr, .socket_option = d->path};
    nq_error err = {0};
    json_t *reply;
    uint8_t *data;
    size_t size;
    assert_ok(nq_file_write_atomic(path, "old", 3, &err), &err);
    assert_ok(nq_client_ask(&client, nq_request("get"), &reply, &err), &err);
    assert_refused(nq_download_file(&client, reply, path, &err), NQ_ERR_IO, &err, "sha256");
    json_decref(reply);
    assert_ok(nq_file_read(path, 100, &data, &size, &err), &err);
    assert_string_equal((char *)data, "old");
    free(data);
    assert_ok(nq_client_ask(&client, nq_request("get"), &reply, &err), &err);
    assert_ok(nq_download_file(&client, reply, path, &err), &err);
    json_decref(reply);
    assert_ok(nq_file_read(path, 100, &data, &size, &err), &err);
    assert_string_equal((char *)data, "hello");
    free(data);
    nq_client_close(&client);
    free(path);
    fake_stop(d);
    fake_free(d);
}

/* Seeded damage to a good conversation: any outcome but a crash, a hang or silence. */
static void damaged_conversations(void **state)
{
    (void)state;
    static const char good[] =
        "{\"id\":1,\"ok\":true,\"name\":\"f\",\"bytes\":5,\"sha256\":\"" SHA_OF_HELLO "\",\"job\":"
        "{\"job\":12,\"state\":\"done\",\"progress\":{\"stage\":\"s\",\"done\":1,\"total\":2},"
        "\"result\":{\"top1\":1.5}}}\n\0\0\0\5hello\0\0\0\0{\"end\":true}\n";
    nq_random r;
    nq_random_init(&r, 1, 0);
    FILE *nowhere = fopen("/dev/null", "w");
    for (int round = 0; round < 3000; round++) {
        char bytes[sizeof good];
        int fds[2];
        nq_error err = {0};
        json_t *reply = NULL;
        memcpy(bytes, good, sizeof good);
        for (uint32_t n = nq_random_u32(&r) % 4; n > 0; n--)
            bytes[nq_random_u32(&r) % (sizeof good - 1)] = (char)nq_random_u32(&r);
        size_t size = nq_random_u32(&r) % 4 ? sizeof good - 1 : nq_random_u32(&r) % sizeof good;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_int_equal(send(fds[1], bytes, size, 0), (ssize_t)size);
        shutdown(fds[1], SHUT_WR);
        nq_client client = {
            .out = nowhere, .messages = nowhere, .connection = nq_connection_adopt(fds[0])};
        nq_status status = nq_client_ask(&client, nq_request("get"), &reply, &err);
        if (status == NQ_OK) {
            nq_job_print(json_object_get(reply, "job"), nowhere);
            status = nq_download_stream(&client, reply, nowhere, 0, NULL, &err);
        }
        assert_true(status == NQ_OK || *err.text);
        json_decref(reply);
        nq_client_close(&client);
        close(fds[1]);
    }
    fclose(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_and_its_answer),
        cmocka_unit_test(codes_become_statuses),
        cmocka_unit_test(broken_replies_are_errors),
        cmocka_unit_test(an_endless_line_is_refused),
        cmocka_unit_test(no_daemon),
        cmocka_unit_test(where_the_socket_is),
        cmocka_unit_test(downloads_that_are_whole),
        cmocka_unit_test(downloads_that_are_not),
        cmocka_unit_test(a_full_chunk_crosses_buffers),
        cmocka_unit_test(a_file_is_replaced_only_by_the_whole),
        cmocka_unit_test(damaged_conversations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
