/* The verbs of netqctl against a scripted daemon: what they send, print and exit with. */
#include "tests/unit/fake_daemon.h"

#include "client/specfile.h"
#include "common/spec.h"
#include <fcntl.h>
#include <sys/wait.h>

#define MOST_WORDS 32

typedef struct {
    int code;
    char *out, *messages;
} outcome;

static void free_outcome(outcome *o)
{
    free(o->out);
    free(o->messages);
}

/* Runs one verb in this process. `line`: its words, with blanks between them. */
static outcome run(const char *socket, const char *line)
{
    char copy[1024], *words[MOST_WORDS] = {NULL};
    int count = 0;
    outcome o = {0};
    size_t out_size, messages_size;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < MOST_WORDS - 1; word = strtok(NULL, " "))
        words[count++] = word;
    nq_client client = {.out = open_memstream(&o.out, &out_size),
                        .messages = open_memstream(&o.messages, &messages_size),
                        .socket_option = socket,
                        .patience_ms = 3000};
    const nq_verb *verb = nq_verbs;
    while (verb->name && strcmp(verb->name, words[0]) != 0)
        verb++;
    assert_non_null(verb->name);
    o.code = verb->run(&client, count, words);
    nq_client_close(&client);
    fclose(client.out);
    fclose(client.messages);
    return o;
}

static void expect_text(const char *what, const char *got, const char *want)
{
    if (want && strcmp(got, want) != 0)
        fail_msg("%s is:\n%s\nnot:\n%s", what, got, want);
}

/* One verb, one script; what it sends may be NULL: not looked at. */
static void expect(const fake_row *script, const char *line, int code, const char *sent,
                   const char *out, const char *messages)
{
    fake_daemon *d = fake_start(script);
    outcome o = run(d->path, line);
    fake_stop(d);
    if (o.code != code)
        fail_msg("%s: exit %d, not %d; messages: %s", line, o.code, code, o.messages);
    expect_text("the request", d->requests, sent);
    expect_text("the output", o.out, out);
    expect_text("the messages", o.messages, messages);
    free_outcome(&o);
    fake_free(d);
}

#define OK(members) "{\"id\":$,\"ok\":true," members "}\n"
#define NO(code, message)                                                                          \
    "{\"id\":$,\"ok\":false,\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}\n"

/* ---- submit ---- */

static void submit_sends_flags_as_spec(void **state)
{
    (void)state;
    const fake_row script[] = {{"submit", OK("\"jobs\":[12],\"group\":null"), 0, FAKE_KEEP},
                               {NULL}};
    expect(script,
           "submit --model resnet18 --weights-bits 4 --set activations.bits=5 --keep-8bit "
           "first,last --checkpoint /a/../b --priority -3 --hold --token t",
           0,
           "{\"op\":\"submit\",\"spec\":{\"weights\":{\"bits\":4},\"activations\":{\"bits\":5},"
           "\"keep_8bit\":[\"first\",\"last\"],\"checkpoint\":\"/b\",\"model\":\"resnet18\"},"
           "\"priority\":-3,\"hold\":true,\"token\":\"t\",\"id\":1}\n",
           "submitted job 12\n", "");
    expect(script, "submit --model m --parsable", 0, NULL, "12\n", "");
    expect(script, "submit --model m --json", 0, NULL, "{\"jobs\":[12],\"group\":null}\n", "");
}

static void submit_makes_groups(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"submit", OK("\"jobs\":[12,13],\"group\":3,\"duplicate\":true"), 0, FAKE_KEEP}, {NULL}};
    expect(script, "submit --model resnet18,mobilenet_v2 --limit 9 --token t", 0,
           "{\"op\":\"submit\",\"specs\":[{\"limit\":9,\"model\":\"resnet18\"},"
           "{\"limit\":9,\"model\":\"mobilenet_v2\"}],\"token\":\"t\",\"id\":1}\n",
           "already submitted: group g3: jobs 12, 13\n", "");
    expect(script, "submit --model a --model b --parsable", 0, NULL, "g3\n", "");
    expect(script, "submit --model a,b --checkpoint /x", 2, "", "",
           "netqctl: checkpoint and quantized are one model's: they cannot go with several "
           "models\n");
}

static void submit_reads_a_spec_file(void **state)
{
    (void)state;
    const fake_row script[] = {{"submit", OK("\"jobs\":[1],\"group\":null"), 0, FAKE_KEEP}, {NULL}};
    nq_error err = {0};
    char *folder = nq_test_folder(), *path = nq_path_join(folder, "spec.json"), line[5000];
    const char *text = "{\"model\":\"m\",\"weights\":{\"bits\":4,\"range\":\"minmax\"}}";
    assert_ok(nq_file_write_atomic(path, text, strlen(text), &err), &err);
    snprintf(line, sizeof line, "submit %s --weights-bits 5 --token t", path);
    const char *sent = "{\"op\":\"submit\",\"spec\":{\"model\":\"m\",\"weights\":{\"bits\":5,"
                       "\"range\":\"minmax\"}},\"token\":\"t\",\"id\":1}\n";
    expect(script, line, 0, sent, NULL, "");
    snprintf(line, sizeof line, "submit --spec %s --weights-bits 5 --token t", path);
    expect(script, line, 0, sent, NULL, "");
    expect(script, "submit /nowhere.json", 1, "", "", "netqctl: there is no file /nowhere.json\n");
    assert_ok(nq_file_write_atomic(path, "[]", 2, &err), &err);
    expect(script, line, 2, "", "", NULL);
    nq_dir_remove(folder, &err);
    free(path), free(folder);
}

/* Eight bytes of length, then a header. */
static char *put_quantized(const char *folder, const char *header)
{
    char bytes[512] = {(char)strlen(header)};
    nq_error err = {0};
    char *path = nq_path_join(folder, "m.safetensors");
    strcpy(bytes + 8, header);
    assert_ok(nq_file_write_atomic(path, bytes, 8 + strlen(header), &err), &err);
    return path;
}

static void submit_knows_the_model_of_a_quantized_file(void **state)
{
    (void)state;
    static const char models[] =
        OK("\"models\":[{\"name\":\"a\",\"arch\":\"r\"},"
           "{\"name\":\"r\",\"arch\":\"r\"},{\"name\":\"b\",\"arch\":\"r\"},"
           "{\"name\":\"c\",\"arch\":\"s\"},{\"name\":\"d\",\"arch\":\"t\"},"
           "{\"name\":\"e\",\"arch\":\"t\"}]");
    const fake_row script[] = {{"models", models, 0, FAKE_KEEP},
                               {"submit", OK("\"jobs\":[1],\"group\":null"), 0, FAKE_KEEP},
                               {NULL}};
    static const struct {
        const char *header, *model, *refused;
    } rows[] = {
        {"{\"__metadata__\":{\"arch\":\"r\"}}", "r", NULL},
        {"{\"__metadata__\":{\"arch\":\"s\"}}", "c", NULL},
        {"{\"__metadata__\":{\"arch\":\"t\"}}", NULL, "several models of that architecture"},
        {"{\"__metadata__\":{\"arch\":\"u\"}}", NULL, "no model of that architecture"},
        {"{\"__metadata__\":{\"arch\":7}}", NULL, "names no architecture"},
        {"{\"__metadata__\":", NULL, "the header"},
    };
    nq_error err = {0};
    char *folder = nq_test_folder(), line[5000], sent[5000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = put_quantized(folder, rows[i].header);
        snprintf(line, sizeof line, "submit --quantized %s --token t", path);
        snprintf(sent, sizeof sent,
                 "{\"op\":\"models\",\"id\":1}\n{\"op\":\"submit\",\"spec\":{\"quantized\":\"%s\","
                 "\"model\":\"%s\"},\"token\":\"t\",\"id\":2}\n",
                 path, rows[i].model ? rows[i].model : "");
        fake_daemon *d = fake_start(script);
        outcome o = run(d->path, line);
        fake_stop(d);
        assert_int_equal(o.code, rows[i].model ? 0 : 2);
        if (rows[i].model)
            expect_text("the request", d->requests, sent);
        else
            assert_non_null(strstr(o.messages, rows[i].refused));
        free_outcome(&o);
        fake_free(d);
        free(path);
    }
    expect(script, "submit --quantized /nowhere.safetensors", 1, "", "", NULL);
    nq_dir_remove(folder, &err);
    free(folder);
}

static void submit_says_what_the_daemon_refused(void **state)
{
    (void)state;
    const fake_row bad[] = {
        {"submit", NO("bad_spec", "weights.bits: 9 is not in 2..8"), 0, FAKE_KEEP}, {NULL}};
    expect(bad, "submit --model m", 2, NULL, "", "netqctl: weights.bits: 9 is not in 2..8\n");
    const fake_row busy[] = {{"submit", NO("busy", "the queue is full"), 0, FAKE_KEEP}, {NULL}};
    expect(busy, "submit --model m", 1, NULL, "", "netqctl: the queue is full\n");
    const fake_row empty[] = {{"submit", OK("\"jobs\":[]"), 0, FAKE_KEEP}, {NULL}};
    expect(empty, "submit --model m", 1, NULL, "",
           "netqctl: the daemon's reply to submit names no job\n");
}

/* The same request, token included, goes out again where the first broke off. */
static void submit_survives_a_broken_connection(void **state)
{
    (void)state;
    const fake_row script[] = {{"submit", "", 0, FAKE_HANG_UP},
                               {"submit", OK("\"jobs\":[5],\"group\":null"), 0, FAKE_KEEP},
                               {NULL}};
    fake_daemon *d = fake_start(script);
    outcome o = run(d->path, "submit --model m");
    fake_stop(d);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.out, "submitted job 5\n");
    char *first = strstr(d->requests, "\"token\":\""), *second = strstr(first + 1, "\"token\":\"");
    assert_non_null(second);
    assert_memory_equal(first, second, strlen("\"token\":\"\"") + 32);
    free_outcome(&o);
    fake_free(d);
}

static void dry_run_prints_plans(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"submit",
         OK("\"plans\":[{\"spec\":{\"model\":\"m\"},\"new_model_size\":11700000,"
            "\"original_model_size\":46800000,\"seconds\":90,\"measured\":true,\"disk_bytes\":1000,"
            "\"images\":634}]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script, "submit --model m --dry-run", 0,
           "{\"op\":\"submit\",\"spec\":{\"model\":\"m\"},\"dry_run\":true,\"id\":1}\n",
           "{\"model\": \"m\"}\n"
           "  model file   about 11.70 MB, was 46.80 MB\n"
           "  images       634\n"
           "  time         about 1:30\n"
           "  disk space   1.00 kB\n",
           "");
}

/* ---- waiting ---- */

#define JOB(id, state, rest)                                                                       \
    "{\"job\":" id ",\"group\":null,\"state\":\"" state                                            \
    "\",\"model\":\"m\",\"preset\":\"p\"," rest "\"dataset\":\"d\"}"
#define EVENT(id, state) "{\"event\":\"job\",\"job\":" JOB(id, state, "") "}\n"
#define WATCHING         "{\"id\":$,\"ok\":true}\n"
#define END              "{\"event\":\"end\"}\n"

static void wait_exits_with_the_result(void **state)
{
    (void)state;
    static const struct {
        const char *final, *event;
        int code;
    } ends[] = {
        {OK("\"job\":" JOB("7", "done", "")), EVENT("7", "done"), 0},
        {OK("\"job\":" JOB("7", "failed", "\"reason\":\"no such file\",")), EVENT("7", "failed"),
         1},
        {OK("\"job\":" JOB("7", "cancelled", "")), EVENT("7", "cancelled"), 3},
    };
    for (size_t i = 0; i < 3; i++) {
        char watch[1000];
        snprintf(watch, sizeof watch, "%s%s%s", WATCHING, EVENT("7", "running"), ends[i].event);
        const fake_row script[] = {
            {"watch", watch, 0, FAKE_KEEP},
            {"status", OK("\"job\":" JOB("7", "queued", "\"reason\":\"1 job before it\",")), 0,
             FAKE_KEEP},
            {"status", ends[i].final, 0, FAKE_KEEP},
            {NULL}};
        expect(script, "wait 7", ends[i].code, NULL, "", NULL);
        expect(script, "wait --json -q 7", ends[i].code, NULL, NULL, "");
    }
    /* It had ended before: the daemon ends the watch at once, or never. */
    const fake_row at_once[] = {{"watch", WATCHING END, 0, FAKE_KEEP},
                                {"status", ends[0].final, 0, FAKE_KEEP},
                                {"status", ends[0].final, 0, FAKE_KEEP},
                                {NULL}};
    expect(at_once, "wait 7", 0, NULL, "", "job 7 m p: done\n");
    const fake_row never[] = {{"watch", WATCHING, 0, FAKE_KEEP},
                              {"status", ends[0].final, 0, FAKE_KEEP},
                              {"status", ends[0].final, 0, FAKE_KEEP},
                              {NULL}};
    expect(never, "wait 7", 0, NULL, "", "job 7 m p: done\n");
}

static void wait_for_several(void **state)
{
    (void)state;
#define GROUP(a, b)                                                                                \
    OK("\"more\":false,\"counts\":{},\"jobs\":[" JOB("1", a, "") "," JOB("2", b, "") "]")
    const fake_row script[] = {
        {"watch", WATCHING EVENT("1", "done") EVENT("2", "cancelled"), 0, FAKE_KEEP},
        {"list", GROUP("running", "queued"), 0, FAKE_KEEP},
        {"list", GROUP("done", "cancelled"), 0, FAKE_KEEP},
        {"watch", WATCHING END, 0, FAKE_KEEP},
        {"status", OK("\"job\":" JOB("7", "failed", "")), 0, FAKE_KEEP},
        {"status", OK("\"job\":" JOB("7", "failed", "")), 0, FAKE_KEEP},
        {NULL}};
    expect(script, "wait g3", 3, NULL, "", NULL);
    expect(script, "wait g3 7", 1, NULL, "", NULL);
    expect(script, "wait 7 g3", 1, NULL, "", NULL);
    const fake_row nobody[] = {{"watch", WATCHING, 0, FAKE_KEEP},
                               {"list", OK("\"more\":false,\"jobs\":[]"), 0, FAKE_KEEP},
                               {NULL}};
    expect(nobody, "wait g3", 1, NULL, "", "netqctl: there is no group g3\n");
    const fake_row missing[] = {{"watch", NO("missing", "there is no job 7"), 0, FAKE_KEEP},
                                {NULL}};
    expect(missing, "wait 7", 1, NULL, "", "netqctl: there is no job 7\n");
    const fake_row liar[] = {{"watch", WATCHING END, 0, FAKE_KEEP},
                             {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
                             {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
                             {NULL}};
    expect(liar, "wait -q 7", 1, NULL, "",
           "netqctl: the daemon ended the watch before the jobs ended\n");
}

typedef struct {
    const char *path, *line;
    outcome o;
} waiting;

static void *run_in_thread(void *context)
{
    waiting *w = context;
    w->o = run(w->path, w->line);
    return NULL;
}

static void wait_survives_a_restart(void **state)
{
    (void)state;
    const fake_row before[] = {{"watch", WATCHING EVENT("7", "running"), 0, FAKE_KEEP},
                               {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
                               {NULL}};
    const fake_row after[] = {{"watch", WATCHING EVENT("7", "done"), 0, FAKE_KEEP},
                              {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
                              {"status", OK("\"job\":" JOB("7", "done", "")), 0, FAKE_KEEP},
                              {NULL}};
    fake_daemon *d = fake_start(before);
    waiting w = {.path = d->path, .line = "wait 7"};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &w), 0);
    while (atomic_load(&d->answered) < 2)
        usleep(10000);
    fake_stop(d);
    usleep(300000);
    d->script = after;
    fake_listen(d);
    pthread_join(thread, NULL);
    fake_stop(d);
    assert_int_equal(w.o.code, 0);
    assert_non_null(strstr(w.o.messages, "the daemon went away; waiting for it to come back"));
    assert_non_null(strstr(w.o.messages, "job 7 m p: done"));
    free_outcome(&w.o);
    fake_free(d);
}

static void wait_gives_up(void **state)
{
    (void)state;
    const fake_row script[] = {{"watch", WATCHING EVENT("7", "running"), 0, FAKE_HANG_UP},
                               {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
                               {NULL}};
    expect(script, "wait 7", 4, NULL, "", NULL); /* reachable, but never answers again */
    outcome o = run("/nowhere/at/all", "wait 7");
    assert_int_equal(o.code, 4);
    assert_non_null(strstr(o.messages, "no daemon answers at /nowhere/at/all"));
    free_outcome(&o);
}

static void submit_and_wait(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"submit", OK("\"jobs\":[7],\"group\":null"), 0, FAKE_KEEP},
        {"watch", WATCHING EVENT("7", "failed"), 0, FAKE_KEEP},
        {"status", OK("\"job\":" JOB("7", "running", "")), 0, FAKE_KEEP},
        {"status", OK("\"job\":" JOB("7", "failed", "\"reason\":\"why\",")), 0, FAKE_KEEP},
        {NULL}};
    expect(script, "submit --model m --wait", 1, NULL, "submitted job 7\n", "job 7 m p: failed\n");
    expect(script, "submit --model m --wait --parsable", 1, NULL, "7\n", NULL);
}

static void watch_prints_lines(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"watch", WATCHING EVENT("7", "running") EVENT("7", "done") END, 0, FAKE_KEEP}, {NULL}};
    expect(script, "watch 7", 0, "{\"op\":\"watch\",\"job\":7,\"id\":1}\n", "job 7 m p: done\n",
           "");
    expect(script, "watch --json g2", 0, "{\"op\":\"watch\",\"group\":2,\"id\":1}\n",
           "{\"job\":7,\"group\":null,\"state\":\"running\",\"model\":\"m\",\"preset\":\"p\","
           "\"dataset\":\"d\"}\n"
           "{\"job\":7,\"group\":null,\"state\":\"done\",\"model\":\"m\",\"preset\":\"p\","
           "\"dataset\":\"d\"}\n",
           "");
    const fake_row cut[] = {{"watch", WATCHING, 0, FAKE_HANG_UP}, {NULL}};
    expect(cut, "watch", 4, NULL, "", "netqctl: the daemon closed the connection\n");
}

/* ---- looking ---- */

static void status_of_the_queue(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"list",
         OK("\"more\":true,\"counts\":{\"running\":1,\"queued\":1,\"done\":4},\"jobs\":[" JOB(
             "7", "running",
             "\"progress\":{\"stage\":\"score\",\"done\":120,\"total\":634,\"eta_s\":2.4},") "]"),
         0, FAKE_KEEP},
        {"list",
         OK("\"more\":false,\"counts\":{},\"jobs\":[" JOB("9", "queued",
                                                          "\"reason\":\"1 job before it\",") "]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script, "status", 0,
           "{\"op\":\"list\",\"state\":[\"running\",\"queued\",\"held\"],\"limit\":1000,\"id\":1}\n"
           "{\"op\":\"list\",\"state\":[\"running\",\"queued\",\"held\"],\"after\":7,"
           "\"limit\":1000,\"id\":2}\n",
           "JOB  GROUP  STATE    MODEL  PRESET  DATASET  STAGE     DONE  LEFT  REASON\n"
           "7    -      running  m      p       d        score  120/634  0:02  -\n"
           "9    -      queued   m      p       d        -            -     -  1 job before it\n"
           "1 running, 1 queued, 4 done\n",
           "");
    const fake_row empty[] = {
        {"list", OK("\"more\":false,\"counts\":{},\"jobs\":[]"), 0, FAKE_KEEP}, {NULL}};
    expect(empty, "status", 0, NULL, "the queue is empty\n", "");
    /* A daemon that promises more for ever is not followed for ever. */
    const fake_row forever[] = {{"list", OK("\"more\":true,\"jobs\":[]"), 0, FAKE_KEEP}, {NULL}};
    expect(forever, "status", 0, NULL, NULL, "");
    const fake_row wrong[] = {{"list", OK("\"jobs\":7"), 0, FAKE_KEEP}, {NULL}};
    expect(wrong, "status", 1, NULL, "", "netqctl: the daemon's reply to list has no jobs\n");
}

static void status_of_a_job(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"status",
         OK("\"job\":{\"job\":12,\"group\":3,\"state\":\"done\",\"reason\":null,\"model\":\"m\","
            "\"preset\":\"p\",\"dataset\":\"d\",\"spec\":{\"model\":\"m\"},\"uid\":1000,"
            "\"priority\":0,\"attempts\":1,\"submitted\":0,\"started\":1,\"ended\":2,"
            "\"progress\":null,\"partial\":true,\"artifacts\":[{\"name\":\"output.txt\","
            "\"bytes\":3100,\"sha256\":\"0123456789abcdef0123\"}],\"result\":{\"images\":634,"
            "\"top1_right\":431,\"top5_right\":592,\"top1\":67.98,\"top5\":93.38,"
            "\"unreadable\":1,\"original_model_size\":46835817,\"new_model_size\":11700000,"
            "\"compression_ratio\":75.02,\"agreement\":0.91,\"seconds\":12.3}}"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script, "status 12", 0, "{\"op\":\"status\",\"job\":12,\"id\":1}\n",
           "job 12 (group g3): done\n"
           "  model        m\n"
           "  preset       p\n"
           "  dataset      d\n"
           "  partial      scores only the first images; it never ranks\n"
           "  submitted    1970-01-01 00:00:00 by uid 1000, priority 0\n"
           "  started      1970-01-01 00:00:01, attempt 1\n"
           "  ended        1970-01-01 00:00:02\n"
           "  top-1        67.98 % (431 of 634 images)\n"
           "  top-5        93.38 % (592)\n"
           "  unreadable   1 images, counted as wrong\n"
           "  model file   11.70 MB, was 46.84 MB (ratio 75.02 %)\n"
           "  agreement    91.00 % of labels as the float network's\n"
           "  took         12.3 s\n"
           "  artifacts    output.txt                   3100 bytes  sha256 0123456789abcdef\n"
           "  spec         {\"model\": \"m\"}\n",
           "");
    const fake_row missing[] = {{"status", NO("missing", "there is no job 9"), 0, FAKE_KEEP},
                                {NULL}};
    expect(missing, "status 9", 1, NULL, "", "netqctl: there is no job 9\n");
    const fake_row json[] = {{"status", OK("\"job\":{\"job\":12,\"x\":0.1}"), 0, FAKE_KEEP},
                             {NULL}};
    expect(json, "status --json 12", 0, NULL, "{\"job\":12,\"x\":0.1}\n", "");
}

static void list_filters(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"list",
         OK("\"more\":false,\"counts\":{},\"jobs\":[" JOB(
             "7", "done",
             "\"submitted\":0,\"started\":1,\"ended\":63,\"result\":{\"top1\":67.98,"
             "\"compression_ratio\":75.02},") "]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script,
           "list --state done,failed -S held --model m --preset p --dataset d --group g3 --mine "
           "--uid 5 --since 1970-01-02 --after 6 --limit 10",
           0,
           "{\"op\":\"list\",\"state\":[\"done\",\"failed\",\"held\"],\"model\":\"m\","
           "\"preset\":\"p\",\"dataset\":\"d\",\"group\":3,\"mine\":true,\"uid\":5,"
           "\"since\":86400.0,\"after\":6,\"limit\":10,\"id\":1}\n",
           "JOB  GROUP  STATE  MODEL  PRESET  DATASET  SUBMITTED            TOOK  TOP-1  RATIO  "
           "REASON\n"
           "7    -      done   m      p       d        1970-01-01 00:00:00  1:02  67.98  75.02  "
           "-\n",
           "");
    const fake_row empty[] = {
        {"list", OK("\"more\":false,\"counts\":{},\"jobs\":[]"), 0, FAKE_KEEP}, {NULL}};
    expect(empty, "list", 0, NULL, "", "netqctl: no such jobs\n");
    expect(empty, "list --json", 0, NULL, "{\"jobs\":[],\"counts\":{}}\n", "");
}

static void models_and_datasets(void **state)
{
    (void)state;
    const fake_row models[] = {
        {"models",
         OK("\"models\":[{\"name\":\"r\",\"arch\":\"resnet18\",\"checkpoint\":\"/a/r.pth\","
            "\"bytes\":46835817,\"sha256\":\"00\",\"float_top1\":69.76}]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(models, "models", 0, NULL,
           "NAME  ARCHITECTURE      SIZE  FLOAT TOP-1  CHECKPOINT\n"
           "r     resnet18      46.84 MB        69.76  /a/r.pth\n",
           "");
    const fake_row datasets[] = {
        {"datasets",
         OK("\"datasets\":[{\"name\":\"v\",\"path\":\"/a/v\",\"images\":634,\"classes\":464,"
            "\"labels\":\"folders\",\"fingerprint\":\"0123456789abcdef01\",\"warnings\":[\"small\"]"
            ","
            "\"float\":[{\"model\":\"r\",\"job\":3,\"top1\":1.5,\"expected\":78.55,"
            "\"verdict\":\"your labels or preprocessing are wrong: 77 points are missing\"}]}]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(datasets, "datasets v", 0, "{\"op\":\"datasets\",\"name\":\"v\",\"id\":1}\n",
           "NAME  IMAGES  CLASSES  LABELS FROM  FINGERPRINT       PATH\n"
           "v        634      464  folders      0123456789abcdef  /a/v\n"
           "v: warning: small\n"
           "v: float r (job 3) has top-1 1.50, expected 78.55: your labels or preprocessing are "
           "wrong: 77 points are missing\n",
           "");
    const fake_row wrong[] = {{"models", OK("\"models\":{}"), 0, FAKE_KEEP}, {NULL}};
    expect(wrong, "models", 1, NULL, "", "netqctl: the daemon's reply has no models\n");
}

static void boards(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"leaderboard",
         OK("\"boards\":[{\"dataset\":\"v\",\"fingerprint\":\"0123456789abcdef01\",\"rows\":["
            "{\"rank\":1,\"job\":12,\"model\":\"m\",\"preset\":\"w4a8\",\"weights_bits\":4,"
            "\"activations_bits\":8,\"compression_ratio\":87.1234,\"top1_tenths\":655,"
            "\"top1\":65.46,\"original_model_size\":1,\"new_model_size\":6000000},"
            "{\"rank\":2,\"group\":3,\"compression_ratio\":75},"
            "{\"rank\":3,\"job\":13,\"weights_bits\":\"auto\",\"activations_bits\":8}]}]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script, "leaderboard --dataset v --model m", 0,
           "{\"op\":\"leaderboard\",\"dataset\":\"v\",\"model\":\"m\",\"id\":1}\n",
           "v (0123456789abcdef)\n"
           "RANK  JOB  MODEL  PRESET  W/A     RATIO %  TOP-1  EXACT     SIZE\n"
           "   1  12   m      w4a8    4/8     87.1234   65.5  65.46  6.00 MB\n"
           "   2  g3   -      -       -       75.0000      -      -        -\n"
           "   3  13   -      -       auto/8        -      -      -        -\n",
           "");
}

static void differences(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"diff",
         OK("\"images\":634,\"changed\":2,\"a_right\":500,\"b_right\":499,\"lost\":2,"
            "\"won\":1,\"drop\":0.158,\"standard_error\":0.273,\"classes\":[{\"class\":1,"
            "\"name\":\"fish\",\"images\":3,\"changed\":2,\"a_right\":2,\"b_right\":1}],"
            "\"examples\":[{\"image\":\"a.jpg\",\"class\":1,\"a\":1,\"b\":9}]"),
         0, FAKE_KEEP},
        {NULL}};
    expect(script, "diff 3 4", 0, "{\"op\":\"diff\",\"a\":3,\"b\":4,\"id\":1}\n",
           "2 of 634 labels differ; A has 500 right, B 499\n"
           "A alone has 2 right, B alone 1: B loses 0.16 points of top-1, standard error 0.27\n\n"
           "CLASS  IMAGES  CHANGED  A RIGHT  B RIGHT  NAME\n"
           "    1       3        2        2        1  fish\n\n"
           "examples (--json has up to 100):\n"
           "CLASS  A  B  IMAGE\n"
           "    1  1  9  a.jpg\n",
           "");
    expect(script, "diff g1 2", 2, "", "", "netqctl: g1 is a group: compare jobs\n");
}

static void control(void **state)
{
    (void)state;
    const fake_row script[] = {{"cancel", OK("\"cancelled\":[1,2]"), 0, FAKE_KEEP},
                               {"cancel", NO("denied", "job 3 is not yours"), 0, FAKE_KEEP},
                               {"cancel", OK("\"cancelled\":[4]"), 0, FAKE_KEEP},
                               {NULL}};
    expect(script, "cancel g1 3 4", 1, NULL, "cancelled job 1\ncancelled job 2\ncancelled job 4\n",
           "netqctl: job 3 is not yours\n");
    expect(script, "cancel --json g1 3 4", 1, NULL, "{\"cancelled\":[1,2,4]}\n", NULL);
    const fake_row hold[] = {{"hold", OK("\"jobs\":[1]"), 0, FAKE_KEEP}, {NULL}};
    expect(hold, "hold 1", 0, "{\"op\":\"hold\",\"job\":1,\"id\":1}\n", "held job 1\n", "");
    const fake_row release[] = {{"release", OK("\"jobs\":[]"), 0, FAKE_KEEP}, {NULL}};
    expect(release, "release g1", 0, NULL, "", "netqctl: nothing in g1 was released\n");
    expect(release, "hold x1", 2, "", "",
           "netqctl: \"x1\" is neither a job (12) nor a group (g12)\n");
}

/* ---- fetching ---- */

static void get_and_logs(void **state)
{
    (void)state;
#define FILE_OF(text, length)                                                                      \
    "{\"id\":$,\"ok\":true,\"name\":\"f\",\"bytes\":null,\"sha256\":null}\n\0\0\0" length text     \
    "\0\0\0\0{\"end\":true}\n"
#define BYTES(text) text, sizeof text - 1
    const fake_row get[] = {{"get", BYTES(FILE_OF("hello", "\5")), FAKE_KEEP}, {NULL}};
    expect(get, "get g3", 0, "{\"op\":\"get\",\"group\":3,\"id\":1}\n", "hello", "");
    expect(get, "get 3 metrics.json", 0,
           "{\"op\":\"get\",\"job\":3,\"file\":\"metrics.json\",\"id\":1}\n", "hello", "");
    const fake_row logs[] = {{"logs", BYTES(FILE_OF("line", "\4")), FAKE_KEEP},
                             {"logs", BYTES(FILE_OF("line more", "\11")), FAKE_KEEP},
                             {"status", OK("\"job\":" JOB("3", "running", "")), 0, FAKE_KEEP},
                             {"status", OK("\"job\":" JOB("3", "done", "")), 0, FAKE_KEEP},
                             {NULL}};
    expect(logs, "logs 3", 0, NULL, "line", "");
    expect(logs, "logs -f 3", 0, NULL, "line more", "");
    expect(logs, "logs --json 3", 0, NULL, "{\"log\":\"line\"}\n", "");
    const fake_row odd[] = {{"logs", BYTES(FILE_OF("a\377\n", "\3")), FAKE_KEEP}, {NULL}};
    expect(odd, "logs --json 3", 0, NULL, "{\"log\":\"a?\\n\"}\n", "");
    expect(logs, "logs g3", 2, "", "", "netqctl: a group has no log: name one of its jobs\n");
}

static void explain_sorts_by_loss(void **state)
{
    (void)state;
    const fake_row script[] = {
        {"get",
         BYTES(FILE_OF("{\"layers\":[{\"name\":\"a\",\"output_db\":9.5},{\"name\":\"b\",\"output_"
                       "db\":3.25},{\"name\":\"c\",\"output_db\":null}]}",
                       "\145")),
         FAKE_KEEP},
        {NULL}};
    const char *request = "{\"op\":\"get\",\"job\":3,\"file\":\"metrics.json\",\"id\":1}\n";
    expect(script, "explain --json 3", 0, request,
           "[{\"name\":\"b\",\"output_db\":3.25},{\"name\":\"a\",\"output_db\":9.5},{\"name\":"
           "\"c\",\"output_db\":null}]\n",
           "");
    const fake_row none[] = {{"get", BYTES(FILE_OF("{\"layers\":null}", "\17")), FAKE_KEEP},
                             {NULL}};
    expect(none, "explain 3", 1, request, "",
           "netqctl: job 3 has no per-layer report: only jobs that quantize a checkpoint do\n");
    const fake_row broken[] = {{"get", BYTES(FILE_OF("{]", "\2")), FAKE_KEEP}, {NULL}};
    expect(broken, "explain 3", 2, request, "",
           "netqctl: metrics.json of job 3 is not a JSON object\n");
    expect(none, "explain g3", 2, "", "",
           "netqctl: explain takes one job: name one of the group's\n");
}

static void spec_as_json(void **state)
{
    (void)state;
    outcome o = run("/nowhere", "spec --json");
    json_t *table = json_loads(o.out, 0, NULL);
    assert_int_equal(o.code, 0);
    assert_int_equal(json_array_size(json_object_get(table, "presets")), nq_preset_count);
    const json_t *model = json_array_get(json_object_get(table, "keys"), 0);
    assert_string_equal(json_string_value(json_object_get(model, "key")), "model");
    assert_true(json_is_null(json_object_get(model, "default")));
    json_decref(table);
    free_outcome(&o);
}

/* ---- command lines ---- */

/* argp exits, so these run in a child. */
static int exit_of(const char *line)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char copy[256], *words[MOST_WORDS] = {NULL};
        int count = 0, nowhere = open("/dev/null", O_WRONLY);
        snprintf(copy, sizeof copy, "%s", line);
        for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
            words[count++] = word;
        dup2(nowhere, 1);
        dup2(nowhere, 2);
        _exit(nq_client_main(count, words));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void wrong_usage_exits_with_two(void **state)
{
    (void)state;
    static const char *const wrong[] = {"netqctl",
                                        "netqctl sumbit",
                                        "netqctl --wrong",
                                        "netqctl get",
                                        "netqctl get 1 2 3",
                                        "netqctl wait",
                                        "netqctl submit --weights-bits 9",
                                        "netqctl submit --set bits",
                                        "netqctl submit --set bits=3",
                                        "netqctl submit --priority 1001",
                                        "netqctl submit --model a/b",
                                        "netqctl submit --dry-run --wait",
                                        "netqctl submit --json --parsable",
                                        "netqctl submit a --spec b",
                                        "netqctl sweep a --spec b",
                                        "netqctl sweep --model m --bits 48",
                                        "netqctl sweep --grid weights.bits",
                                        "netqctl sweep --grid weights.bit=4",
                                        "netqctl sweep --model m --svg x --detach",
                                        "netqctl sweep --weights-bits 4,9",
                                        "netqctl get --json 3",
                                        "netqctl list --since yesterday",
                                        "netqctl list --limit x",
                                        "netqctl diff 1",
                                        "netqctl models x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (exit_of(wrong[i]) != 2)
            fail_msg("%s: exit %d", wrong[i], exit_of(wrong[i]));
    assert_int_equal(exit_of("netqctl --help"), 0);
    assert_int_equal(exit_of("netqctl --version"), 0);
    assert_int_equal(exit_of("netqctl spec --markdown"), 0);
    assert_int_equal(exit_of("netqctl --socket /nowhere status"), 4);
    assert_int_equal(exit_of("netqctl status --socket /nowhere"), 4);
    for (const nq_verb *verb = nq_verbs; verb->name; verb++) {
        char line[100];
        snprintf(line, sizeof line, "netqctl %s --help", verb->name);
        assert_int_equal(exit_of(line), 0);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submit_sends_flags_as_spec),
        cmocka_unit_test(submit_makes_groups),
        cmocka_unit_test(submit_reads_a_spec_file),
        cmocka_unit_test(submit_knows_the_model_of_a_quantized_file),
        cmocka_unit_test(submit_says_what_the_daemon_refused),
        cmocka_unit_test(submit_survives_a_broken_connection),
        cmocka_unit_test(dry_run_prints_plans),
        cmocka_unit_test(wait_exits_with_the_result),
        cmocka_unit_test(wait_for_several),
        cmocka_unit_test(wait_survives_a_restart),
        cmocka_unit_test(wait_gives_up),
        cmocka_unit_test(submit_and_wait),
        cmocka_unit_test(watch_prints_lines),
        cmocka_unit_test(status_of_the_queue),
        cmocka_unit_test(status_of_a_job),
        cmocka_unit_test(list_filters),
        cmocka_unit_test(models_and_datasets),
        cmocka_unit_test(boards),
        cmocka_unit_test(differences),
        cmocka_unit_test(control),
        cmocka_unit_test(get_and_logs),
        cmocka_unit_test(explain_sorts_by_loss),
        cmocka_unit_test(spec_as_json),
        cmocka_unit_test(wrong_usage_exits_with_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
