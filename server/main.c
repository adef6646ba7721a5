/* netqd: takes jobs over a local socket, keeps them in a queue, runs one worker for each. */
#include "common/log.h"
#include "common/version.h"
#include "server/config.h"
#include "server/daemon.h"
#include "server/startup.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2 };

/* A burst of submits may keep some threads waiting for one listing; downloads need the others. */
#define POOL_THREADS "16"

static const char usage[] =
    "usage: netqd [--config FILE] [--check]\n"
    "\n"
    "Runs in the foreground and logs to standard error; SIGTERM or Ctrl-C stop it. Jobs that run\n"
    "then go on at the next start.\n"
    "\n"
    "  -c, --config FILE  the configuration; otherwise $NETQ_CONFIG, ~/.config/netq/netqd.conf\n"
    "                     or /etc/netq/netqd.conf\n"
    "      --check        check the configuration, print what is wrong, and end\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n";

typedef struct {
    const char *config;
    bool check;
} options;

/* -1: go on; otherwise the exit status. */
static int parse_options(int argc, char **argv, options *o)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"check", no_argument, NULL, 'k'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "c:hV", known, NULL)) != -1;) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'k':
            o->check = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        case 'V':
            puts("netqd " NQ_VERSION);
            return EXIT_OK;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "netqd: %s: an argument that means nothing here\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return -1;
}

static void complain_to_terminal(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "netqd: %s\n", sentence);
}

static void complain_to_log(void *context, const char *sentence)
{
    (void)context;
    nq_log(NQ_LOG_WARN, "config", "problem", "%s", sentence, NULL);
}

static nq_status read_config(const options *o, nq_config *config, int *complaints, nq_error *err)
{
    nq_status status = nq_config_load(o->config, config, err);
    if (status == NQ_OK)
        status = nq_config_complete(config, err);
    if (status != NQ_OK)
        return status;
    nq_log_open(STDERR_FILENO, (nq_log_level)config->log_level);
    return nq_config_check(config, o->check ? complain_to_terminal : complain_to_log, NULL,
                           complaints, err);
}

int main(int argc, char **argv)
{
    options o = {0};
    nq_config config = {0};
    nq_store *store;
    nq_error err = {0};
    int complaints = 0, lock_fd;
    int code = parse_options(argc, argv, &o);
    if (code >= 0)
        return code;
    setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
    nq_status status = read_config(&o, &config, &complaints, &err);
    if (status == NQ_OK && o.check) {
        if (complaints == 0)
            printf("%s: no problems\n", config.file);
        nq_config_free(&config);
        return complaints ? EXIT_ERROR : EXIT_OK;
    }
    if (status == NQ_OK)
        status = nq_startup(&config, &store, &lock_fd, &err);
    if (status == NQ_OK)
        status = nq_daemon_run(&config, store, &err);
    if (status != NQ_OK)
        fprintf(stderr, "netqd: %s\n", err.text);
    nq_config_free(&config);
    return status == NQ_OK ? EXIT_OK : EXIT_ERROR;
}
